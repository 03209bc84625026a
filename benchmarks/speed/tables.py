"""The tables of `benchmarks/README.md`, from the JSON files in `results/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(results: Path, page: Path) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end -->``."""
    made = {
        "ratios": _ratios(results),
        "study": _study(results),
        "growth": _growth(results),
        "large": _large(results),
        "machine": _machine(results),
    }
    text = page.read_text(encoding="utf-8")
    for name, table in made.items():
        head, found, rest = text.partition(f"<!-- {name} -->\n")
        if found and table:
            text = head + found + table + "\n" + rest[rest.index("<!-- end -->") :]
    page.write_text(text, encoding="utf-8")


def _rows(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


def _machine(results: Path) -> str:
    """The machines of the results, each with the parts that it measured."""
    by: dict[str, list[str]] = {}
    for path in sorted(results.glob("*.json")):
        m = json.loads(path.read_text(encoding="utf-8"))["machine"]
        words = (
            f"{m['processor']}, {m['cores']} cores; Python {m['python']}, torch {m['torch']}; kernels: {m['kernels']}"
        )
        by.setdefault(words, []).append(path.stem)
    return "\n".join(f"- {', '.join(parts)}: {words}" for words, parts in by.items())


def _ratios(results: Path) -> str:
    one, two = _rows(results / "ratios-1.json"), _rows(results / "ratios-2.json")
    second = {(row["case"], row["kind"]): row for row in two}
    lines = [
        "| | digital, ms | 1 thread | 2 threads | goal | least | peak of the process, MB | torch held, MB | ratio | goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind in ("evaluation", "training"):  # what is not fused is in the page's text
        for row in (row for row in one if row["kind"] == kind):
            both = second.get((row["case"], kind))
            lines.append(
                f"| {row['case']}: {kind} | {row['digital_ms']:.1f} | {_ratio(row)} | {_ratio(both) if both else ''} | "
                f"{_goal(row['time_goal'])} | {_least(row)} | {_memory(row)} |"
            )
    return "\n".join(lines) if one else ""


def _memory(row: dict[str, Any]) -> str:
    """Four columns; empty where it was not measured."""
    if "analog_peak_mb" not in row:
        return " | | | "
    peaks, held = ([row[f"{who}_{what}_mb"] for who in ("analog", "digital")] for what in ("peak", "held"))
    return (
        f"{peaks[0]:.0f} : {peaks[1]:.0f} = {peaks[0] / max(peaks[1], 0.1):.2f} | {held[0]:.0f} : {held[1]:.0f} | "
        f"{held[0] / max(held[1], 0.1):.2f} | {_goal(row['memory_goal'])}"
    )


def _ratio(row: dict[str, Any]) -> str:
    low, high = row["time_ratio_quartiles"]
    return f"{row['time_ratio']:.2f} [{low:.2f}, {high:.2f}]"


PASS, NORMAL = 0.15e-6, 0.42e-6
"""Milliseconds a number: a pass over memory, and a normal number."""


def _least(row: dict[str, Any]) -> str:
    """Digital time, a pass over the inputs, a pass and a normal number for each output, over the digital time."""
    if not row.get("inputs") or "hwa" in row["case"]:
        return ""
    extra = PASS * row["inputs"] + (PASS + NORMAL) * row["outputs"]
    return f"{1 + extra / row['digital_ms']:.2f}"


def _goal(goal: float | None) -> str:
    return "" if goal is None else f"≤ {goal}"


def _study(results: Path) -> str:
    lines = ["| evaluations | digital, s | evaluating | programming | ageing | all : digital | programming and ageing |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    found = _rows(results / "study.json")
    for row in found:
        low, high = min(row["ratios_by_chip"]), max(row["ratios_by_chip"])
        lines.append(
            f"| {row['evaluations']} × {row['images']} images | {row['digital_s']:.1f} | {row['evaluating_s']:.1f} | "
            f"{row['programming_s']:.2f} | {row['ageing_s']:.2f} | {row['ratio']:.2f} (chips {low:.2f} … {high:.2f}) | "
            f"{row['share_of_programming_and_ageing']:.1%} |"
        )
    return "\n".join(lines) if found else ""


def _growth(results: Path) -> str:
    lines = ["| with | sizes | digital, ms | analog, ms | slope: digital | analog | expected | why |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    found = _rows(results / "growth.json")
    for row in found:
        digital, analog = (", ".join(f"{t:.0f}" for t in row[k]) for k in ("digital_ms", "analog_ms"))
        lines.append(
            f"| {row['quantity']} | {', '.join(map(str, row['sizes']))} | {digital} | {analog} | "
            f"{row['digital_slope']:.2f} | {row['analog_slope']:.2f} | {row['expected_slope']} | {row['why']} |"
        )
    return "\n".join(lines) if found else ""


def _large(results: Path) -> str:
    lines = [
        "| | weights | chip keeps its cells | programming | first age | another | bytes a weight: kept | at most | the whole |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    found = _rows(results / "large.json")
    for row in found:
        ns, memory, weights = row["ns_a_weight"], row["bytes_a_weight"], row["weights"] * row["times"]
        seconds = (ns["program"] + ns["at"]) * 1e-9 * weights
        whole = f"{row['whole'] or 'it'}: {seconds:.1f} s, {memory['chip'] * weights / 1e9:.1f} GB"
        lines.append(
            f"| {row['case']} | {row['weights'] / 1e6:.1f} million | {'yes' if row['keep'] else 'no'} | "
            f"{ns['program']:.0f} ns a weight | {ns['at']:.0f} | {ns['at again']:.0f} | {memory['chip']:.0f} | "
            f"{memory['peak']:.0f} | {whole} |"
        )
    return "\n".join(lines) if found else ""

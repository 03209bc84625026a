"""Write `docs/networks.md` from the rows: `python benchmarks/zoo/table.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
ROWS, PAGE = HERE / "results.jsonl", HERE.parents[1] / "docs" / "networks.md"
GOAL = 0.9

HEAD = """# Which networks convert

<!-- Written by benchmarks/zoo/table.py from benchmarks/zoo/results.jsonl. -->

`mho.to_analog(model, "pcm", example=x)`, one line and nothing kept digital by hand, was tried on {all} architectures of
timm, torchvision and transformers with random weights: small ones of their families, on small inputs. **{converts} convert
({share:.0%})**, and {goal} ({goal_share:.0%}) have at least {least:.0%} of the multiply-accumulates with stored matrices on
arrays. With every non-ideality off each answers as the digital network does: the conversion tests that itself and would have
refused otherwise.{told}

On arrays are linear layers and convolutions, recurrent layers, attention projections; layers with a forward of their own, with
weight standardisation, or that a parent reads (fused queries, keys and values); `Conv1D`, LoRA; experts held in one parameter;
products with a parameter by `@`, `einsum` or `torch.nn.functional.linear`. What stays digital is listed in `net.placement`:
embeddings, norms, class tokens, position embeddings and biases, layer scales, state matrices. Products of activations with
each other (attention scores, scans) are digital, too; they are in the column *all*, not in *stored*.

| column | |
|---|---|
| stored | share of the multiply-accumulates with stored matrices that the arrays do |
| all | the same of all multiply-accumulates, products of activations among them |
| states | the digital state dict loads into the converted network, and comes back from it as it was |
| error | change of the first output on one `pcm` chip after {age}, root mean square over its standard deviation |
| time | of a pass on that chip over that of the digital network, one thread, inputs far too small to say what large ones cost |
| MB | growth of the peak memory in that pass |

Error, time and memory are measured for networks of up to {largest:.0f} million parameters; weights are random, so the error says
nothing about trained networks. How it is measured, and how to add an architecture: `benchmarks/zoo/README.md`.
"""


def rows() -> list[dict[str, Any]]:
    """What was found, in the order of the architectures."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]


def page(found: list[dict[str, Any]]) -> str:
    """The page."""
    from settings import AGE, LARGEST

    converts = [row for row in found if row.get("converts")]
    goal = [row for row in converts if row["stored_share"] >= GOAL]
    said = {
        "all": len(found), "converts": len(converts), "share": len(converts) / len(found), "goal": len(goal),
        "goal_share": len(goal) / len(found), "least": GOAL, "age": AGE, "largest": LARGEST / 1e6,
    }  # fmt: skip
    left = [row for row in found if not row.get("converts")]
    told = f" The other {len(left)} are at the end." if left else ""
    parts = [HEAD.format(**said, told=told)]
    for family in dict.fromkeys(row["family"] for row in found):
        parts.append(_family(family, [row for row in converts if row["family"] == family]))
    if left:
        parts.append(_left(left))
    return "\n".join(part for part in parts if part)


def _family(family: str, found: list[dict[str, Any]]) -> str:
    if not found:
        return ""
    lines = [
        f"## {family[0].upper()}{family[1:]}",
        "",
        "| network | parameters | arrays | stored | all | states | error | time | MB |",
    ]
    lines.append("|---|--:|--:|--:|--:|---|--:|--:|--:|")
    lines += map(_line, found)
    return "\n".join([*lines, ""])


def _line(row: dict[str, Any]) -> str:
    return (
        f"| {_name(row)} | {row['parameters'] / 1e6:.2f} M | {row['arrays']} | {row['stored_share']:.1%} | {row['share']:.1%} "
        f"| {'yes' if row['states'] else 'no'} | {_number(row, 'error', '.2f')} | {_number(row, 'time', '.1f')} "
        f"| {_number(row, 'memory', '.0f')} |"
    )


def _number(row: dict[str, Any], name: str, form: str) -> str:
    return format(row[name], form) if name in row else ""


def _name(row: dict[str, Any]) -> str:
    head = f", {row['head'].removeprefix('AutoModelFor')}" if row["head"] else ""
    return f"{row['name']}{head} ({row['library']})"


def _left(left: Iterable[dict[str, Any]]) -> str:
    lines = ["## Refused", "", "| network | what was said | keeping that digital |", "|---|---|---|"]
    for row in left:
        said = " ".join((row.get("refused") or row["failed"]).split()).replace("|", "/")
        lines.append(f"| {_name(row)} | {said[:300]} | {row.get('way_out', '')} |")
    return "\n".join([*lines, ""])


def summary(found: list[dict[str, Any]]) -> str:
    """One line, for the terminal."""
    measured = [row["time"] for row in found if "time" in row]
    failed = [row["name"] for row in found if not row.get("converts")]
    return f"{len(found)} rows, median time {median(measured):.2f} of digital, without: {', '.join(failed) or 'none'}"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(rows()), encoding="utf-8")
    print(summary(rows()))

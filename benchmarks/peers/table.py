"""Prints the tables of this folder's README from the JSON files in `results/`.

python table.py [accuracy | moments | speed] [--out results]
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mho.statistics.intervals import mean_interval, t_quantile

RESULTS = Path(__file__).parent / "results"
_CASES = {
    "forward": "ResNet-20, 100 images",
    "linear": "Linear 512 × 512, 256 vectors",
    "step": "HWA step, ResNet-20, 128 images",
    "drift": "Drift study, 25 evaluations of {samples:,} images",
}


_RANGES = {
    "calibrated": "one range a layer",
    "abs_max": "a range for every vector (`abs_max`)",
    "default": "AIHWKit's default (`abs_max`, bound management)",
}


def welch(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Difference of the means of two independent samples, and half of its interval (Welch 1947)."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    u, v = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    if u + v == 0:
        return float(x.mean() - y.mean()), 0.0
    freedom = (u + v) ** 2 / (u**2 / (len(x) - 1) + v**2 / (len(y) - 1))
    return float(x.mean() - y.mean()), t_quantile(confidence, freedom) * math.sqrt(u + v)


def line(*cells: object) -> str:
    """One row of a markdown table."""
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def heading(*cells: object) -> str:
    """First rows of a markdown table."""
    return "\n".join((line(*cells), line(*("---" for _ in cells))))


def accuracy(folder: Path) -> Iterator[str]:
    """Means over chips with their 95 % intervals, then differences to mho with the same rows."""
    arms = [json.loads(path.read_text()) for path in sorted(folder.glob("accuracy-*.json"))]
    arms = [arm for arm in arms if len(arm["chips"]) > 1]
    for what, unit in (("accuracy", "%"), ("score_error", "%")):
        ages = arms[0]["chips"][0]["ages"] if arms else []
        name = {"accuracy": "accuracy", "score_error": "relative error of the class scores"}[what]
        yield heading(f"{name}, {unit}", "rows", "chips", *ages)
        values = {(arm["tool"], arm["rows"]): np.array([chip[what] for chip in arm["chips"]]) * 100 for arm in arms}
        for (tool, rows), table in values.items():
            cells = [mean_interval(table[:, i]) for i in range(len(ages))]
            yield line(tool, rows, len(table), *(f"{c.value:.2f} ± {c.half_width:.2f}" for c in cells))
        for (tool, rows), table in values.items():
            if tool == "mho" or ("mho", rows) not in values:
                continue
            other = values["mho", rows]
            cells = []
            for i in range(len(ages)):
                difference, half = welch(other[:, i], table[:, i])
                bold = "**" if abs(difference) > half else ""
                cells.append(f"{bold}{difference:+.2f} ± {half:.2f}{bold}")
            yield line(f"mho minus {tool}", rows, "", *cells)
        yield ""
    if arms:
        yield f"Digital: {100 * arms[0]['digital']:.2f} % of {arms[0]['n']:,} images. Bold: the 95 % interval of the "
        yield "difference (Welch) leaves out 0."


def moments(folder: Path) -> Iterator[str]:
    """Mean over layers and chips of what the arrays hold, and in how many layers tools differ."""
    for path in sorted(folder.glob("moments-*.json")):
        found = json.loads(path.read_text())
        yield f"{found['rows']} rows, {found['chips']} chips:"
        yield ""
        by_chip = found["by_chip"]
        tools = list(by_chip)
        ages = list(by_chip["mho"]["gain"])
        for what in ("gain", "error", "gdc"):
            yield heading(what, *ages)
            for tool in tools:
                cells = [mean_interval(by_chip[tool][what][age]) for age in ages]
                yield line(tool, *(f"{c.value:.4f} ± {c.half_width:.4f}" for c in cells))
            for tool in tools[1:]:
                pairs = [welch(by_chip["mho"][what][age], by_chip[tool][what][age]) for age in ages]
                marks = ["**" if abs(d) > h else "" for d, h in pairs]
                yield line(
                    f"mho minus {tool}",
                    *(f"{m}{d:+.4f} ± {h:.4f}{m}" for (d, h), m in zip(pairs, marks, strict=True)),
                )
            yield ""
        yield heading("without cells", "tile", *(next(iter(_without(found["without_cells"])))[2]))
        for layer, tile, row in _without(found["without_cells"]):
            yield line(layer, tile, *(f"{value:.3g}" for value in row.values()))
        yield ""
    for path in sorted(folder.glob("converters-*.json")):
        found = json.loads(path.read_text())
        name = path.stem.removeprefix("converters-")
        yield heading(f"{_RANGES[name]}, {found['rows']} rows", "tile", *(next(iter(_without(found)))[2]))
        for layer, tile, row in _without(found):
            yield line(layer, tile, *(f"{value:.3g}" for value in row.values()))
        yield ""


def _without(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, float]]]:
    for layer, tiles in found["layers"].items():
        for tile, row in tiles.items():
            yield layer, tile, row


def speed(folder: Path) -> Iterator[str]:
    """Times relative to the digital network, and memory."""
    paths = sorted(folder.glob("speed-*.json"), key=lambda path: path.stem.replace("calibrated", "a"))
    if not paths:
        yield "No timing yet: `python benchmarks/peers/speed.py`."
    for path in paths:
        found = json.loads(path.read_text())
        threads = int(found["versions"]["threads"])
        tools = list(dict.fromkeys(tool for row in found["cases"].values() for tool in row["tools"]))
        what = f"{_RANGES[found['ranges']]}, {threads} thread{'s' * (threads > 1)}{found.get('note', '')}"
        yield heading(what, *tools)
        for case, row in found["cases"].items():
            yield line(_name(case, row), *(_time(case, tool, row, threads) for tool in tools))
        for case, row in found["cases"].items():
            cells = [row["tools"].get(tool, {}).get("peak_mb") for tool in tools]
            if any(cells):
                yield line(f"{_name(case, row)}: memory, MB", *("-" if mb is None else f"{mb:.0f}" for mb in cells))
        yield ""
        yield ", ".join(f"{key} {value}" for key, value in found["versions"].items())
        yield ""


def _name(case: str, row: dict[str, Any]) -> str:
    return _CASES[case].format(samples=row.get("samples") or 0)


def _time(case: str, tool: str, row: dict[str, Any], threads: int) -> str:
    found = row["tools"].get(tool)
    if found is None:
        return "-"
    total = found.get("study_cpu_seconds")
    if tool == "digital":
        return f"{1e3 * found['seconds']:.3g} ms" if total is None else f"{total:.0f} s"
    kind = "cpu_" if threads == 1 else ""
    low, high = found[f"{kind}quartiles"]
    text = f"{found[f'{kind}ratio']:.2f} [{low:.2f}, {high:.2f}]"
    return text if total is None else f"{text}, {total:.0f} s"


def write(folder: Path, readme: Path) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->` in the README by the tables."""
    text = readme.read_text()
    for name, table in _TABLES.items():
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not mark or not end:
            raise SystemExit(f"{readme} has no marks for '{name}'")
        text = before + mark + "\n" + "\n".join(table(folder)).strip() + "\n\n" + end + after
    readme.write_text(text)


_TABLES = {"accuracy": accuracy, "moments": moments, "speed": speed}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", choices=tuple(_TABLES), help="all of them unless given")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON files")
    parser.add_argument("--write", action="store_true", help="into the README")
    given = parser.parse_args()
    if given.write:
        write(given.out, Path(__file__).parent / "README.md")
        return
    for name in [given.table] if given.table else _TABLES:
        print("\n".join(_TABLES[name](given.out)), end="\n\n")


if __name__ == "__main__":
    main()

"""Figures and tables of the studies, drawn from their stored rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from mho.errors import BadResults
from mho.measure import DriftResult
from mho.measure.sentence import bracket, percent, show_age
from mho.reports.comparison import loss_over_time
from mho.studies.drift import BUDGET, Arm, results

_TITLES = {
    "networks": "Networks on 'pcm'",
    "hardware": "ResNet-20 on different hardware",
    "compensation": "ResNet-20 on 'pcm': what compensation does",
    "causes": "ResNet-20 on 'pcm': what decides it",
}
_REFERENCE = "pcm-cifar10_resnet20"


def write_drift(out: Path) -> Iterator[Path]:
    """Draw the drift study: one figure a group, one table of all arms, the table of costs.

    Raises:
        BadResults: Nothing is stored there.
    """
    stored = list(results(out))
    if not stored:
        raise BadResults("no arm of the study is stored here", "measure it first: mho study drift", path=str(out))
    figures = out / "figures"
    figures.mkdir(exist_ok=True)
    for group, title in _TITLES.items():
        runs = [(arm.label, result) for arm, result in stored if arm.group == group]
        runs = [*[("pcm, as it is", r) for a, r in stored if a.name == _REFERENCE and group != "networks"], *runs]
        if runs:
            path = figures / f"{group}.svg"
            path.write_text(loss_over_time(group, title, runs, BUDGET).svg, encoding="utf-8")
            yield path
    table = out / "table.md"
    table.write_text(_table(stored) + _costs(out / "cost.json"), encoding="utf-8")
    yield table


def _table(stored: list[tuple[Arm, DriftResult]]) -> str:
    ages = stored[0][1].ages_s
    head = ["arm", "digital", *(show_age(age) for age in ages), "chips", "lifetime at 1 %", "yield at 1 day"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for arm, result in stored:
        cells = [bracket(s.mean, s.low, s.high) for s in result.summary()]
        day = result.yield_at("1 day", BUDGET)
        row = [
            arm.name,
            percent(result.digital.accuracy),
            *cells,
            str(len(result.chips)),
            str(result.lifetime(BUDGET)),
            str(day),
        ]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def _costs(path: Path) -> str:
    if not path.exists():
        return ""
    lines = [
        "\n| network | hardware | batch | digital ms | time / digital [quartiles] | program + age ms | "
        "memory digital MB | memory analog MB |",
        "|" + "---|" * 8,
    ]
    for row in json.loads(path.read_text(encoding="utf-8")):
        low, high = row["time_ratio_quartiles"]
        lines.append(
            f"| {row['network']} | {row['hardware']} | {row['batch']} | {row['digital_ms']:.0f} | "
            f"{row['time_ratio']:.2f} [{low:.2f}, {high:.2f}] | {row['program_and_age_ms']:.0f} | "
            f"{row['digital_mb']:.0f} | {row['analog_mb']:.0f} |"
        )
    return "\n".join(lines) + "\n"

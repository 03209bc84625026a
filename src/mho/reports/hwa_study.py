"""Figures and tables of the study of hardware-aware fine-tuning, drawn from its stored rows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from mho.errors import BadResults
from mho.measure import DriftResult
from mho.measure.paired import paired
from mho.measure.sentence import bracket, percent, show_age
from mho.reports.figures import age_axis
from mho.reports.svg import BLUE, GREEN, INK, MUTED, PAPER, RUST, STYLE, canvas, to_svg
from mho.statistics.curves import log_age
from mho.statistics.intervals import Interval, mean_interval, wilson_interval
from mho.studies.hwa import BUDGET, Arm, results

_COLOURS = (MUTED, RUST, "#7a4fa3", BLUE, GREEN, "#b58900")


@dataclass(frozen=True)
class _Line:
    """An arm (with or without recalibrated norms), all training seeds together."""

    arm: Arm
    variant: str
    runs: tuple[DriftResult, ...]

    @property
    def label(self) -> str:
        return self.arm.label + (f", {self.variant[1:]} recalibrated" if self.variant else "")

    @property
    def of(self) -> tuple[str, str]:
        """Network and hardware."""
        return self.arm.subject.label, self.arm.hardware

    def at(self, age: int) -> Interval:
        """Mean accuracy; the interval is over training seeds, or over chips where nothing was trained."""
        if len(self.runs) == 1:
            return mean_interval(self.runs[0].accuracy[:, age])
        return mean_interval([run.accuracy[:, age].mean() for run in self.runs])

    def gain(self, base: DriftResult, age: int) -> Interval:
        """Accuracy above `base` on the same chips, likewise."""
        if len(self.runs) == 1:
            return paired(self.runs[0], base)[age]
        return mean_interval([paired(run, base)[age].value for run in self.runs])

    @property
    def digital(self) -> float:
        return float(np.mean([run.digital.accuracy for run in self.runs]))

    def spread(self, age: int) -> float:
        """σ_chip, root of the mean over seeds."""
        return math.sqrt(float(np.mean([run.summary()[age].sigma_chip ** 2 for run in self.runs])))


def write_hwa(out: Path) -> Iterator[Path]:
    """Draw the study: accuracy over time, accuracy against the size of the noise, and a table of all arms.

    Raises:
        BadResults: Nothing is stored there.
    """
    lines = _lines(out)
    if not lines:
        raise BadResults("no arm of the study is stored here", "measure it first: mho study hwa", path=str(out))
    figures = out / "figures"
    figures.mkdir(exist_ok=True)
    drawn = {"sizes": _sizes(lines)} if any(line.arm.sigma is not None for line in lines) else {}
    for of in dict.fromkeys(line.of for line in lines):
        wanted = [n for n in lines if n.of == of and n.arm.sigma is None and not n.arm.changes]
        name = f"ages-{of[0].split()[0].lower()}-{of[1]}"
        if len(wanted) > 1:
            drawn[name] = _ages(name, wanted)
    for name, svg in drawn.items():
        path = figures / f"{name}.svg"
        path.write_text(svg, encoding="utf-8")
        yield path
    table = out / "table.md"
    table.write_text(_table(lines) + _ranges(out / "ranges.json"), encoding="utf-8")
    yield table


def _lines(out: Path) -> list[_Line]:
    found: dict[tuple[str, str], list[tuple[Arm, DriftResult]]] = {}
    for arm, variant, _, result in results(out):
        found.setdefault((arm.name, variant), []).append((arm, result))
    return [_Line(runs[0][0], variant, tuple(r for _, r in runs)) for (_, variant), runs in found.items()]


def _ages(name: str, lines: Sequence[_Line]) -> str:
    """Accuracy over time of the arms of one network on one hardware."""
    settings: Any = {**STYLE, "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        figure, ax = canvas(3.8, width=8.4)
        ages = lines[0].runs[0].ages_s
        x = log_age(ages, ages)
        for line, colour in zip(lines, _COLOURS, strict=False):
            at = [line.at(i) for i in range(len(ages))]
            low, high = [100 * a.low for a in at], [100 * a.high for a in at]
            dashes = (0, (4, 2)) if line.variant else "solid"
            ax.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
            ax.plot(x, [100 * a.value for a in at], color=colour, linestyle=dashes, marker="o", markersize=4.5,
                    markeredgecolor=PAPER, markeredgewidth=0.8, label=line.label)  # fmt: skip
        digital = 100 * lines[0].runs[0].digital.accuracy
        ax.axhline(digital, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
        ax.axhline(digital - 100 * BUDGET, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
        age_axis(ax, lines[0].runs[0], apart=0.13)
        ax.set_ylim(min(100 * line.at(len(ages) - 1).value for line in lines) - 3, digital + 1)
        ax.set_ylabel("accuracy (%)")
        ax.legend(frameon=False, fontsize=8, loc="lower left")
        return to_svg(figure)


def _sizes(lines: Sequence[_Line]) -> str:
    """Accuracy against σ at three ages; single training seeds behind their mean."""
    arms = sorted((line for line in lines if line.arm.sigma is not None), key=lambda line: line.arm.sigma or 0.0)
    base = next((line for line in lines if line.arm.name == "pcm-published" and not line.variant), None)
    settings: Any = {**STYLE, "svg.hashsalt": "sizes"}
    with matplotlib.rc_context(settings):
        figure, ax = canvas(3.6, width=8.4)
        ages = lines[0].runs[0].ages_s
        x = np.arange(len(arms))
        for age, colour in ((0, BLUE), (2, GREEN), (4, RUST)):
            for i, line in enumerate(arms):
                ax.plot([i] * len(line.runs), [100 * r.accuracy[:, age].mean() for r in line.runs], color=colour,
                        linestyle="", marker="_", markersize=9, alpha=0.6)  # fmt: skip
            ax.plot(x, [100 * line.at(age).value for line in arms], color=colour, marker="o", markersize=4.5,
                    markeredgecolor=PAPER, markeredgewidth=0.8, label=f"after {show_age(ages[age])}")  # fmt: skip
            if base is not None:
                ax.axhline(100 * base.at(age).value, color=colour, linewidth=0.9, linestyle=(0, (2, 2)))
        ax.plot(
            x, [100 * line.digital for line in arms], color=INK, linewidth=0.9, linestyle=(0, (5, 3)), label="digital"
        )
        if base is not None:  # what lies far below is told in words, so that the top of the curve can be seen
            floor = 100 * base.at(len(ages) - 1).value - 3
            top = 100 * max(base.runs[0].digital.accuracy, *(line.digital for line in arms)) + 1
            ax.set_ylim(floor, top)
            for i, line in enumerate(arms):
                values = [100 * line.at(age).value for age in (0, 2, 4)]
                if max(values) < floor:
                    told = f"{min(values):.0f} to {max(values):.0f} %"
                    ax.annotate(
                        told, (i, floor), (0, 4), textcoords="offset points", ha="right", fontsize=8, color=MUTED
                    )
        ax.set_xticks(x, [f"{line.arm.sigma:g}" for line in arms])
        ax.set_xlabel("σ of the weight noise in training, share of the column's largest weight (dotted: not trained)")
        ax.set_ylabel("accuracy (%)")
        ax.legend(frameon=False, fontsize=8, loc="lower left", ncols=4)
        return to_svg(figure)


def _table(lines: Sequence[_Line]) -> str:
    ages = lines[0].runs[0].ages_s
    head = ["network", "hardware", "arm", "digital", *(show_age(age) for age in ages), "gain at 1 day", "gain at 1 year",
            "σ_chip at 1 day", "seeds × chips"]  # fmt: skip
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    bases = {n.of: n.runs[0] for n in lines if n.arm.recipe is None and not n.variant and not n.arm.changes}
    for line in lines:
        at = [line.at(i) for i in range(len(ages))]
        base = bases.get(line.of)
        gains = (
            ["–", "–"] if base is None or base is line.runs[0] else [_points(line.gain(base, age)) for age in (2, 4)]
        )
        rows.append("| " + " | ".join([
            *line.of, line.label, percent(line.digital),
            *(f"{100 * a.value:.1f} ± {100 * a.half_width:.1f}" for a in at), *gains,
            f"{100 * line.spread(2):.2f}", f"{len(line.runs)} × {len(line.runs[0].chips)}",
        ]) + " |")  # fmt: skip
    return "\n".join(rows) + "\n"


def _ranges(path: Path) -> str:
    """Accuracy by ranges and bits, with Wilson's interval of the share of right answers."""
    if not path.exists():
        return ""
    rows = json.loads(path.read_text(encoding="utf-8"))
    bits = list(dict.fromkeys(row["bits"] for row in rows))
    lines = [
        "",
        "| ranges of DAC and ADC | " + " | ".join(f"{b} bits" for b in bits) + " |",
        "|" + "---|" * (len(bits) + 1),
    ]
    for name in dict.fromkeys(row["ranges"] for row in rows):
        found = [wilson_interval(row["right"], row["samples"]) for row in rows if row["ranges"] == name]
        lines.append(f"| {name} | " + " | ".join(bracket(f.value, f.low, f.high) for f in found) + " |")
    return "\n".join(lines) + "\n"


def _points(gain: Interval) -> str:
    return f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"

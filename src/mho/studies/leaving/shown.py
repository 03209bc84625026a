"""Figures of exits over σ and over energy, and BranchyNet's table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mho.studies.figure import Figure, Series, points
from mho.studies.leaving.claims import OLDEST
from mho.studies.leaving.measured import Measured
from mho.studies.leaving.rows import RULES
from mho.studies.outcome import Results
from mho.studies.placed import DIGITAL, Place, Values, over, shown
from mho.studies.table import Table

_PUBLISHED = {
    "b-lenet-equal": ("99.20", "99.25", "5.4", "94.3, 5.6"),
    "b-alexnet": ("78.38", "79.19", "1.5", "65.6, 25.2, 9.2"),
    "resnet110": ("80.70", "79.17", "1.9", "41.5, 13.8, 44.7"),
}
"""By arm: accuracy without and with exits (%), gain in time on a CPU, share that leaves at each exit (%) (arXiv:1709.01686,
its table)."""


def over_sigma(arm: Measured) -> Figure:
    """Accuracy of each exit."""
    series = [
        Series(f"exit {k + 1}", points([arm.level((f"σ {s:g}", "0 s"), k) for s in arm.sigmas]), arm.sigmas)
        for k in range(arm.count)
    ]
    return Figure(f"sigma-{arm.name}", arm.label, series, "accuracy (%)", "linear", "σ of a cell", high=100)


def fronts(arm: Measured, results: Results[Any, Any]) -> list[Figure]:
    """Accuracy over energy by entropy, of fixed exits, and of networks of an exit's depth alone, on noisy and on aged chips."""
    alone = [
        (outcome.arm.alone, Measured(outcome))
        for outcome in results.values()
        if outcome.arm.alone and outcome.arm.name.startswith(f"{arm.name}-alone")
    ]
    found = []
    places: dict[str, Place] = {"noisy": ("σ 0.1", "0 s"), "aged": ("pcm", OLDEST)}
    for name, place in places.items():
        if place not in arm.places:
            continue
        energies = arm.at(place)[0]["exit_energy"]
        fixed = [arm.level(place, k) for k in range(len(energies))]
        series = [
            _by_entropy(arm, place), Series("fixed exits", points(fixed), [100 * e for e in energies], "points")
        ]  # fmt: skip
        if alone:
            levels = [over(other.values(place, "accuracy")) for _, other in alone]
            series.append(Series("trained alone", points(levels), [100 * energies[k - 1] for k, _ in alone], "points"))
        title = f"{arm.label}: {shown(place)}"
        found.append(Figure(f"energy-{name}-{arm.name}", title, series, "accuracy (%)", "linear",
                            "energy (% of the network without exits)", legend=True))  # fmt: skip
    return found


def _by_entropy(arm: Measured, place: Place) -> Series:
    """Mean accuracy over mean energy, of each budget."""
    count = len(arm.at(place)[0]["front"]["energy"])

    def each(key: str) -> list[Values]:
        return [arm.each(place, lambda row, k=k: row["front"][key][k]) for k in range(count)]  # type: ignore[misc]

    return Series("by entropy", points(list(map(over, each("accuracy")))), [100 * t.mean() for t in each("energy")])


def rules(arms: Sequence[Measured]) -> Table:
    """Accuracy by each rule, tuned for one budget, and what it spends; digitally, on noisy and on aged chips."""
    lines = []
    for arm in arms:
        for place in (DIGITAL, ("σ 0.1", "0 s"), ("pcm", OLDEST)):
            if place in (DIGITAL, *arm.places):
                lines.append([arm.label, shown(place), *(_with_spent(arm, place, name) for name in ("again", *RULES))])
    head = ["Thresholds tuned for one budget: accuracy (%) with MACs (%)", "at", "entropy", *RULES]
    return Table(head, lines)


def _with_spent(arm: Measured, place: Place, name: str) -> str:
    accuracy, macs = (100 * arm.values(place, f"{name}_{what}").mean() for what in ("accuracy", "macs"))
    return f"{accuracy:.1f} with {macs:.0f}"


def branchynet(arms: Sequence[Measured]) -> Table:
    """What exits save on digital networks for half a point where thresholds are chosen, beside what BranchyNet reports."""
    lines = []
    for arm in arms:
        found = [row["one_point"] for row in arm.digitals]
        accuracy, macs = (np.mean([each[key] for each in found]) for key in ("accuracy", "macs"))
        shares = np.mean([list(each["shares"].values()) for each in found], 0)
        last = np.mean([row["accuracy"][-1] for row in arm.digitals])
        left = ", ".join(f"{100 * share:.1f}" for share in shares)
        mine = [f"{100 * last:.2f}", f"{100 * accuracy:.2f}", f"{1 / macs:.1f}", left]
        lines.append([arm.label, *mine, *_PUBLISHED.get(arm.name, ("",) * 4)])
    head = ["Digital, thresholds for half a point less", "last exit (%)", "with exits (%)", "MACs: ×", "leave at (%)",
            "BranchyNet: without (%)", "with (%)", "time on a CPU: ×", "leave at (%)"]  # fmt: skip
    return Table(head, lines)

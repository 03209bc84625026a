"""Figures of exits over σ and over energy, and BranchyNet's table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mho.statistics.intervals import mean_interval
from mho.studies.figure import Figure, Series, points
from mho.studies.leaving.claims import OLDEST
from mho.studies.leaving.measured import Measured
from mho.studies.outcome import Results
from mho.studies.placed import Place, shown
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
        for k in range(len(arm.digital["accuracy"]))
    ]
    return Figure(f"sigma-{arm.name}", arm.label, series, "accuracy (%)", "linear", "σ of a cell")


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
            levels = [other.level(place, k - 1) for k, other in alone]
            series.append(Series("trained alone", points(levels), [100 * energies[k - 1] for k, _ in alone], "points"))
        title = f"{arm.label}: {shown(place)}"
        found.append(Figure(f"energy-{name}-{arm.name}", title, series, "accuracy (%)", "linear",
                            "energy (% of the network without exits)", legend=True))  # fmt: skip
    return found


def _by_entropy(arm: Measured, place: Place) -> Series:
    """Mean accuracy over mean energy, of each budget."""
    rows = [row["front"] for row in arm.at(place)]
    accuracy, energy = (np.array([row[key] for row in rows]) for key in ("accuracy", "energy"))
    levels = [mean_interval(accuracy[:, k]) for k in range(accuracy.shape[1])]
    return Series("by entropy", points(levels), list(100 * energy.mean(0)))


def branchynet(arms: Sequence[Measured]) -> Table:
    """What exits save on digital networks for half a point where thresholds are chosen, beside what BranchyNet reports."""
    lines = []
    for arm in arms:
        one = arm.digital["one_point"]
        shares = ", ".join(f"{100 * share:.1f}" for share in one["shares"].values())
        mine = [
            f"{100 * arm.digital['accuracy'][-1]:.2f}",
            f"{100 * one['accuracy']:.2f}",
            f"{1 / one['macs']:.1f}",
            shares,
        ]
        lines.append([arm.label, *mine, *_PUBLISHED.get(arm.name, ("",) * 4)])
    head = ["Digital, thresholds for half a point less", "last exit (%)", "with exits (%)", "MACs: ×", "leave at (%)",
            "BranchyNet: without (%)", "with (%)", "time on a CPU: ×", "leave at (%)"]  # fmt: skip
    return Table(head, lines)

"""Tables and figures that the studies of noise have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mho.statistics.intervals import Interval
from mho.studies.figure import Figure, Series, points
from mho.studies.noise.measured import Measured, interval
from mho.studies.noise.settings import SETTINGS
from mho.studies.outcome import show_level
from mho.studies.table import Table

LOST = (0.01, 0.05, 0.1)


def accuracies(arms: Sequence[Measured], group: str = "arm") -> Table:
    """Without noise: accuracy and training seeds. `group`: what stands over the arms."""
    rows = []
    for arm in arms:
        failed = f"{len(arm.failed)} of {len(arm.failed) + len(arm.seeds)}" if arm.failed else "none"
        rows.append((arm.label, level(arm.clean) if arm.seeds else "–", str(len(arm.seeds)), failed))
    return Table(
        (group, "accuracy without noise (%)", "training seeds", "left out: diverged, at chance, or not there"), rows
    )


def averages(arms: Sequence[Measured], settings: Sequence[str], group: str = "") -> list[Table]:
    """One table a setting: mean accuracy under noise, A_avg, the part above chance, the area, what is lost where, and how many
    answers are not finite."""
    found = []
    for name in settings:
        rows = []
        for arm in arms:
            if not arm.has(name):
                continue
            shares = arm.averages(name)
            tables = (shares * arm.about("score"), shares, arm.kept(name), arm.areas(name))
            lost = [_eta(arm.lost_at(name, worth)) for worth in LOST]
            rows.append((arm.label, *(level(interval(table)) for table in tables), *lost, str(arm.not_finite(name))))
        head = (f"{group}, noise on: {SETTINGS[name].label}".removeprefix(", "), "mean accuracy (%)", "A_avg (%)",
                "above chance (%)", "area (%)", *(f"η at -{100 * worth:g} points" for worth in LOST), "not finite")  # fmt: skip
        found.append(Table(head, rows))
    return [table for table in found if table.rows]


def curves(name: str, title: str, arms: Sequence[Measured], setting: str) -> Figure:
    """a(η) of each arm under a setting."""
    series = []
    for arm in arms:
        if arm.has(setting):
            etas, shares = arm.shares(setting)
            series.append(Series(arm.label, points([Interval(1.0, 1.0, 1.0), *shares]), (0.0, *etas)))
    noise = SETTINGS[setting].noise
    of = {"std": "standard deviation", "max": "largest value", "range": "range", "value": "value"}[noise.reference]
    return Figure(
        name, title, series, "accuracy / accuracy without noise (%)", "linear", f"η, share of the {noise.per}'s {of}",
        low=0.0, high=103.0, legend=True,
    )  # fmt: skip


def level(found: Interval) -> str:
    """A share in percent, with its half-width where there is one."""
    return show_level(found) if math.isfinite(found.half_width) else f"{100 * found.value:.1f}"


def _eta(found: Interval) -> str:
    if math.isinf(found.value):
        return "not reached"
    high = "∞" if math.isinf(found.high) else f"{found.high:.3g}"
    return f"{found.value:.3g} [{found.low:.3g}, {high}]"

"""Many simulated studies of each design and stopping rule: what they cost, and how often their intervals are right."""

from __future__ import annotations

from typing import Any

import designs
import numpy as np
import stopping
from designs import Design
from population import Table

from mho.statistics import wilson_interval

TARGET = 0.005


def simulate(
    pop: Table, design: Design, rules: dict[str, stopping.Rule], studies: int, seed: int
) -> list[dict[str, Any]]:
    """One row per rule; the rules judge the same draws."""
    rng = np.random.default_rng(seed)
    pilot = design.values(pop, rng, 300).std(0, ddof=1).max()
    units = int(1.6 * (2 * pilot / TARGET) ** 2) + 25
    ages = len(pop.truth)
    found: dict[str, list[stopping.Stop]] = {name: [] for name in rules}
    for _ in range(studies):
        values = design.values(pop, rng, units)
        for name, rule in rules.items():
            found[name].append(rule(values, TARGET))
    rows = []
    for name, stops in found.items():
        error = np.array([s.mean for s in stops]) - pop.truth
        inside = np.abs(error) <= np.array([s.half for s in stops])
        looks = design.looks * np.array([s.units.mean() for s in stops])
        chips = design.chips * np.array([s.units.max() for s in stops])
        rows.append({
            "design": design.name, "rule": name, "studies": studies,
            "looks": [float(q) for q in np.percentile(looks, [25, 50, 75])], "looks_mean": float(looks.mean()),
            "chips": [float(q) for q in np.percentile(chips, [25, 50, 75])],
            "coverage": [_share(inside[:, age]) for age in range(ages)], "joint": _share(inside.all(1)),
            "bias": [float(b) for b in error.mean(0)], "bias_se": [float(e) for e in error.std(0) / np.sqrt(studies)],
            "rmse": [float(e) for e in np.sqrt((error**2).mean(0))], "reached": float(np.mean([s.reached for s in stops])),
        })  # fmt: skip
    return rows


def everything(populations: dict[str, Table], studies: int, seed: int, progress: Any = print) -> list[dict[str, Any]]:
    """Every design with today's rule, and every rule with the design that was chosen and with the plain loop."""
    rows = []
    for where, pop in populations.items():
        for design in designs.ALL if type(pop) is Table else [designs.plain(), designs.shared(10), designs.shared(20)]:
            every_rule = design.name in ("plain loop", "10 chips share a pass")
            rules = stopping.ALL if every_rule else {"from 8": stopping.ALL["from 8"]}
            for row in simulate(pop, design, rules, studies, seed):
                rows.append({"population": where, **row})
                worst = min(c[0] for c in row["coverage"])
                progress(f"{where:24} {row['design']:44} {row['rule']:28} {row['looks'][1]:8.0f} {100 * worst:6.1f} "
                         f"{100 * row['joint'][0]:6.1f} {row['reached']:.3f}")  # fmt: skip
    return rows


def _share(inside: Any) -> list[float]:
    found = wilson_interval(int(np.count_nonzero(inside)), len(inside))
    return [found.value, found.low, found.high]

"""The tables of a sweep's report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.measure.sentence import show_age
from mho.reports.page import Cell, Head, Row, Table, stacked
from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval, t_quantile
from mho.sweeps.effects import Findings
from mho.sweeps.effects.findings import of_age
from mho.sweeps.effects.sentences import gain, show_mean, show_p, show_share
from mho.sweeps.proof import show

POINTS = 100
"""Points that the table lists."""
_GROUPS = 12
"""Levels with a button of their own; a span has one for each quarter."""
_DIGITS = 5
_FREEDOM = 60


def effects(findings: Findings, age_s: float) -> Table:
    """Every effect at an age."""
    level, rows = findings.measured.plan.confidence, []
    for e in of_age(findings.effects, age_s):
        size = gain(findings.measured.score, e.largest)
        between = e.between + (f" (left out: {e.left_out})" if e.left_out else "")
        acts = "acts" if e.found(level) else "not tested" if math.isnan(e.p) else "not shown"
        rows.append(
            Row((
                e.name, acts, stacked(show_share(e.share), e.share.value), stacked(size, e.largest.value), between,
                Cell(show_p(e.adjusted), e.test, 2.0 if math.isnan(e.adjusted) else e.adjusted),
            ), "" if e.found(level) else "off")
        )  # fmt: skip
    heads = [
        Head("effect", "wrap"), Head("verdict", "text"), Head("share of variance"), Head("largest difference"),
        Head("between", "wrap"), Head("p among all"),
    ]  # fmt: skip
    return Table(heads, rows)


def thresholds(findings: Findings) -> Table:
    """Where each factor starts to cost, at every age."""
    ages = findings.measured.plan.ages
    paths = list(dict.fromkeys(t.path for t in findings.thresholds))
    of = {(t.path, t.age_s): str(t) for t in findings.thresholds}
    heads = [Head("age"), *(Head(path, "wrap") for path in paths)]
    return Table(heads, [Row((Cell(show_age(t), sort=t), *(of.get((p, t), "") for p in paths))) for t in ages])


def levels(findings: Findings, age_s: float) -> Table:
    """Mean, median and life of every level of every factor."""
    score, place = findings.measured.score, findings.measured.plan.ages.index(age_s)
    rows = []
    for c in findings.curves:
        mean, middle = c.means[place], c.bands[place]
        sort = math.inf if c.life is not None and c.life.beyond else c.life.t_s if c.life is not None else 0.0
        rows.append(Row((
            f"{c.path} = {c.level}", stacked(show_mean(score, mean), mean.value),
            stacked(show_mean(score, middle), middle.value),
            Cell("" if c.life is None else str(c.life), sort=sort),
        )))  # fmt: skip
    heads = [
        Head("level", "wrap"), Head("mean"), Head("median, middle half"),
        Head(f"life at {score.show_budget(findings.budget)}", "short"),
    ]  # fmt: skip
    return Table(heads, rows)


def correlations(findings: Findings, age_s: float) -> Table:
    """Pearson's and Spearman's coefficients at an age."""
    rows = [
        Row(
            (
                " with ".join(c.columns),
                str(c.points),
                stacked(_r(c.pearson), c.pearson.value),
                stacked(_r(c.spearman), c.spearman.value),
            )
        )
        for c in of_age(findings.correlations, age_s)
    ]
    return Table([Head("columns", "wrap"), Head("points"), Head("Pearson"), Head("Spearman")], rows)


def _r(found: Interval) -> str:
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def missing(findings: Findings) -> Table:
    """Levels at which trials are missing."""
    heads = [
        Head("factor", "wrap"),
        Head("level", "wrap"),
        Head("trials"),
        Head("not measured yet"),
        Head("failed"),
        Head("pruned"),
        Head("diverged"),
    ]
    return Table(heads, [Row((path, level, *map(str, counts))) for path, level, *counts in findings.missing()])


def fronts(findings: Findings, number: int) -> Table:
    """The points of a front."""
    front, score = findings.fronts[number], findings.measured.score
    rows = [
        Row(
            (
                Cell(f"{p.cost:g}", sort=p.cost),
                str(p.point),
                stacked(show_mean(score, p.score)),
                p.settings,
            )
        )
        for p in front.best
    ]
    return Table([Head(front.path, "short"), Head("point"), Head(score.label), Head("other settings", "wrap")], rows)


def points(findings: Findings) -> Table:
    """The best points at the last age, and what they have at the first."""
    measured = findings.measured
    score, plan = measured.score, measured.plan
    ages = [0, len(plan.ages) - 1] if len(plan.ages) > 1 else [0]
    order = np.argsort(-measured.worths[..., -1].mean(axis=(1, 2)), kind="stable")[:POINTS].tolist()
    rows = []
    for i in order:
        found = [over_units(measured.worths[i, ..., a], plan.confidence) for a in ages]
        cells = [stacked(show_mean(score, f), f.value) for f in found]
        rows.append(
            Row(
                (str(measured.points[i]), *(show(measured.levels[i][p]) for p in plan.factors), *cells),
                point=int(measured.points[i]),
            )
        )
    heads = [
        Head("point"),
        *(Head(p, "short") for p in plan.factors),
        *(Head(f"{score.label}, {show_age(plan.ages[a])}", "short") for a in ages),
    ]
    return Table(heads, rows)


def selection(findings: Findings) -> dict[str, Any]:
    """What the page's script needs to choose points by level and to give their mean with its interval."""
    measured = findings.measured
    plan, score = measured.plan, measured.score
    codes, factors = [], []
    for path in plan.factors:
        names, code = _groups([level[path] for level in measured.levels])
        factors.append({"path": path, "levels": names})
        codes.append(code)
    units = measured.worths.shape[1:3]
    level = plan.confidence
    return {
        "factors": factors,
        "points": measured.points.tolist(),
        "codes": np.array(codes).T.tolist() if codes else [],
        "shape": [*units, len(plan.ages)],
        "worths": _rounded(measured.worths),
        "ages": [show_age(t) for t in plan.ages],
        "drawn": plan.design.drawn,
        "t": [round(t_quantile(level, n), 4) for n in range(1, _FREEDOM + 1)],
        "form": score.form,
        "unit": score.unit,
    }


def _rounded(worths: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in worths.ravel().tolist()]


def _groups(values: Sequence[Any]) -> tuple[list[str], list[int]]:
    """Names of levels, and which of them each point has; many numbers are cut into quarters."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    texts = list(dict.fromkeys(map(show, sorted(numbers) if len(numbers) == len(values) else values)))
    if len(texts) <= _GROUPS or len(numbers) < len(values):
        at = {text: i for i, text in enumerate(texts)}
        return texts, [at[show(v)] for v in values]
    order = np.argsort(np.asarray(values, dtype=float), kind="stable")
    code = np.empty(len(values), dtype=int)
    code[order] = np.arange(len(values)) * 4 // len(values)
    held = [[v for v, c in zip(values, code, strict=True) if c == k] for k in range(4)]
    return [f"{min(part):.3g} … {max(part):.3g}" for part in held], code.tolist()

"""The figures of a sweep's report that lines over an axis can show: curves, spread, and what levels cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mho.measure.sentence import show_age
from mho.reports.age_axis import fewer
from mho.reports.lines import on_axis, plot
from mho.reports.page import capital
from mho.reports.plot import Plot
from mho.statistics.intervals import Interval
from mho.studies import Figure, Series, limit, reference
from mho.sweeps.effects import Findings, LevelCurve, Threshold
from mho.sweeps.effects.sentences import gain, show_mean

MOST = 3
"""Factors that have figures: those with the largest share of the variance."""
_LINES = 8
_AGES = 3


def factors(findings: Findings) -> list[str]:
    """Factors by their share of the variance at the last age, the largest first."""
    plan = findings.measured.plan
    last = {e.paths[0]: e.share.value for e in findings.effects if len(e.paths) == 1 and e.age_s == plan.ages[-1]}
    shares = {path: last.get(path, -1.0) for path in plan.factors}
    return sorted(shares, key=lambda path: -(shares[path] if not math.isnan(shares[path]) else -1.0))


def curves(findings: Findings, path: str) -> Plot | None:
    """Mean score over age at each level of a factor, with its interval."""
    found = [curve for curve in findings.curves if curve.path == path]
    if not found:
        return None
    shown = [found[i] for i in fewer(range(len(found)), _LINES)]
    level = f"{100 * findings.measured.plan.confidence:g} %"
    caption = (
        f"Mean and its {level} interval over other {findings.measured.over}."
        if findings.measured.over
        else "One chip: no interval."
    )
    if len(shown) < len(found):
        caption += f" {len(shown)} of {len(found)} levels; all are in the table of levels."
    if found[0].left_out:
        caption += f" Left out, because not all levels are measured there: {found[0].left_out}."
    return _over_ages(findings, path, shown, [c.means for c in shown], "curve", "over time by", caption)


def spread(findings: Findings, path: str) -> Plot | None:
    """Median and middle half of everything measured at each level of a factor."""
    found = [curve for curve in findings.curves if curve.path == path]
    if not found:
        return None
    shown = [found[i] for i in fewer(range(len(found)), _LINES)]
    caption = (
        "Median of all points, chips and seeds at a level, and the middle half of them. The band shows how far the other factors "
        "spread the score; it is no interval of the median, and bands that overlap say nothing about a difference."
    )
    return _over_ages(findings, path, shown, [c.bands for c in shown], "spread", "spread by", caption)


def _over_ages(
    findings: Findings, path: str, shown: Sequence[LevelCurve], values: Sequence[Sequence[Interval]], kind: str, words: str,
    caption: str,
) -> Plot:  # fmt: skip
    measured = findings.measured
    score, ages = measured.score, measured.plan.ages
    texts = [[show_mean(score, i) for i in row] for row in values]
    series = [
        Series(curve.level, [_inside(findings, on_axis(score, i)) for i in row], ages)
        for curve, row in zip(shown, values, strict=True)
    ]
    digital = float(measured.digital.mean()) if measured.digital.size else math.nan
    levels = [] if math.isnan(digital) else [reference(f"digital: {score.show(digital)}", score.on_axis(digital))]
    figure = Figure(f"{kind}-{_slug(path)}", f"{capital(score.label)} {words} {path}", [*series, *levels], score.axis)
    ends = "; ".join(f"{c.level}: {t[-1]}" for c, t in zip(shown, texts, strict=True))
    return plot(
        figure, texts, alt=f"Line chart of {score.label} against age for the levels of {path}. At {show_age(ages[-1])}: {ends}",
        caption=caption, head=("level", *map(show_age, ages)),
        rows=[(c.level, *t) for c, t in zip(shown, texts, strict=True)],
    )  # fmt: skip


def losses(findings: Findings, path: str) -> Plot | None:
    """What each level loses against the harmless end, at a few ages, with the budget."""
    found = [t for t in findings.thresholds if t.path == path]
    # Only ages at which the levels stand in the order of the last one: the harmless end may change with age.
    same = [t for t in found if t.levels == found[-1].levels]
    if not same:
        return None
    shown = [same[i] for i in fewer(range(len(same)), _AGES)]
    score, last = findings.measured.score, shown[-1]
    factor = 100 if score.share else 1
    unit = "points" if score.share else score.differs.strip()
    places = list(range(len(last.levels)))
    series = [
        Series(
            show_age(t.age_s),
            [_drawn(Interval(*(factor * v for v in (c.value, c.low, c.high)))) for c in t.costs],
            places,
        )
        for t in shown
    ]
    texts = [[_lost(findings, c) for c in t.costs] for t in shown]
    names = (
        last.levels
        if max(map(len, last.levels)) * len(last.levels) < 46
        else [n.partition(" …")[0] for n in last.levels]
    )
    budget = f"budget of {score.show_budget(findings.budget)}"
    figure = Figure(
        f"loss-{_slug(path)}", f"What levels of {path} cost", [*series, limit(budget, factor * findings.budget)],
        f"{score.label} lost ({unit})" if unit else f"{score.label} lost", x=tuple(names), x_label=path,
    )  # fmt: skip
    return plot(
        figure, texts, alt=f"Line chart of what each level of {path} loses against {last.levels[0]}; "
        f"{show_age(last.age_s)}: {last}",
        caption=f"Against {last.levels[0]}, the better end of the range. Intervals hold for all levels of an age at once. "
        f"{_verdict(last)}",
        head=("age", *last.levels), rows=[(show_age(t.age_s), *row) for t, row in zip(shown, texts, strict=True)],
    )  # fmt: skip


def _lost(findings: Findings, cost: Interval) -> str:
    return "0" if cost.value == cost.low == cost.high == 0 else gain(findings.measured.score, cost)


def _verdict(threshold: Threshold) -> str:
    when = show_age(threshold.age_s)
    if threshold.verdict in ("none", "undecided"):
        return f"{capital(str(threshold))} ({when})."
    return f"More than the budget is lost {threshold} ({when})."


def _drawn(found: Interval) -> Interval:
    """An interval that can be drawn: none around what is not known."""
    known = math.isfinite(found.low) and math.isfinite(found.high)
    return found if known else Interval(found.value, found.value, found.value)


def _inside(findings: Findings, found: Interval) -> Interval:
    """An interval on the axis of the score; of a share inside 0 to 100 %."""
    known = _drawn(found)
    return (
        Interval(known.value, max(known.low, 0.0), min(known.high, 100.0)) if findings.measured.score.share else known
    )


def _slug(path: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in path)

"""The figures of a drift report that answer its question: the score, and the yield, over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mho.measure.result import DriftResult
from mho.measure.sentence import show_age
from mho.measure.summary import chance, majority
from mho.reports.age_axis import age_axis
from mho.reports.colours import BLUE, GREEN, INK, MUTED, RUST
from mho.reports.diagnosis import prediction_balance, recall_by_class, variance_shares
from mho.reports.page import capital
from mho.reports.plot import Line, Plot
from mho.reports.svg import DASHES, DOT, axis_width, band, compose, of_line
from mho.statistics.curves import accuracy_at, log_age
from mho.statistics.intervals import wilson_interval

MAX_LINES = 60


def draw(result: DriftResult, budget: float) -> list[Plot]:
    """Every figure that these results can fill."""
    plots = [score_over_time(result, budget)]
    if not result.at_chance(budget):
        plots.append(yield_over_time(result, budget))
    if not any(math.isnan(s.top_share) for s in result.summary()):
        plots.append(prediction_balance(result))
    if any(c.known for c in result.per_class()):
        plots.append(recall_by_class(result))
    if len(result.chips) > 1:
        plots.append(variance_shares(result))
    return plots


def score_over_time(result: DriftResult, budget: float) -> Plot:
    """Mean score with its interval, single chips behind it, the digital level and the budget."""
    score, summary, table, ages = result.score, result.summary(), _on_axis(result), result.ages_s
    digital, floor = score.on_axis(result.digital_score), score.on_axis(result.floor(budget))
    level_text, last = f"{100 * result.header.confidence:g} %", summary[-1]
    life, below = result.lifetime(budget), _levels(result, _limits(result, table, digital, floor))
    shown = table[:: max(1, math.ceil(len(table) / MAX_LINES))]
    several, marked = len(table) > 1, not (life.beyond or life.before or result.at_chance(budget))
    places = len(ages)
    chips = "single chips" if len(shown) == len(table) else f"{len(shown)} of the {len(table)} chips"
    lines = [
        Line(
            f"mean over {len(table)} chips and its {level_text} interval" if several else "the chip", BLUE, marker="o",
            band=several, values=[score.bracket(s.mean, s.low, s.high) for s in summary],
        ),
        *([Line(chips, BLUE, "thin", values=[_range(result, i) for i in range(places)])] if several else []),
        Line(f"digital: {score.show(result.digital_score)}", INK, "dashed"),
        Line(f"less the budget of {score.show_budget(budget)}: {score.show(result.floor(budget))}", RUST, "dotted"),
        *([Line(f"lifetime: {life}", RUST, "dots", "o")] if marked else []),
        *(Line(f"{name}: {score.show(value)}", MUTED, "level") for name, value in below),
    ]  # fmt: skip
    of = {line.label: of_line(i) for i, line in enumerate(lines)}
    names = list(of)

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        x, count = log_age(ages, ages), iter(names)
        mean = of[next(count)]
        if several:
            thin = of[next(count)]
            single: dict[str, Any] = {"marker": "_", "markersize": 16} if places == 1 else {}
            for row in shown:
                ax.plot(x, row, color=BLUE, linewidth=0.6, alpha=0.35, solid_capstyle="butt", **single, **thin)
            low, high = (
                [score.on_axis(w) for w in ends] for ends in zip(*((s.low, s.high) for s in summary), strict=True)
            )
            band(ax, x, low, high, alpha=0.2, color=BLUE, **mean)
        ax.plot(x, [score.on_axis(s.mean) for s in summary], color=BLUE, **DOT, **mean)
        ax.axhline(digital, color=INK, linewidth=0.9, linestyle=DASHES["dashed"], **of[next(count)])
        ax.axhline(floor, color=RUST, linewidth=0.9, linestyle=DASHES["dotted"], **of[next(count)])
        ax.set_ylim(*_limits(result, table, digital, floor))
        age_axis(ax, ages, width=axis_width(wide))
        if marked:
            _mark_lifetime(ax, result, budget, floor, of[next(count)])
        for _, value in below:
            ax.axhline(score.on_axis(value), color=MUTED, linewidth=0.6, **of[next(count)])
        ax.set_ylabel(score.axis)
        return [float(place) for place in x]

    svg, panes = compose("accuracy", paint, height=3.6, lines=lines)
    return Plot(
        "accuracy",
        f"{capital(score.label)} over time",
        f"Line chart of {score.label} against age. The digital network has {score.show(result.digital_score)}; the mean over "
        f"chips goes from {score.show(summary[0].mean)} at {show_age(summary[0].age_s)} to {score.show(last.mean)} "
        f"at {show_age(last.age_s)}.",
        "The interval is over other chips, for this test set. The age axis is logarithmic.",
        ("age", f"mean [{level_text}]", "worst chip", "best chip"),
        [
            (show_age(s.age_s), score.bracket(s.mean, s.low, s.high), score.show(s.minimum), score.show(best))
            for s, best in zip(summary, result.scores.max(axis=0), strict=True)
        ],
        svg,
        panes,
        tuple(lines),
        tuple(show_age(t) for t in ages),
    )


def _limits(result: DriftResult, table: np.ndarray, digital: float, floor: float) -> tuple[float, float]:
    lowest, highest = min(table.min(), floor, digital), max(table.max(), floor, digital)
    if len(table) > 1:  # the interval as well, where it is not far wider than all that was measured
        ends = [result.score.on_axis(end) for s in result.summary() for end in (s.low, s.high)]
        room = highest - lowest
        lowest, highest = max(min(lowest, *ends), lowest - room), min(max(highest, *ends), highest + room)
    margin = 0.06 * (highest - lowest) or 0.1 * abs(highest) or 1.0
    if not result.score.share:
        return lowest - margin, highest + margin
    margin = max(margin, 0.4)
    return max(lowest - margin, -2), min(highest + margin, 102)


def _levels(result: DriftResult, limits: tuple[float, float]) -> list[tuple[str, float]]:
    """What a network reaches that looks at nothing, where it is in the picture."""
    known = [("always the most frequent class", majority(result.header.data)), ("chance", chance(result.header.data))]
    return [(name, level) for name, level in known if limits[0] <= 100 * level <= limits[1]]  # NaN without classes


def _range(result: DriftResult, place: int) -> str:
    column = result.scores[:, place]
    return f"{result.score.show(column.min())} to {result.score.show(column.max())}"


def _mark_lifetime(ax: Axes, result: DriftResult, budget: float, floor: float, gid: dict[str, Any]) -> None:
    life, ages, bottom = result.lifetime(budget), result.ages_s, ax.get_ylim()[0]
    low, at, high = (float(log_age(np.clip(t, ages[0], ages[-1]), ages)) for t in (life.low_s, life.t_s, life.high_s))
    if life.known:
        ax.plot([low, high], [floor, floor], color=RUST, linewidth=4, alpha=0.45, solid_capstyle="butt", **gid)
    ax.plot([at, at], [bottom, floor], color=RUST, linewidth=0.8, **gid)
    ax.plot([at], [floor], color=RUST, **{**DOT, "markersize": 5.5}, **gid)


def yield_over_time(result: DriftResult, budget: float) -> Plot:
    """Share of chips inside the budget, with its Wilson band."""
    ages, confidence = result.ages_s, result.header.confidence
    x = log_age(ages, ages)
    fine = np.unique(np.concatenate([np.linspace(x[0], x[-1], 201), x]))
    offset = math.exp(x[0]) - ages[0]
    values = accuracy_at(ages, result.scores, np.clip(np.exp(fine) - offset, ages[0], ages[-1]))
    inside = (values >= result.floor(budget) - 1e-12).sum(axis=0)
    shares = [wilson_interval(int(k), len(values), confidence) for k in inside]
    measured = [result.yield_at(t, budget) for t in ages]
    level_text, limit = f"{100 * confidence:g} %", result.score.show_budget(budget)
    name = f"chips inside the budget, with the {level_text} interval"
    lines = [Line(name, GREEN, marker="o", band=True, values=list(map(str, measured)))]

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        low, high = [100 * s.low for s in shares], [100 * s.high for s in shares]
        band(ax, fine, low, high, alpha=0.2, color=GREEN, **of_line(0))
        ax.plot(fine, [100 * s.value for s in shares], color=GREEN, **of_line(0))
        dots = [100 * y.share for y in measured]
        ax.plot(x, dots, linestyle="none", color=GREEN, clip_on=False, zorder=5, **DOT, **of_line(0))
        ax.set_ylim(-2, 102)
        ax.set_yticks([0, 25, 50, 75, 100])
        age_axis(ax, ages, width=axis_width(wide))
        ax.set_ylabel("chips inside the budget (%)" if wide else "chips inside (%)")
        return [float(place) for place in x]

    svg, panes = compose("yield", paint, height=2.8, lines=lines)
    first, same = measured[0], len({(y.inside, y.chips) for y in measured}) == 1 and len(set(inside)) == 1
    count = "None" if first.inside == 0 else "All" if first.inside == first.chips else str(first.inside)
    return Plot(
        "yield",
        "Yield over time",
        f"Line chart of the share of chips that lose at most {limit}, from {first} at "
        f"{show_age(ages[0])} to {measured[-1]} at {show_age(ages[-1])}.",
        f"Share of chips whose {result.score.label} is at most {limit} worse than the digital network's. "
        f"Band: {level_text} Wilson interval. Dots are measured; "
        "between them each chip is interpolated on the logarithmic age axis.",
        ("age", "chips inside", f"share [{level_text}]"),
        [(show_age(y.age_s), f"{y.inside} of {y.chips}", str(y)) for y in measured],
        svg,
        panes,
        tuple(lines),
        tuple(show_age(t) for t in ages),
        told=f"{count} of the {first.chips} chips {'is' if count == '1' else 'are'} inside the budget at every age "
        f"measured. Of other chips, {first} would be ({level_text} Wilson interval)." if same and first.chips > 1 else "",
    )  # fmt: skip


def _on_axis(result: DriftResult) -> np.ndarray:
    """Scores (chips, ages) where they stand on the axis."""
    return np.vectorize(result.score.on_axis, otypes=[float])(result.scores)

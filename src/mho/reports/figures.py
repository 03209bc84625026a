"""The figures of a drift report: one function each, from a `DriftResult` to a `Plot`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mho.measure.result import DriftResult
from mho.measure.sentence import percent, show_age
from mho.measure.summary import chance, majority
from mho.reports.svg import BLUE, GREEN, INK, MUTED, PAPER, RUST, STYLE, Plot, canvas, plain, to_svg
from mho.statistics.curves import accuracy_at, log_age
from mho.statistics.intervals import wilson_interval
from mho.units import show_time

P = ParamSpec("P")
MAX_LINES, MAX_CLASSES = 60, 20


_NICE = (1e-6, 1e-3, 1.0, 60.0, 3600.0, 86400.0, 7 * 86400.0, 30 * 86400.0, 365 * 86400.0, 3650 * 86400.0)


def _styled(name: str) -> Callable[[Callable[P, Plot]], Callable[P, Plot]]:
    """Draw under our settings and leave the user's alone; `name` seeds the ids inside the SVG."""
    settings: Any = {**STYLE, "svg.hashsalt": name}
    decorate: Callable[[Callable[P, Plot]], Callable[P, Plot]] = matplotlib.rc_context(settings)
    return decorate


def draw(result: DriftResult, budget: float) -> list[Plot]:
    """Every figure that these results can fill."""
    plots = [score_over_time(result, budget), yield_over_time(result, budget)]
    if result.digital.predicted:
        plots.append(prediction_balance(result))
    if result.header.data.classes:
        plots.append(recall_by_class(result))
    if len(result.chips) > 1:
        plots.append(variance_shares(result))
    return plots


@_styled("accuracy")
def score_over_time(result: DriftResult, budget: float) -> Plot:
    """Mean score with its interval, single chips behind it, the digital level and the budget."""
    figure, ax = canvas(3.8)
    score = result.score
    x, summary, table = log_age(result.ages_s, result.ages_s), result.summary(), _on_axis(result)
    step = max(1, math.ceil(len(table) / MAX_LINES))
    for row in table[::step]:
        ax.plot(x, row, color=BLUE, linewidth=0.6, alpha=0.28, solid_capstyle="butt")
    digital, floor = score.on_axis(result.digital_score), score.on_axis(result.floor(budget))
    if len(table) > 1:
        low, high = (
            [score.on_axis(worth) for worth in ends] for ends in zip(*((s.low, s.high) for s in summary), strict=True)
        )
        ax.fill_between(x, low, high, color=BLUE, alpha=0.22, linewidth=0)
    ax.plot(
        x,
        [score.on_axis(s.mean) for s in summary],
        color=BLUE,
        marker="o",
        markersize=4.5,
        markeredgecolor=PAPER,
        markeredgewidth=0.8,
    )
    ax.axhline(digital, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
    ax.axhline(floor, color=RUST, linewidth=0.9, linestyle=(0, (2, 2)))
    lowest, highest = min(table.min(), floor, digital), max(table.max(), floor, digital)
    margin = 0.06 * (highest - lowest) or 0.1 * abs(highest) or 1.0
    if score.share:
        margin = max(margin, 0.4)
        ax.set_ylim(max(lowest - margin, -2), min(highest + 2 * margin, 104))
    else:
        ax.set_ylim(lowest - margin, highest + 2 * margin)
    age_axis(ax, result.ages_s)
    right = ax.get_xlim()[1]
    ax.annotate(
        f"digital {score.show(result.digital_score)}",
        (right, digital),
        (0, 3),
        textcoords="offset points",
        ha="right",
        color=INK,
    )
    ax.annotate(
        f"less the budget of {score.show_budget(budget)}: {score.show(result.floor(budget))}",
        (right, floor), (0, -4), textcoords="offset points", ha="right", va="top", color=RUST,
    )  # fmt: skip
    _mark_lifetime(ax, result, budget, floor)
    for level, name in (
        (majority(result.header.data), "always the most frequent class"),
        (chance(result.header.data), "chance"),
    ):  # NaN without classes
        if not math.isnan(level) and ax.get_ylim()[0] <= 100 * level <= ax.get_ylim()[1]:
            ax.axhline(100 * level, color=MUTED, linewidth=0.6)
            at = (ax.get_xlim()[0], 100 * level)
            ax.annotate(f"{name} {100 * level:.1f} %", at, (2, 2), textcoords="offset points", color=MUTED)
    ax.set_ylabel(score.axis)
    last, level_text = summary[-1], f"{100 * result.header.confidence:g} %"
    chips = (
        "the chip"
        if len(table) == 1
        else f"{len(table)} chips"
        if step == 1
        else f"{len(table[::step])} of the {len(table)} chips"
    )
    return Plot(
        "accuracy",
        f"{_capital(score.label)} over time",
        f"Line chart of {score.label} against age. The digital network has {score.show(result.digital_score)}; the mean over "
        f"chips goes from {score.show(summary[0].mean)} at {show_age(summary[0].age_s)} to {score.show(last.mean)} "
        f"at {show_age(last.age_s)}.",
        f"Thick line: mean over chips. Band: its {level_text} interval (other chips, this test set). "
        f"Thin lines: {chips}. The age axis is logarithmic.",
        ("age", f"mean [{level_text}]", "worst chip", "best chip"),
        [
            (show_age(s.age_s), score.bracket(s.mean, s.low, s.high), score.show(s.minimum), score.show(best))
            for s, best in zip(summary, result.scores.max(axis=0), strict=True)
        ],
        to_svg(figure),
    )


def _mark_lifetime(ax: Axes, result: DriftResult, budget: float, floor: float) -> None:
    life = result.lifetime(budget)
    if life.beyond or life.before:
        return
    left, right = ax.get_xlim()
    ages = result.ages_s
    low, at, high = (float(log_age(np.clip(t, ages[0], ages[-1]), ages)) for t in (life.low_s, life.t_s, life.high_s))
    bottom = ax.get_ylim()[0]
    if life.known:
        ax.plot([low, high], [floor, floor], color=RUST, linewidth=4, alpha=0.45, solid_capstyle="butt")
    ax.plot([at, at], [bottom, floor], color=RUST, linewidth=0.8)
    ax.plot([at], [floor], marker="o", markersize=5.5, color=RUST, markeredgecolor=PAPER, markeredgewidth=0.8)
    side = -1 if (at - left) > 0.4 * (right - left) else 1
    ax.annotate(
        f"lifetime {life}", (at, bottom), (side * 5, 6), textcoords="offset points",
        ha="right" if side < 0 else "left", color=RUST,
    )  # fmt: skip


@_styled("yield")
def yield_over_time(result: DriftResult, budget: float) -> Plot:
    """Share of chips inside the budget, with its Wilson band."""
    figure, ax = canvas(3.0)
    ages, confidence = result.ages_s, result.header.confidence
    x = log_age(ages, ages)
    fine = np.unique(np.concatenate([np.linspace(x[0], x[-1], 201), x]))
    offset = math.exp(x[0]) - ages[0]
    values = accuracy_at(ages, result.scores, np.clip(np.exp(fine) - offset, ages[0], ages[-1]))
    inside = (values >= result.floor(budget) - 1e-12).sum(axis=0)
    shares = [wilson_interval(int(k), len(values), confidence) for k in inside]
    ax.fill_between(
        fine,
        [100 * s.low for s in shares],
        [100 * s.high for s in shares],
        color=GREEN,
        alpha=0.2,
        linewidth=0,
    )
    ax.plot(fine, [100 * s.value for s in shares], color=GREEN)
    measured = [result.yield_at(t, budget) for t in ages]
    ax.plot(
        x, [100 * y.share for y in measured],
        linestyle="none", marker="o", markersize=4.5, color=GREEN, markeredgecolor=PAPER, markeredgewidth=0.8,
        clip_on=False, zorder=5,
    )  # fmt: skip
    ax.set_ylim(0, 100)
    ax.set_yticks([0, 25, 50, 75, 100])
    age_axis(ax, result.ages_s)
    ax.set_ylabel("chips inside the budget (%)")
    level_text, limit = f"{100 * confidence:g} %", result.score.show_budget(budget)
    return Plot(
        "yield",
        "Yield over time",
        f"Line chart of the share of chips that lose at most {limit}, from {measured[0]} at "
        f"{show_age(ages[0])} to {measured[-1]} at {show_age(ages[-1])}.",
        f"Share of chips whose {result.score.label} is at most {limit} worse than the digital network's. "
        f"Band: {level_text} Wilson interval. Dots are measured; "
        "between them each chip is interpolated on the logarithmic age axis.",
        ("age", "chips inside", f"share [{level_text}]"),
        [(show_age(y.age_s), f"{y.inside} of {y.chips}", str(y)) for y in measured],
        to_svg(figure),
    )


@_styled("balance")
def prediction_balance(result: DriftResult) -> Plot:
    """Share of the most-predicted class, and distance of the predicted classes from the digital network's."""
    figure, ax = canvas(2.8)
    x, summary = log_age(result.ages_s, result.ages_s), result.summary()
    top = 100 * max(result.digital.predicted) / result.digital.samples
    dot: dict[str, Any] = {"marker": "o", "markersize": 4.5, "markeredgecolor": PAPER, "markeredgewidth": 0.8}
    ends = []
    for values, colour, name in (
        ([100 * s.top_share for s in summary], BLUE, "to the most-predicted class"),
        ([100 * s.shift for s in summary], RUST, "moved between classes (net)"),
    ):
        ax.plot(x, values, color=colour, **dot)
        ends.append((values[-1], colour, name))
    highest = max(top, *(end for end, _, _ in ends), *(100 * s.top_share for s in summary))
    ax.set_ylim(0, min(1.3 * highest + 1, 104))
    age_axis(ax, result.ages_s)
    for value, colour, name in ends:
        ax.annotate(name, (x[-1], value), (0, 7), textcoords="offset points", ha="right", color=colour)
    ax.axhline(top, color=INK, linewidth=0.9, linestyle=(0, (5, 3)))
    at = (ax.get_xlim()[0], top)
    ax.annotate(f"digital {top:.1f} %", at, (2, 3), textcoords="offset points", color=INK)
    ax.set_ylabel("predictions (%)")
    last = summary[-1]
    return Plot(
        "balance",
        "Balance of the predictions",
        f"Line chart. At {show_age(last.age_s)} a chip gives {percent(last.top_share)} of its predictions "
        f"to one class (digital {top:.1f} %), and {percent(last.shift)} of them (net) moved to others.",
        "When a chip favours one class, accuracy falls although the information may still be there: a shift "
        "of the decision can be calibrated away. Blue: share of a chip's most-predicted class. Rust: "
        "total-variation distance of its predicted classes from the digital network's. Means over chips.",
        ("age", "most-predicted class", "distance from digital"),
        [("digital", f"{top:.1f} %", "0.0 %")]
        + [(show_age(s.age_s), percent(s.top_share), percent(s.shift)) for s in summary],
        to_svg(figure),
    )


@_styled("classes")
def recall_by_class(result: DriftResult) -> Plot:
    """Recall of each class and age; the deeper the tint, the more is lost."""
    classes = [c for c in result.per_class() if c.samples]
    ranked = sorted(classes, key=lambda c: c.recall[-1] - c.digital)
    shown = [c for c in classes if c in ranked[:MAX_CLASSES]] if len(classes) > MAX_CLASSES else classes
    columns = ["digital", *(show_age(t) for t in result.ages_s)]
    figure, ax = canvas(0.55 + 0.27 * len(shown))
    worst = max([0.05, *(c.digital - r for c in shown for r in c.recall)])
    for row, entry in enumerate(shown):
        for column, value in enumerate((entry.digital, *entry.recall)):
            tint = 0.5 * max(entry.digital - value, 0.0) / worst
            ax.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=RUST, alpha=tint, linewidth=0))
            ax.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=INK)
    ax.set_xlim(-0.5, len(columns) - 0.5)
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xticks(range(len(columns)), columns, color=MUTED)
    ax.set_yticks(range(len(shown)), [plain(c.label)[:24] for c in shown], color=INK)
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    most = ranked[0]
    few = f" The {len(shown)} classes that lose most, of {len(classes)}." if len(shown) < len(classes) else ""
    return Plot(
        "classes",
        "Recall by class",
        f"Table of recall in percent by class and age. '{plain(most.label)}' loses most: "
        f"{percent(most.digital)} digital, {percent(most.recall[-1])} at {columns[-1]}.",
        f"Share of each class's samples that are right, in percent, mean over chips; tinted by loss.{few}",
        ("class", "samples", *columns),
        [
            (c.label, str(c.samples), percent(c.digital), *(percent(r) for r in c.recall))
            for c in (ranked[:MAX_CLASSES] if few else classes)
        ],
        to_svg(figure),
    )


@_styled("variance")
def variance_shares(result: DriftResult) -> Plot:
    """What chips, test samples and the rest add to the variance of the mean accuracy."""
    ages = [show_age(t) for t in result.ages_s]
    figure, ax = canvas(0.75 + 0.27 * len(ages))
    parts = np.array(
        [
            (s.sigma_chip**2 / s.chips, s.sigma_sample**2 / n, s.sigma_residual**2 / (s.chips * n))
            for s in result.summary()
            for n in [result.digital.samples]
        ]
    )
    total = parts.sum(axis=1)
    shares = 100 * np.divide(parts, total[:, None], out=np.zeros_like(parts), where=total[:, None] > 0)
    left = np.zeros(len(ages))
    names = ("chips", "test samples", "rest")
    for k, (name, colour) in enumerate(zip(names, (BLUE, GREEN, MUTED), strict=True)):
        ax.barh(range(len(ages)), shares[:, k], left=left, height=0.62, color=colour, alpha=0.75, linewidth=0)
        ax.annotate(
            name,
            (0.01 + 0.3 * k, 1),
            (0, 4),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
        )
        left += shares[:, k]
    for row, variance in enumerate(total):
        ax.annotate(
            _error(variance, result)[0],
            (100, row),
            (6, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
    ax.annotate(
        "points" if result.score.share else result.score.differs.strip(),
        (1, 1),
        (6, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        color=MUTED,
    )
    ax.set_yticks(range(len(ages)), ages, color=INK)
    ax.set_ylim(len(ages) - 0.5, -0.5)
    ax.set_xlim(0, 100)
    ax.grid(False)
    ax.set_xlabel("share of the variance of the mean (%)")
    return Plot(
        "variance",
        "Where the uncertainty comes from",
        f"Stacked bars by age. At {ages[-1]}, chips make {shares[-1, 0]:.0f} %, test samples "
        f"{shares[-1, 1]:.0f} % and the rest {shares[-1, 2]:.0f} % of the variance of the mean {result.score.label}.",
        "Blue: more chips would help. Green: only more test samples would. Grey: either. To the right, the "
        "standard error of the mean over other chips and other samples.",
        ("age", *names, "standard error"),
        [
            (age, *(f"{share:.0f} %" for share in row), _error(variance, result)[1])
            for age, row, variance in zip(ages, shares, total, strict=True)
        ],
        to_svg(figure),
    )


def _on_axis(result: DriftResult) -> np.ndarray:
    """Scores (chips, ages) where they stand on the axis."""
    return np.vectorize(result.score.on_axis, otypes=[float])(result.scores)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _error(variance: float, result: DriftResult) -> tuple[str, str]:
    """A standard error beside a bar, and in a table."""
    if result.score.share:
        return f"±{100 * math.sqrt(variance):.2f}", f"{100 * math.sqrt(variance):.2f} points"
    return f"±{math.sqrt(variance):.3g}", f"{math.sqrt(variance):.3g}{result.score.differs}"


def age_axis(ax: Axes, ages: Sequence[float], *, apart: float = 0.075) -> None:
    """A logarithmic axis with ages as people write them; an age of 0 stands a decade before the next.

    Labels closer than the share `apart` of the axis to a later one are left out.
    """
    x = log_age(ages, ages)
    pad = 0.02 * (x[-1] - x[0]) or 1.0
    ax.set_xlim(float(x[0] - pad), float(x[-1] + pad))
    wanted = ages if len(ages) <= 8 else (ages[0], *(t for t in _NICE if ages[0] < t < ages[-1]), ages[-1])
    name: Callable[[float], str] = show_age if ages[0] == 0 and len(ages) == 1 else show_time
    kept: list[float] = []
    for t in sorted(wanted, reverse=True):
        here = float(log_age(t, ages))
        if all(abs(here - float(log_age(other, ages))) > apart * (x[-1] - x[0]) for other in kept):
            kept.append(t)
    ax.set_xticks([float(log_age(t, ages)) for t in kept], ["0" if t == 0 else name(t) for t in kept])
    ax.set_xlabel("age after programming")

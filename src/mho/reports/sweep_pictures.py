"""The figures of a sweep's report that have a shape of their own: shares, heat maps, fronts, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mho.measure.sentence import show_age
from mho.reports.colours import BLUE, INK, MUTED, PAPER, RUST
from mho.reports.page import capital
from mho.reports.plot import Line, Plot
from mho.reports.svg import DOT, compose, label, of_line
from mho.statistics.intervals import Interval
from mho.sweeps.effects import Findings, Front, Surface
from mho.sweeps.effects.sentences import show_mean, show_share
from mho.sweeps.proof import show

_EFFECTS = 12
_POINTS = 200
"""Points that parallel coordinates show."""
_ROOM = 0.36
"""Inches that a number needs in a cell."""
_DOTS = 300
"""Points of which a scatter shows those that are not on the front."""
_DENSEST = 0.5
"""How dense the colour of the best cell is; text on it stays readable in both schemes."""


def shares(findings: Findings) -> Plot | None:
    """Share of the variance of each effect at the last age, with its interval."""
    measured = findings.measured
    age, confidence = measured.plan.ages[-1], measured.plan.confidence
    last = [e for e in findings.effects if e.age_s == age and not math.isnan(e.share.value)]
    if not last:
        return None
    order = sorted(last, key=lambda e: -e.share.value)[:_EFFECTS]
    lines = [Line("shown to act", BLUE, "bar"), Line("not shown to act", MUTED, "bar"), Line("interval", INK, "level")]

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        for i, effect in enumerate(order):
            acts, share = effect.found(confidence), effect.share
            ax.barh(i, 100 * share.value, height=0.36, color=BLUE if acts else MUTED, alpha=0.75, linewidth=0,
                    **of_line(0 if acts else 1))  # fmt: skip
            if not (share.low <= 0 and share.high >= 1):
                ax.plot([100 * share.low, 100 * share.high], [i, i], color=INK, linewidth=1.1, **of_line(2))
            name = effect.name if wide or len(effect.name) < 44 else effect.name.replace("hardware.", "")
            ax.text(0, i - 0.28, label(name), fontsize=8 if wide else 7, color=INK, va="bottom", ha="left")
        ax.set_ylim(len(order) - 0.5, -0.75)
        ax.set_xlim(0, 100)
        ax.set_yticks([])
        ax.grid(visible=True, axis="x")
        ax.set_xlabel("share of the variance between points (%)")
        return []

    height = 0.75 + 0.44 * len(order)
    svg, panes = compose("shares", paint, height=height, lines=lines, low=height)
    return Plot(
        "shares", "What decides", f"Bar chart of shares of variance after {show_age(age)}: "
        + "; ".join(f"{e.name} {show_share(e.share)}" for e in order),
        f"At {show_age(age)}; less what noise alone gives. Intervals by drawing "
        f"{measured.over or 'points'} anew, each for itself.",
        ("effect", "share", "shown to act"),
        [(e.name, show_share(e.share), "yes" if e.found(confidence) else "no") for e in order], svg, panes, tuple(lines),
    )  # fmt: skip


def heat(findings: Findings, surface: Surface) -> Plot:
    """Mean score over two factors at the first and the last age."""
    measured, score = findings.measured, findings.measured.score
    ages = [0, len(surface.ages_s) - 1] if len(surface.ages_s) > 1 else [0]
    one, other = surface.levels
    tables = [np.array([[c.value for c in row] for row in surface.cells[a]]) for a in ages]
    low, high = min(float(t.min()) for t in tables), max(float(t.max()) for t in tables)
    known = not surface.error and measured.units > 1

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        ax.grid(visible=False)
        gap_x, gap_y = (len(other) + 0.4, 0.0) if wide else (0.0, len(one) + 1.1)
        size = (3.3 if wide and len(ages) > 1 else 6.6 if wide else 3.0) / len(other)
        for k, a in enumerate(ages):
            dx, dy = k * gap_x, k * gap_y
            for i, row in enumerate(surface.cells[a]):
                for j, cell in enumerate(row):
                    share = (cell.value - low) / (high - low) if high > low else 0.5
                    ax.add_patch(
                        Rectangle(
                            (j + dx, i + dy), 1, 1, facecolor=BLUE, alpha=0.04 + (_DENSEST - 0.04) * share, linewidth=0
                        )
                    )
                    _cell(ax, findings, cell, (j + dx + 0.5, i + dy + 0.5), size, known)
            ax.text(dx, dy - 0.12, show_age(surface.ages_s[a]), fontsize=8, color=INK, va="bottom", ha="left")
        wide_x = len(other) + (len(ages) - 1) * gap_x
        tall_y = len(one) + (len(ages) - 1) * gap_y
        ax.set_xlim(0, wide_x)
        ax.set_ylim(tall_y, -0.6)
        x = [(j + 0.5 + k * gap_x, n) for k in range(len(ages) if wide else 1) for j, n in enumerate(other)]
        y = [(i + 0.5 + k * gap_y, n) for k in range(1 if wide else len(ages)) for i, n in enumerate(one)]
        ax.set_xticks([p for p, _ in x], [label(n) for _, n in x], fontsize=8)
        ax.set_yticks([p for p, _ in y], [label(n) for _, n in y], fontsize=8)
        ax.tick_params(length=0)
        ax.spines["bottom"].set_visible(False)
        ax.set_xlabel(surface.paths[1])
        ax.set_ylabel(surface.paths[0])
        return []

    height = min(5.5, 1.1 + 0.46 * len(one))
    name = "surface-" + "-".join("".join(c if c.isalnum() else "-" for c in path) for path in surface.paths)
    svg, panes = compose(name, paint, height=height, low=min(9.0, 1.2 + (0.46 * len(one) + 0.45) * len(ages)))
    how = "Means over chips and seeds, and over the other factors as the design has them."
    if surface.error:
        each = ", ".join(
            f"{_amount(findings, e)} at {show_age(t)}" for e, t in zip(surface.error, surface.ages_s, strict=True)
        )
        how = "A polynomial fitted to the points that were drawn. Its error (root mean square) in predicting a point that was "
        how += f"left out: {each}."
    left = f" Left out: {surface.left_out}." if surface.left_out else ""
    head = ("age", surface.paths[0], surface.paths[1], score.label)
    rows = [
        (show_age(t), one[i], other[j], show_mean(score, c))
        for t, cells in zip(surface.ages_s, surface.cells, strict=True)
        for i, row in enumerate(cells)
        for j, c in enumerate(row)
    ]
    return Plot(
        name, f"{capital(score.label)} over {surface.name}",
        f"Heat map of {score.label} over {surface.paths[0]} and {surface.paths[1]}, from {score.show(low)} to "
        f"{score.show(high)}.",
        f"{how}{left} Denser is better. All ages with their intervals are in the data below.", head, rows[:600], svg, panes,
    )  # fmt: skip


def _cell(ax: Axes, findings: Findings, cell: Interval, place: tuple[float, float], size: float, known: bool) -> None:
    """The number in a cell, with its interval where there is room for it."""
    score = findings.measured.score
    if size < _ROOM:
        return
    text = show_mean(score, cell).replace(" %", "")
    value, _, ends = text.partition(" [")
    ends = "" if "unknown" in ends else f"[{ends}"
    both = size >= 0.034 * 5.2 * max(len(ends), 1) / 2.6 and bool(ends)
    x, y = place
    ax.text(
        x, y - (0.16 if both else 0), value, fontsize=7.5 if size > 0.42 else 6.5, color=INK, ha="center", va="center"
    )
    if both:
        ax.text(x, y + 0.22, ends, fontsize=5.4, color=INK, ha="center", va="center", in_layout=False)


def _amount(findings: Findings, worth: float) -> str:
    score = findings.measured.score
    return f"{100 * worth:.2g} points" if score.share else f"{worth:.2g}{score.differs}"


def pareto(findings: Findings, front: Front) -> Plot:
    """The score of every point against a cost, and the best that each cost buys."""
    score = findings.measured.score
    age = show_age(findings.measured.plan.ages[-1])
    best = front.best
    lines = [
        Line("best for its cost, with interval", RUST, "solid", "o"), Line("cannot be told from it", BLUE, "dots", "o"),
        Line("other points", MUTED, "dots", "o"),
    ]  # fmt: skip

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        for which, colour, alpha, gid in ((False, MUTED, 0.35, 2), (True, BLUE, 0.75, 1)):
            group = [p for p in front.points if not p.front and p.near is which]
            group = group[:: -(-len(group) // _DOTS) or 1]
            ax.plot([p.cost for p in group], [score.on_axis(p.score.value) for p in group], color=colour, alpha=alpha,
                    **{**DOT, "markersize": 4, "linestyle": ""}, **of_line(gid))  # fmt: skip
        x, y = [p.cost for p in best], [score.on_axis(p.score.value) for p in best]
        ax.plot(x, y, color=RUST, drawstyle="steps-post", linewidth=1.1, **of_line(0))
        for p in best:
            if math.isfinite(p.score.half_width):
                low, high = (
                    (max(p.score.low, 0.0), min(p.score.high, 1.0)) if score.share else (p.score.low, p.score.high)
                )
                ends = sorted((score.on_axis(low), score.on_axis(high)))
                ax.plot([p.cost, p.cost], ends, color=RUST, linewidth=1.4, **of_line(0))
        ax.plot(x, y, color=RUST, **{**DOT, "linestyle": ""}, **of_line(0))
        costs = sorted({p.cost for p in front.points})
        if len(costs) <= 10:
            ax.set_xticks(costs, [f"{c:g}" for c in costs])
        ax.set_xlabel(front.path)
        ax.set_ylabel(score.axis)
        return []

    some = "" if len(front.points) < _DOTS else f" (some of {len(front.points):,})"
    name = "front-" + "".join(c if c.isalnum() else "-" for c in front.path)
    svg, panes = compose(name, paint, height=3.2, lines=lines)
    return Plot(
        name, f"What {front.path} buys", f"Scatter of {score.label} after {age} against {front.path}; the front has "
        + "; ".join(f"{p.cost:g}: {score.show(p.score.value)}" for p in best),
        f"After {age}; each dot is a point of the design{some}. The best of many is partly luck: dots that cannot be told "
        "from the front on the same chips may be as good. Cheaper is to the left.",
        (front.path, score.label, "other settings"),
        [(f"{p.cost:g}", show_mean(score, p.score), p.settings) for p in best],
        svg, panes, tuple(lines),
    )  # fmt: skip


def parallel(findings: Findings) -> Plot | None:
    """Every point as a line through its levels to its score."""
    measured = findings.measured
    plan, score = measured.plan, measured.score
    means = measured.worths[..., -1].mean(axis=(1, 2))
    if len(means) < 3 or float(np.ptp(means)) == 0:
        return None
    order = np.argsort(means, kind="stable")
    picked = order if len(order) <= _POINTS else order[np.unique(np.linspace(0, len(order) - 1, _POINTS).astype(int))]
    paths = list(plan.factors)[:8]
    axes = [_axis([measured.levels[i][path] for i in range(len(means))]) for path in paths]
    low, high = float(means.min()), float(means.max())
    quarter = float(np.quantile(means, 0.75))
    lines = [Line("best quarter", RUST, "solid"), Line("other points", MUTED, "thin")]
    shown = "" if len(picked) == len(means) else f" {len(picked)} of {len(means)} points, evenly over the scores."

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        ax.grid(visible=False)
        for i in picked:
            y = [axis[0][i] for axis in axes] + [(means[i] - low) / (high - low)]
            best = means[i] >= quarter
            style: dict[str, Any] = {"color": RUST, "alpha": 0.7, "linewidth": 1.0, "zorder": 3} if best else {
                "color": MUTED, "alpha": 0.3, "linewidth": 0.7}  # fmt: skip
            ax.plot(range(len(y)), y, **style, gid=f"point{int(measured.points[i])}")
        for k, (_, ticks) in enumerate(axes):
            ax.axvline(k, color=MUTED, linewidth=0.7)
            for place, text in ticks if wide or len(ticks) < 8 else (ticks[0], ticks[-1]):
                ax.text(k + 0.03, place, label(text), fontsize=7, color=INK, va="center",
                        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6, "alpha": 0.75},
                        zorder=5, in_layout=False)  # fmt: skip
        ax.axvline(len(axes), color=MUTED, linewidth=0.7)
        for place, worth in ((0.0, low), (1.0, high)):
            ax.text(len(axes) + 0.03, place, score.show(worth), fontsize=7, color=INK, va="center", zorder=5)
        ax.set_xlim(-0.05, len(axes) + 0.35)
        ax.set_yticks([])
        names = [
            path.rpartition(".")[2] if not wide or len(paths) > 4 else path.partition(".")[2] or path for path in paths
        ]
        below = [f"{n}" if wide or k % 2 == 0 else f"\n{n}" for k, n in enumerate([*names, score.label])]
        ax.set_xticks(range(len(axes) + 1), [label(text) for text in below], fontsize=8 if wide else 7)
        ax.spines["bottom"].set_visible(False)
        ax.tick_params(length=0)
        return []

    svg, panes = compose("parallel", paint, height=3.6, lines=lines, low=3.4)
    best = [measured.levels[i] for i in order[::-1][:10]]
    return Plot(
        "parallel", "Every point", f"Parallel coordinates of {len(picked)} points: their levels of {', '.join(paths)}, and "
        f"their {score.label} from {score.show(low)} to {score.show(high)}.",
        f"Each line is a point of the design, its mean {score.label} at {show_age(plan.ages[-1])} on the right.{shown} "
        "Intervals are in the table of points.",
        ("place", *paths), [(str(k + 1), *(show(level[p]) for p in paths)) for k, level in enumerate(best)],
        svg, panes, tuple(lines),
    )  # fmt: skip


def _axis(levels: list[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Where levels stand between 0 and 1, and the names of some places."""
    numbers = [v for v in levels if isinstance(v, (int, float)) and not isinstance(v, bool)]
    texts = list(dict.fromkeys(map(show, sorted(numbers) if len(numbers) == len(levels) else levels)))
    if len(texts) <= 10:
        step = 1 / max(1, len(texts) - 1)
        return [texts.index(show(v)) * step for v in levels], [(i * step, t) for i, t in enumerate(texts)]
    ranks = {text: i / (len(texts) - 1) for i, text in enumerate(texts)}
    ends = [(0.0, texts[0]), (0.5, texts[len(texts) // 2]), (1.0, texts[-1])]
    return [ranks[show(v)] for v in levels], ends

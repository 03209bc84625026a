"""The figures of a drift report that say why: balance of the predictions, recall by class, sources of variance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from mho.measure.result import DriftResult
from mho.measure.sentence import show_age
from mho.reports.age_axis import age_axis, fewer, short_age
from mho.reports.colours import BLUE, GREEN, INK, MUTED, RUST
from mho.reports.plot import Line, Plot
from mho.reports.svg import DASHES, DOT, axis_width, compose, label, of_line, plain
from mho.statistics.curves import log_age
from mho.tasks.score import percent

MAX_CLASSES = 20


def prediction_balance(result: DriftResult) -> Plot:
    """Share of the most-predicted class, and distance of the predicted classes from the digital network's."""
    x, summary = log_age(result.ages_s, result.ages_s), result.summary()
    top = 100 * max(result.digital.predicted) / result.digital.samples
    shares, moved = [100 * s.top_share for s in summary], [100 * s.shift for s in summary]
    lines = [
        Line("to the most-predicted class", BLUE, marker="o", values=[percent(s.top_share) for s in summary]),
        Line("moved between classes (net)", RUST, marker="s", values=[percent(s.shift) for s in summary]),
        Line(f"most-predicted class, digital: {top:.1f} %", INK, "dashed"),
    ]

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        ax.plot(x, shares, color=BLUE, **DOT, **of_line(0))
        ax.plot(x, moved, color=RUST, **{**DOT, "marker": "s"}, **of_line(1))
        ax.axhline(top, color=INK, linewidth=0.9, linestyle=DASHES["dashed"], **of_line(2))
        ax.set_ylim(0, min(1.1 * max(top, *shares, *moved) + 1, 104))
        age_axis(ax, result.ages_s, width=axis_width(wide))
        ax.set_ylabel("predictions (%)")
        return [float(place) for place in x]

    svg, panes = compose("balance", paint, height=2.6, lines=lines)
    last = summary[-1]
    return Plot(
        "balance",
        "Balance of the predictions",
        f"Line chart. At {show_age(last.age_s)} a chip gives {percent(last.top_share)} of its predictions "
        f"to one class (digital {top:.1f} %), and {percent(last.shift)} of them (net) moved to others.",
        "When a chip favours one class, accuracy falls although the information may still be there: a shift "
        "of the decision can be calibrated away. Moved: total-variation distance of a chip's predicted classes from the "
        "digital network's. Means over chips.",
        ("age", "most-predicted class", "distance from digital"),
        [("digital", f"{top:.1f} %", "0.0 %")]
        + [(show_age(s.age_s), percent(s.top_share), percent(s.shift)) for s in summary],
        svg,
        panes,
        tuple(lines),
        tuple(show_age(t) for t in result.ages_s),
    )


def recall_by_class(result: DriftResult) -> Plot:
    """Recall of each class and age; the deeper the tint, the more is lost."""
    classes = [c for c in result.per_class() if c.known]
    ranked = sorted(classes, key=lambda c: c.recall[-1] - c.digital)
    shown = [c for c in classes if c in ranked[:MAX_CLASSES]] if len(classes) > MAX_CLASSES else classes
    columns = ["digital", *(show_age(t) for t in result.ages_s)]
    worst = max([0.05, *(c.digital - r for c in shown for r in c.recall)])

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        ages = fewer(result.ages_s, 8 if wide else 5)
        names = [show_age(t) if wide else short_age(t) for t in (result.ages_s[i] for i in ages)]
        size = 9 if wide else 7.5
        for row, entry in enumerate(shown):
            for column, value in enumerate((entry.digital, *(entry.recall[i] for i in ages))):
                tint = 0.5 * max(entry.digital - value, 0.0) / worst
                ax.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, color=RUST, alpha=tint, linewidth=0))
                ax.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=INK)
        ax.set_xlim(-0.5, len(ages) + 0.5)
        ax.set_ylim(len(shown) - 0.5, -0.5)
        ax.set_xticks(range(len(ages) + 1), ["digital", *names], color=MUTED, fontsize=size)
        letters = 24 if wide else 14
        ax.set_yticks(range(len(shown)), [label(c.label[:letters]) for c in shown], color=INK, fontsize=size)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        return ()

    height = 0.55 + 0.27 * len(shown)
    svg, panes = compose("classes", paint, height=height, low=height)
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
        svg,
        panes,
    )


def variance_shares(result: DriftResult) -> Plot:
    """What chips, test samples and the rest add to the variance of the mean accuracy."""
    ages, n = [show_age(t) for t in result.ages_s], result.digital.samples
    parts = np.array([
        (s.sigma_chip**2 / s.chips, s.sigma_sample**2 / n, s.sigma_residual**2 / (s.chips * n)) for s in result.summary()
    ])  # fmt: skip
    total = parts.sum(axis=1)
    shares = 100 * np.divide(parts, total[:, None], out=np.zeros_like(parts), where=total[:, None] > 0)
    errors = [_error(variance, result) for variance in total]
    names, colours = ("chips", "test samples", "rest"), (BLUE, GREEN, MUTED)
    lines = [
        Line(name, colour, "bar", values=[f"{share:.0f} %" for share in shares[:, k]])
        for k, (name, colour) in enumerate(zip(names, colours, strict=True))
    ]
    unit = "points" if result.score.share else result.score.differs.strip()

    def paint(ax: Axes, wide: bool) -> Sequence[float]:
        left = np.zeros(len(ages))
        for k, colour in enumerate(colours):
            bars = ax.barh(
                range(len(ages)), shares[:, k], left=left, height=0.62, color=colour, alpha=0.75, linewidth=0
            )
            for bar in bars:
                bar.set_gid(of_line(k)["gid"])
            left += shares[:, k]
        ax.annotate(unit, (1, 1), (6, 4), xycoords="axes fraction", textcoords="offset points", color=MUTED)
        for row, (short, _) in enumerate(errors):
            ax.annotate(short, (100, row), (6, 0), textcoords="offset points", va="center", color=INK)
        ax.set_yticks(range(len(ages)), ages if wide else [short_age(t) for t in result.ages_s], color=INK)
        ax.set_ylim(len(ages) - 0.5, -0.5)
        ax.set_xlim(0, 100)
        ax.grid(False)
        ax.set_xlabel("share of the variance of the mean (%)")
        return list(range(len(ages)))

    height = 0.75 + 0.27 * len(ages)
    svg, panes = compose("variance", paint, height=height, low=height, lines=lines, along="y")
    return Plot(
        "variance",
        "Where the uncertainty comes from",
        f"Stacked bars by age. At {ages[-1]}, chips make {shares[-1, 0]:.0f} %, test samples "
        f"{shares[-1, 1]:.0f} % and the rest {shares[-1, 2]:.0f} % of the variance of the mean {result.score.label}.",
        "Chips: more chips would help. Test samples: only more of them would. Rest: either. To the right, the "
        "standard error of the mean over other chips and other samples.",
        ("age", *names, "standard error"),
        [
            (age, *(f"{share:.0f} %" for share in row), error)
            for age, row, (_, error) in zip(ages, shares, errors, strict=True)
        ],
        svg,
        panes,
        tuple(lines),
        tuple(ages),
    )


def _error(variance: float, result: DriftResult) -> tuple[str, str]:
    """A standard error beside a bar, and in a table."""
    if result.score.share:
        return f"±{100 * math.sqrt(variance):.2f}", f"{100 * math.sqrt(variance):.2f} points"
    return f"±{math.sqrt(variance):.3g}", f"{math.sqrt(variance):.3g}{result.score.differs}"

"""`resampled`: the chosen laws on cells drawn anew, and the intervals that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mho.devices.law import Law
from mho.fitting.choice import Choice, contenders, fitted, preferred
from mho.fitting.measurements import Floats
from mho.fitting.regression import Points
from mho.fitting.shapes import Shape
from mho.fitting.stages import Mask, Stages, drift_points, programming_points, reading_points
from mho.statistics.curves import expanded
from mho.statistics.intervals import Interval

LABELS = {
    "programming_us": ("programming error, σ_p", "µS"),
    "programming_bias_us": ("systematic error of programming", "µS"),
    "nu": ("mean drift exponent ν", ""),
    "nu_std": ("spread of ν over cells", ""),
    "reading_q": ("read noise Q over the conductance", ""),
    "trend_us": ("mean change in a decade of time", "µS"),
    "fluctuation_us": ("fluctuation in a decade of time, s", "µS"),
}
"""Every fitted law in words, with its unit; the names are those of `Fitted` and `Relaxing` in `mho.devices`."""
_GRID = 33
_AT_ONCE = 300_000
_OVERLAP = 0.01
"""Share of cells of a level that are nearer to its neighbour, at which levels count as told apart."""


@dataclass(frozen=True)
class Quantity:
    """One fitted law with its intervals.

    Attributes:
        name: Key of `LABELS`.
        law: As the cell has it; none: 0 everywhere.
        choice: What else was tried.
        shape: Its family.
        coefficients: Of the family, with their intervals.
        at_r: Conductances over g_max.
        curve: The law there.
    """

    name: str
    law: Law | None
    choice: Choice
    shape: Shape
    coefficients: tuple[Interval, ...]
    at_r: tuple[float, ...]
    curve: tuple[Interval, ...]

    def at(self, r: float) -> Interval:
        """The law at a conductance that was measured, between the points of the curve by straight lines."""
        lines = np.array([(i.value, i.low, i.high) for i in self.curve]).T
        return Interval(*(float(np.interp(r, self.at_r, line)) for line in lines))


@dataclass(frozen=True)
class _Drawn:
    """Some cells drawn anew: the chosen laws' coefficients, and the curves of the laws that these cells would have chosen."""

    coefficients: dict[str, Floats]
    curves: dict[str, Floats]


def resampled(
    stages: Stages, *, span_us: tuple[float, float], first_s: float, confidence: float, resamples: int, seed: int
) -> tuple[dict[str, Quantity], Interval]:
    """Every law with intervals, and the number of levels that can be told apart when first read, at `first_s`.

    Cells are drawn with replacement, each with all its readings, and choose among the laws again: the curves' intervals hold
    that uncertainty, too, those of the coefficients are of the chosen law. Odd cells, the form of the read noise and t₀ stay as
    `stages` has them. Percentiles are the expanded ones (`expanded`).
    """
    c = len(stages.r)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(c, np.full(c, 1 / c), size=resamples).astype(float)
    grids = {name: _grid(stages.r[mask]) for name, _, _, mask in _laws(stages)}
    rows = max(1, _AT_ONCE // c)
    parts = [_drawn(stages, weights, span_us, grids) for weights in
             [np.ones((1, c)), *(counts[start : start + rows] for start in range(0, resamples, rows))]]  # fmt: skip
    found, curves = {}, {}
    for name, shape, choice, mask in _laws(stages):
        coefficients, curve = (
            np.concatenate([getattr(p, of)[name] for p in parts]) for of in ("coefficients", "curves")
        )
        curves[name] = grids[name], curve
        if shape.size == 0 and name != stages.way.names[0]:
            continue
        r, n = stages.r[mask], int(mask.sum())
        law = shape.law(coefficients[0], (float(r.min()), float(r.max()))) if shape.size else None
        found[name] = Quantity(
            name, law, choice, shape, _intervals(coefficients[0], coefficients[1:], n, confidence),
            tuple(map(float, grids[name])), _intervals(curve[0], curve[1:], n, confidence),
        )  # fmt: skip
    return found, _levels(stages, curves, span_us, first_s, confidence)


def _grid(r: Floats) -> Floats:
    return np.linspace(r.min(), r.max(), _GRID) if r.min() < r.max() else np.array([r.min()])


def _laws(stages: Stages) -> list[tuple[str, Shape, Choice, Mask]]:
    mean, spread, left_over = stages.way.names
    found = [
        ("programming_us", stages.programming.spread, stages.programming, stages.kept),
        ("programming_bias_us", stages.programming.mean, stages.programming, stages.kept),
    ]
    if stages.drift is not None:
        found.append((mean, stages.drift.mean, stages.drift, stages.drifting))
        if spread:
            found.append((spread, stages.drift.spread, stages.drift, stages.drifting))
    if stages.reading is not None:
        found.append((left_over, stages.reading.spread, stages.reading, stages.fluctuating))
    return found


def _drawn(stages: Stages, counts: Floats, span_us: tuple[float, float], grids: dict[str, Floats]) -> _Drawn:
    fits, found = stages.fits, _Drawn({}, {})
    q = np.broadcast_to(stages.q, counts.shape)

    def fit(choice: Choice, names: tuple[str, str], points: Points, r: Floats, weights: Floats, first: bool) -> None:
        rivals = contenders(choice)[: 1 if first else None]
        fits = [fitted(rival, points, r, weights) for rival in rivals]
        which = preferred(rivals, fits, points, weights)
        for name, part, of in ((names[0], "mean", "beta"), (names[1], "spread", "gamma")):
            if not name:
                continue
            found.coefficients[name] = getattr(fits[0], of)
            curves = np.array([
                _values(getattr(rival, part), getattr(f, of), grids[name], signed=part == "mean")
                for rival, f in zip(rivals, fits, strict=True)
            ])  # fmt: skip
            found.curves[name] = curves[which, np.arange(len(which))]

    first = len(counts) == 1 and bool((counts == 1).all())  # all cells as they are: the chosen laws
    if stages.reading is not None:
        mask, r = stages.fluctuating, fits.g_us / span_us[1]
        points = reading_points(fits, mask)
        fit(stages.reading, ("", stages.way.names[2]), points, r[mask], counts[:, mask], first)
        gamma = fitted(stages.reading, points, r[mask], counts[:, mask]).gamma
        q = np.maximum(stages.reading.spread.values(gamma, np.clip(r, r[mask].min(), r[mask].max())), 0.0)
    kept, drifting = stages.kept, stages.drifting
    points = programming_points(fits, stages.error_us, q, kept)
    fit(stages.programming, ("programming_bias_us", "programming_us"), points, stages.r[kept], counts[:, kept], first)
    if stages.drift is not None:
        points = drift_points(fits, q, drifting, folded=stages.folded)
        fit(stages.drift, stages.way.names[:2], points, stages.r[drifting], counts[:, drifting], first)
    return found


def _values(shape: Shape, coefficients: Floats, grid: Floats, *, signed: bool) -> Floats:
    if not shape.size:
        return np.zeros((len(coefficients), len(grid)))
    values = shape.values(coefficients, grid)
    return values if signed else np.maximum(values, 0.0)


def _intervals(values: Floats, drawn: Floats, n: int, confidence: float) -> tuple[Interval, ...]:
    found = []
    for value, column in zip(values, drawn.T, strict=True):
        low, high = expanded(column, n, confidence)
        found.append(Interval(float(value), min(low, float(value)), max(high, float(value))))
    return tuple(found)


def _levels(
    stages: Stages,
    curves: dict[str, tuple[Floats, Floats]],
    span_us: tuple[float, float],
    first_s: float,
    confidence: float,
) -> Interval:
    """1 + ∫ dg / 2kσ(g) from g_min to g_max, with k that leaves 1 % of a level's cells nearer to a neighbour."""
    from scipy.special import ndtri

    grid, sigma = curves["programming_us"]
    if len(grid) < 2:
        return Interval(1.0, 1.0, float("inf"))
    variance = sigma**2
    if (name := stages.way.names[2]) in curves:
        at, q = curves[name]
        there = np.stack([np.interp(grid, at, row) for row in q])
        variance = variance + stages.way.noise_us(stages.fits.form, there, grid * span_us[1], first_s) ** 2
    step = np.maximum(np.sqrt(variance), 1e-9 * span_us[1]) * 2 * -float(ndtri(_OVERLAP))
    counts = np.atleast_1d(1 + np.trapezoid(1 / step, grid * span_us[1], axis=1))
    return _intervals(counts[:1], counts[1:, None], int(stages.kept.sum()), confidence)[0]


def standardised(stages: Stages) -> dict[str, Floats]:
    """Deviations of cells from the laws of programming and of the mean change in standard deviations, without censored ones."""
    one, found = np.ones((1, len(stages.r))), {}

    def of(name: str, choice: Choice, points: Points, mask: Mask) -> None:
        r = stages.r[mask]
        fit = fitted(choice, points, r, one[:, mask])
        mean = choice.mean.values(fit.beta, r)[0] if choice.mean.size else 0.0
        spread_ = choice.spread.values(fit.gamma, r)[0] if choice.spread.size else 0.0
        v = np.maximum(spread_, 0.0) ** 2 + points.variance
        good = ~points.censored & (v > 0)
        found[name] = ((points.y - mean) / np.sqrt(np.where(v > 0, v, 1.0)))[good]

    of(
        "programming_us",
        stages.programming,
        programming_points(stages.fits, stages.error_us, stages.q, stages.kept),
        stages.kept,
    )
    if stages.drift is not None:
        of(stages.way.names[0], stages.drift, drift_points(stages.fits, stages.q, stages.drifting), stages.drifting)
    return found


def sentence_of(intervals: Sequence[Interval], unit: str = "") -> str:
    """Numbers with their intervals, in one line."""
    return ", ".join(show(i, unit) for i in intervals)


def show(interval: Interval, unit: str = "") -> str:
    """``1.03 [0.97, 1.08] µS``."""
    return f"{interval.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]{' ' * bool(unit)}{unit}"

"""Effects where points are drawn: a regression of the points' means on functions of the factors (functional ANOVA)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.statistics.intervals import Interval
from mho.statistics.within import error_of
from mho.sweeps.effects.basis import MOST_DEGREE, Axis
from mho.sweeps.effects.effect import Effect
from mho.sweeps.effects.groups import apart, grouped
from mho.sweeps.effects.measured import Measured

Floats = NDArray[np.float64]
RESAMPLES = 400
_POINTS_A_COLUMN = 3
"""Points that a column of the regression needs; with fewer the model is made simpler."""
_SIZES = ((MOST_DEGREE, 2), (MOST_DEGREE, 1), (2, 1), (1, 1), (2, 0), (1, 0))
"""Degrees of main effects and of interactions, the richest first."""


@dataclass(frozen=True, eq=False)
class Model:
    """Columns of the regression by effect, for all points of a table.

    Attributes:
        axes: By factor.
        degrees: Of main effects, and of interactions (0: none).
        parts: Columns (P, q) by factors.
    """

    axes: dict[str, Axis]
    degrees: tuple[int, int]
    parts: dict[tuple[str, ...], Floats]

    @classmethod
    def of(cls, measured: Measured) -> Model | None:
        """The richest model with enough points for each of its columns; None where there is none."""
        levels = measured.levels
        on = {path: [measured.active(path, point) for point in levels] for path in measured.plan.factors}
        axes = {
            path: Axis.of(measured.plan, path, [p[path] for p, counts in zip(levels, on[path], strict=True) if counts])
            for path in on
            if any(on[path])
        }
        for degrees in _SIZES:
            parts = _parts(axes, on, levels, degrees)
            if 1 + sum(part.shape[1] for part in parts.values()) <= len(levels) / _POINTS_A_COLUMN:
                return cls(axes, degrees, parts)
        return None

    @property
    def matrix(self) -> Floats:
        """(P, 1 + all columns)."""
        first = next(iter(self.parts.values()))
        return np.hstack([np.ones((len(first), 1)), *self.parts.values()])

    @property
    def widened(self) -> float:
        """By how much intervals of what is left beside a fit are too narrow: sqrt(P/(P - columns))."""
        points, columns = self.matrix.shape
        return math.sqrt(points / (points - columns))

    def alone(self, worths: Floats, path: str) -> Floats:
        """Worths (P, …) less what the model has of all but the main effect of a factor, fitted for each chip, seed and age."""
        flat, matrix = worths.reshape(len(worths), -1), self.matrix
        beta = np.linalg.lstsq(matrix, flat, rcond=None)[0]
        edges = np.cumsum([1, *(part.shape[1] for part in self.parts.values())])
        for paths, (start, end) in zip(self.parts, pairwise(edges), strict=True):
            if paths != (path,):
                flat = flat - matrix[:, start:end] @ beta[start:end]
        return np.asarray(flat.reshape(worths.shape))

    @property
    def words(self) -> str:
        """What is fitted."""
        mains, pairs = self.degrees
        both = f", interactions of degree {pairs}" if pairs else ", no interactions: too few points for them"
        return f"main effects of degree {mains}{both}"


def _parts(
    axes: dict[str, Axis], on: dict[str, list[bool]], levels: Sequence[dict[str, Any]], degrees: tuple[int, int]
) -> dict[tuple[str, ...], Floats]:
    def columns(path: str, degree: int) -> Floats:
        return axes[path].columns([point[path] for point in levels], on[path], degree)

    found: dict[tuple[str, ...], Floats] = {(path,): columns(path, degrees[0]) for path in axes}
    if degrees[1]:
        each = {path: columns(path, degrees[1]) for path in axes}
        for a, b in combinations(axes, 2):
            both = (each[a][:, :, None] * each[b][:, None, :]).reshape(len(levels), -1)
            found[a, b] = both - both.mean(axis=0)
    return {paths: part for paths, part in found.items() if part.shape[1] and np.ptp(part, axis=0).any()}


def of_points(measured: Measured) -> list[Effect]:
    """Every effect of the model at every age: tests over points and units, shares with a bootstrap over points."""
    model = Model.of(measured) if measured.points.size else None
    if model is None or not model.parts:
        return []
    matrix = model.matrix
    edges = np.cumsum([1, *(part.shape[1] for part in model.parts.values())])
    slices = [slice(int(a), int(b)) for a, b in pairwise(edges)]
    bases = [_alone(matrix, part) for part in slices]
    found: list[Effect] = []
    ages = range(len(measured.plan.ages))
    tests = [_tests(matrix, measured.worths[..., a], bases) for a in ages]
    shares = [
        _shares(matrix, measured.worths[..., a].mean(axis=(1, 2)), slices, measured.plan.confidence) for a in ages
    ]
    for number, paths in enumerate(model.parts):
        for a, age in enumerate(measured.plan.ages):
            p, test = tests[a][number]
            largest, between = _largest(measured, model, paths, measured.worths[..., a])
            found.append(Effect(paths, age, p, shares[a][number], largest, between, test))
    return found


def _alone(matrix: Floats, part: slice) -> Floats:
    """An orthonormal basis (P, q) of what the columns of an effect have beyond all others."""
    others, _ = np.linalg.qr(np.delete(matrix, part, axis=1))
    own = matrix[:, part] - others @ (others.T @ matrix[:, part])
    vectors, sizes, _ = np.linalg.svd(own, full_matrices=False)
    return np.asarray(vectors[:, sizes > 1e-9 * max(1.0, float(np.abs(matrix[:, part]).max()) * len(matrix) ** 0.5)])


def _tests(matrix: Floats, worths: Floats, bases: Sequence[Floats]) -> list[tuple[float, str]]:
    """For each effect a partial F test: what its columns add to all others, of worths (P, S, C).

    Points are random draws, and so are chips (and seeds), which are the same ones at every point. The error is the sum of
    what the model leaves over between points and of how much the effect differs between chips, with Satterthwaite's freedom
    and the ε of `within`. What is neither is in both: the test rather misses an effect than invents one.
    """
    from scipy.special import fdtrc  # imported here: a third of a second, and few callers need it

    n, s, c = worths.shape
    whole, _ = np.linalg.qr(matrix)
    freedom = n - int(np.linalg.matrix_rank(matrix))
    flat = worths.reshape(n, -1)
    mean = flat.mean(axis=1)
    left = mean - whole @ (whole.T @ mean)
    by_points = float(left @ left) / max(1, freedom)
    tiny = (1e-12 * float(np.abs(flat).max())) ** 2 * n
    found = []
    for basis in bases:
        q = basis.shape[1]
        if q < 1 or freedom < 1:
            found.append((math.nan, ""))
            continue
        z = np.tensordot(basis.T, worths, axes=1)
        error, of_units, epsilon = error_of(z)
        by_units = error / (s * c)
        total = by_points + by_units
        below = total**2 / (by_points**2 / freedom + by_units**2 / of_units) if by_units > 0 else float(freedom)
        if s * c == 2:  # two units hardly say how much they differ: the freedom is theirs alone
            below = min(below, of_units)
        one, two = q * epsilon, below * epsilon
        size = float(np.sum(z.mean(axis=(1, 2)) ** 2)) / q
        if total <= tiny:
            found.append((0.0 if size > tiny else 1.0, ""))
        else:
            found.append((float(fdtrc(one, two, size / total)), f"F({one:.3g}, {two:.3g}) = {size / total:.3g}"))
    return found


def _shares(matrix: Floats, y: Floats, slices: Sequence[slice], confidence: float) -> list[Interval]:
    """Variance of each effect's part of the fit, less what noise gives, over that of the points; points are drawn anew."""
    if np.ptp(y) <= 1e-12 * float(np.abs(y).max()):
        return [Interval(math.nan, math.nan, math.nan)] * len(slices)
    (n, p), rng = matrix.shape, np.random.default_rng(0)
    weights = np.vstack([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)])
    y = y - y.mean()
    squares = (weights @ (matrix[:, :, None] * matrix[:, None, :]).reshape(n, -1)).reshape(-1, p, p)
    moments = weights @ (matrix * y[:, None])
    beta = np.linalg.solve(squares + 1e-9 * n * np.eye(p), moments[..., None])[..., 0]
    whole = weights @ y**2 / n - (weights @ y / n) ** 2
    left = np.maximum(weights @ y**2 - np.einsum("rp,rp->r", beta, moments), 0.0) / max(1, n - p)
    twice = np.where(np.arange(len(weights)) == 0, 1.0, 2.0)  # a resample holds the noise as measured and as drawn
    found = []
    tail = (1 - confidence) / 2
    for part in slices:
        means = squares[:, 0, part] / n
        spread = squares[:, part, part] / n - means[:, :, None] * means[:, None, :]
        size = np.einsum("rp,rpq,rq->r", beta[:, part], spread, beta[:, part]) - twice * means.shape[1] * left / n
        shares = np.clip(size / np.maximum(whole, 1e-30), 0.0, 1.0)
        drawn, value = np.sort(shares[1:]), float(shares[0])
        low, high = drawn[math.floor(tail * (RESAMPLES - 1))], drawn[math.ceil((1 - tail) * (RESAMPLES - 1))]
        found.append(Interval(value, min(value, float(low)), max(value, float(high))))
    return found


def _largest(measured: Measured, model: Model, paths: tuple[str, ...], worths: Floats) -> tuple[Interval, str]:
    """Of a main effect, between the best and the worst of the levels (or equal parts of a span), others held fixed."""
    if len(paths) > 1:
        return Interval(math.nan, math.nan, math.nan), ""
    names, groups = grouped(measured, model.axes[paths[0]], model.alone(worths, paths[0]))
    if len(groups) < 2:
        return Interval(math.nan, math.nan, math.nan), ""
    means = [float(group.mean()) for group in groups]
    best, worst = int(np.argmax(means)), int(np.argmin(means))
    if best == worst:
        best, worst = 0, 1
    level = 1 - (1 - measured.plan.confidence) / (len(groups) * (len(groups) - 1) / 2)
    return apart(groups[best], groups[worst], level, model.widened), f"{names[best]} over {names[worst]}"


def alone(model: Model | None, path: str, worths: Floats) -> tuple[Floats, float]:
    """Worths (P, …) as they would be with all other factors alike, by the model; and by how much intervals are wider then.

    As they are, where there are too few points for a model.
    """
    return (worths, 1.0) if model is None else (model.alone(worths, path), model.widened)

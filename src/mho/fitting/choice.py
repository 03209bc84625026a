"""`choose`: which laws the data ask for, by their information criterion, with what they cannot be told from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mho.fitting.regression import Floats, Points, Regression, regress
from mho.fitting.shapes import Shape

TIED = 2.0
"""Difference of AICc below which laws cannot be told apart."""
_CONTENDS = 6.0
"""Difference of AICc up to which laws are fitted to cells drawn anew, too."""
_FOLDS, _CROSSED = 10, 5
"""Parts of the cells of which each is predicted from the others, and the laws for which that is done."""


@dataclass(frozen=True)
class Rival:
    """A pair of laws that was tried.

    Attributes:
        mean: Of the mean.
        spread: Of the standard deviation.
        aicc: -2 ln L + 2k + 2k(k + 1)/(n - k - 1).
        predicted: Mean log likelihood of a cell that was left out; NaN where it was not asked.
    """

    mean: Shape
    spread: Shape
    aicc: float
    predicted: float = math.nan

    @property
    def name(self) -> str:
        """Its laws in words."""
        return self.spread.name if self.mean.size == 0 else f"{self.spread.name}; mean {self.mean.name}"


@dataclass(frozen=True)
class Choice:
    """What was chosen, and all that was tried, in the order of their AICc."""

    mean: Shape
    spread: Shape
    rivals: tuple[Rival, ...]

    @property
    def chosen(self) -> Rival:
        """The one of `rivals` that was."""
        return next(r for r in self.rivals if r.mean is self.mean and r.spread is self.spread)

    @property
    def tied(self) -> tuple[Rival, ...]:
        """Others that the data cannot tell from it."""
        return tuple(r for r in self.rivals if r.aicc - self.rivals[0].aicc < TIED and r is not self.chosen)


def choose(points: Points, r: Floats, means: Sequence[Shape], spreads: Sequence[Shape], *, seed: int = 0) -> Choice:
    """Try every pair of laws. Of those that the least AICc cannot be told from, the one of fewest coefficients is chosen.

    The best are also asked to predict cells that were left out.

    Args:
        points: What is fitted.
        r: Their conductances over g_max, (N,).
        means: Laws of the mean.
        spreads: Laws of the standard deviation.
        seed: Of the parts for prediction.
    """
    n, one = float(points.count.sum()), np.ones((1, len(r)))
    rivals = []
    for mean in means:
        for spread in spreads:
            k = mean.size + spread.size
            if k and n - k - 1 <= 0:
                continue
            fitted = regress(points, mean.basis(r), spread.basis(r), spread.link, one)
            total = float(fitted.likelihood.sum())
            if math.isfinite(total):
                rivals.append(Rival(mean, spread, -2 * total + 2 * k + (2 * k * (k + 1) / (n - k - 1) if k else 0.0)))
    rivals.sort(key=lambda rival: rival.aicc)
    asked = [_predicted(rival, points, r, seed) for rival in rivals[:_CROSSED]] + rivals[_CROSSED:]
    best = min((r for r in asked if r.aicc - asked[0].aicc < TIED), key=lambda r: (_plainness(r), r.aicc))
    return Choice(best.mean, best.spread, tuple(asked))


def _plainness(rival: Rival) -> float:
    """Fewer coefficients are plainer; of as many, a constant."""
    return rival.mean.size + rival.spread.size + 0.5 * (rival.spread.name not in ("constant", "none"))


def _predicted(rival: Rival, points: Points, r: Floats, seed: int) -> Rival:
    n = len(r)
    if n < 2 * _FOLDS:
        return rival
    part = np.random.default_rng(seed).permutation(n) % _FOLDS
    left_out = part[None, :] == np.arange(_FOLDS)[:, None]
    fitted = regress(points, rival.mean.basis(r), rival.spread.basis(r), rival.spread.link, (~left_out).astype(float))
    return Rival(rival.mean, rival.spread, rival.aicc, float((fitted.likelihood * left_out).sum() / points.count.sum()))


def fitted(rival: Rival | Choice, points: Points, r: Floats, weights: Floats) -> Regression:
    """Its laws for weightings of the points, (B, N)."""
    return regress(points, rival.mean.basis(r), rival.spread.basis(r), rival.spread.link, weights)


def contenders(choice: Choice) -> list[Rival]:
    """The chosen laws, and those that other data of the same kind might have preferred."""
    best = choice.rivals[0].aicc
    others = [r for r in choice.rivals if r.aicc - best < _CONTENDS and r is not choice.chosen]
    return [choice.chosen, *others[: _CROSSED - 1]]


def preferred(
    rivals: Sequence[Rival], fits: Sequence[Regression], points: Points, weights: Floats
) -> NDArray[np.int64]:
    """Which of some rivals `choose` would take under each weighting, (B,)."""
    n = (weights * points.count).sum(axis=1)
    k = np.array([r.mean.size + r.spread.size for r in rivals])[:, None]
    plain = np.array([_plainness(r) for r in rivals])[:, None]
    total = np.array([(weights * fit.likelihood).sum(axis=1) for fit in fits])
    aicc = -2 * total + 2 * k + 2 * k * (k + 1) / np.maximum(n - k - 1, 1.0)
    near = aicc < aicc.min(axis=0) + TIED
    return np.asarray(np.where(near, 1e6 * plain + aicc - aicc.min(axis=0), np.inf).argmin(axis=0))

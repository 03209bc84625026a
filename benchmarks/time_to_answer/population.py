"""Populations of chips whose mean accuracy is known exactly: what simulated studies are drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from mho.measure import DriftResult

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Table:
    """The measured chips. Drawn with replacement they are independent, and their mean is exactly the table's."""

    def __init__(self, folder: Path) -> None:
        result = DriftResult.load(folder)
        self.correct: Bools = np.stack([[m.correct for m in result.at(age)] for age in result.ages_s], axis=-1)
        self.digital: Bools = result.digital.correct
        self.margin: Floats = np.load(folder / "margin.npy").astype(np.float64)
        self.means: Floats = self.correct.mean(1)
        self.truth: Floats = self.means.mean(0)
        self.images = self.correct.shape[1]

    def chips(self, rng: np.random.Generator, n: int) -> Floats | Ints:
        """A handle on each of `n` new chips, to index with."""
        return rng.integers(len(self.correct), size=n)

    def answers(self, rng: np.random.Generator, chips: Floats | Ints, images: Ints) -> Bools:
        """Right or wrong at each age (…, ages), of chips (…) that look at images (…), each pair asked once."""
        return self.correct[chips, images]

    def accuracies(self, rng: np.random.Generator, chips: Floats | Ints) -> Floats:
        """Accuracy (chips, ages) over all images."""
        return self.means[chips]


class Smooth(Table):
    """Infinitely many chips, after the measured ones: right at age t if b[n, t] + a[t] > e[n, t].

    b comes from the share of chips that are right for image n. A chip's a is drawn from a Gaussian kernel around the
    measured chips' effects, which keeps their skew. e is standard normal, correlated over the ages as measured. The mean
    is an integral over a, here over 400,000 draws.
    """

    BANDWIDTH, DRAWS = 0.3, 400_000

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        y = self.correct
        count, images, ages = y.shape
        p = y.mean(0)
        self.b = ndtri((y.sum(0) + 0.5) / (count + 1)).astype(np.float32)
        effect = ndtri((y.sum(1) + 0.5) / (images + 1))
        luck = (
            (p * (1 - p)).sum(0) / images**2 / self.means.var(0, ddof=1)
        )  # what the finite test set adds to the spread
        effect = (effect - effect.mean(0)) * np.sqrt(np.clip(1 - luck, 0, 1))
        grid = np.linspace(-4, 4, 401)
        curve = np.stack([ndtr(self.b[:, t] + grid[:, None]).mean(1) for t in range(ages)])
        wanted = self.means.std(0, ddof=1) * np.sqrt(np.clip(1 - luck, 0, 1))
        for t in range(ages):  # an effect in the units of b: such that accuracies spread as they do
            scales = np.linspace(0.1, 4, 200)
            spread = [np.interp(s * effect[:, t], grid, curve[t]).std() for s in scales]
            effect[:, t] *= np.interp(wanted[t], spread, scales)
        shrunk = 1 / np.sqrt(1 + self.BANDWIDTH**2)
        self._effects = effect * shrunk
        self._kernel = shrunk * self.BANDWIDTH * np.linalg.cholesky(np.cov(effect.T) + 1e-9 * np.eye(ages))
        self._mix = np.linalg.cholesky(np.corrcoef((y - p).reshape(-1, ages).T)).astype(np.float32)
        a = self.chips(np.random.default_rng(0), self.DRAWS)
        self.truth = np.array([np.interp(a[:, t], grid, curve[t]).mean() for t in range(ages)])

    def chips(self, rng: np.random.Generator, n: int) -> Floats:
        """Effects (n, ages)."""
        drawn = self._effects[rng.integers(len(self._effects), size=n)]
        return drawn + rng.standard_normal(drawn.shape) @ self._kernel.T

    def answers(self, rng: np.random.Generator, chips: Floats | Ints, images: Ints) -> Bools:
        score = self.b[images] + chips
        return score > rng.standard_normal(score.shape, dtype=np.float32) @ self._mix.T

    def accuracies(self, rng: np.random.Generator, chips: Floats | Ints) -> Floats:
        everything = np.arange(self.images)[None]
        return np.concatenate([self.answers(rng, c[:, None], everything).mean(1) for c in np.array_split(chips, 8)])

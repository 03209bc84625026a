"""Rank correlations with intervals from a bootstrap over networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mho.statistics.curves import RESAMPLES, expanded
from mho.statistics.intervals import Interval
from mho.studies.outcome import NotStored

Floats = NDArray[np.float64]
FEWEST = 4
"""Networks below which there is no correlation."""


def spearman(x: ArrayLike, y: ArrayLike, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Correlation of ranks; equal values share their mean rank. The interval: networks drawn again, expanded percentiles.

    Raises:
        NotStored: Fewer than four networks.
    """
    from scipy.stats import rankdata  # imported here: slow, and few callers need it

    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n = _enough(len(a))
    rows = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    found = _pearson(rankdata(a[rows], axis=1), rankdata(b[rows], axis=1))
    value = float(_pearson(rankdata(a)[None], rankdata(b)[None])[0])
    low, high = expanded(found, n, confidence)
    return Interval(value, max(-1.0, min(low, value)), min(1.0, max(high, value)))


def stronger(x: ArrayLike, other: ArrayLike, y: ArrayLike, confidence: float = 0.95, seed: int = 0) -> Interval:
    """How much more y goes with x than with another, one way or the other: |ρ| less |ρ| of ranks, networks drawn again together.

    Raises:
        NotStored: Fewer than four networks.
    """
    from scipy.stats import rankdata

    a, b, c = (np.asarray(values, dtype=np.float64) for values in (x, other, y))
    n = _enough(len(c))
    rows = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))

    def each(places: NDArray[np.int64]) -> Floats:
        ranks = [rankdata(values[places], axis=1) for values in (a, b, c)]
        return np.asarray(np.abs(_pearson(ranks[0], ranks[2])) - np.abs(_pearson(ranks[1], ranks[2])))

    value = float(each(np.arange(n)[None])[0])
    low, high = expanded(each(rows), n, confidence)
    return Interval(value, min(low, value), max(high, value))


def _enough(n: int) -> int:
    if n < FEWEST:
        raise NotStored(
            f"{n} networks are no basis for a rank correlation", f"measure {FEWEST} or more", path="networks"
        )
    return n


def redrawn(table: Floats, seed: int) -> Floats:
    """Means (RESAMPLES,) of a table of draws × training seeds, both drawn again."""
    rng, (draws, seeds) = np.random.default_rng(seed), table.shape
    of_draws = rng.multinomial(draws, np.full(draws, 1 / draws), RESAMPLES) / draws
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    return np.asarray(np.einsum("bd,ds,bs->b", of_draws, table, of_seeds))


def places(tables: Sequence[Floats], confidence: float = 0.95) -> list[Interval]:
    """The rank of each network by its mean, 1 for the largest; draws × training seeds, drawn again. The interval: expanded
    percentiles, by the number of seeds, or of draws of one training; with three seeds they are the outermost ones."""
    from scipy.stats import rankdata

    ranks = rankdata([-redrawn(table, seed) for seed, table in enumerate(tables)], axis=0)
    best = rankdata([-table.mean() for table in tables])
    ends = [
        expanded(found, min(n for n in table.shape if n > 1), confidence)
        for found, table in zip(ranks, tables, strict=True)
    ]
    return [Interval(float(value), *bounds) for value, bounds in zip(best, ends, strict=True)]


def correlation(found: Interval) -> str:
    """A correlation, or a difference of two, with its interval."""
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def kendall(x: ArrayLike, y: ArrayLike) -> float:
    """Kendall's τ-a: the share of pairs in the same order less that in the other."""
    a, b = (np.asarray(values, dtype=np.float64) for values in (x, y))
    i, j = np.triu_indices(len(a), 1)
    return float(np.mean(np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])))


def _pearson(a: Floats, b: Floats) -> Floats:
    """Of each row; 0 where one does not vary."""
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (a, b))
    size = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), size, out=np.zeros(len(a)), where=size > 0))

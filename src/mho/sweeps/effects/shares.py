"""`Shares`: which share of the variance between the points of a design an effect has, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mho.statistics.intervals import Interval, t_quantile
from mho.statistics.within import error_of

Floats = NDArray[np.float64]
RESAMPLES = 1_000


@dataclass(frozen=True, eq=False)
class Shares:
    """The variance between points, and resamples of chips and seeds.

    Attributes:
        weights: (1 + RESAMPLES, S·C): of each unit in the mean; those that were measured, then resamples.
        whole: Variance between points, in the same order; less noise.
        tail: Share of resamples beyond each end of an interval.
        units: S·C.
        tiny: A variance that is rounding.
    """

    weights: Floats
    whole: Floats
    tail: float
    units: int
    tiny: float

    @classmethod
    def of(cls, worths: Floats, confidence: float) -> Shares:
        """Of worths (P, S, C) at an age.

        Chips and training seeds are drawn anew with replacement, each as a whole. The ends are expanded percentiles, because
        plain ones are too narrow for few chips (Hesterberg 2015).
        """
        from scipy.special import ndtr

        _, s, c = worths.shape
        rng = np.random.default_rng(0)
        drawn = [rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n for n in (s, c)]
        each = np.einsum("rs,rc->rsc", *drawn).reshape(RESAMPLES, s * c)
        weights = np.vstack([np.full((1, s * c), 1 / (s * c)), each])
        few = min((n for n in (s, c) if n > 1), default=1)
        tail = float(ndtr(-t_quantile(confidence, few - 1) * math.sqrt(few / (few - 1)))) if few > 1 else 0.0
        found = cls(weights, np.zeros(0), tail, s * c, (1e-12 * float(np.abs(worths).max())) ** 2)
        centred = worths - worths.mean(axis=0)
        whole = found.variance(centred, 1 / len(worths), error_of(centred)[0])
        return cls(weights, whole, tail, s * c, found.tiny)

    def variance(self, parts: Floats, each: float, error: float) -> Floats:
        """Σ over (q, S, C) of squared means times `each`, less what the error MS gives; one for each row of `weights`.

        A resample has the noise twice, once as measured and once as drawn.
        """
        flat = parts.reshape(len(parts), -1)
        gram = flat.T @ flat  # units × units: however many points, resampling costs nothing
        squares = np.einsum("ri,ij,rj->r", self.weights, gram, self.weights)
        noise = len(parts) * error / self.units * np.where(np.arange(len(self.weights)) == 0, 1.0, 2.0)
        return np.asarray(each * (squares - noise))

    def share(self, parts: Floats, each: float, error: float) -> Interval:
        """The share of an effect with orthonormal contrasts (q, S, C); NaN where points do not differ."""
        if self.whole[0] <= self.tiny:
            return Interval(math.nan, math.nan, math.nan)
        part = self.variance(parts, each, error)
        found = np.clip(part[0] / self.whole[0], 0.0, 1.0)
        if self.units < 2:
            return Interval(float(found), 0.0, 1.0)
        shares = np.sort(np.clip(part[1:] / np.maximum(self.whole[1:], self.tiny), 0.0, 1.0))
        last = len(shares) - 1
        ends = shares[math.floor(self.tail * last)], shares[math.ceil((1 - self.tail) * last)]
        return Interval(float(found), float(min(ends[0], found)), float(max(ends[1], found)))

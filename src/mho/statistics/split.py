"""Where the variance comes from: the chips, the test samples, or the pairing of the two."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.errors import WrongSetting
from mho.statistics.intervals import Interval, t_quantile


@dataclass(frozen=True)
class VarianceSplit:
    """Components of variance of a score over chips and test samples, as `variance_split` estimates them.

    Args:
        chips: Number of chips C.
        samples: Number of test samples N.
        mean: Grand mean.
        chip: σ_chip², how much chips differ in accuracy. NaN for one chip.
        sample: σ_sample², how much samples differ in difficulty. NaN for one sample.
        residual: σ_e², the rest: which sample fails on which chip, and noise drawn per product. NaN for
            either.
        share: How many chips k share a pass over the samples; there are C/k passes.
    """

    chips: int
    samples: int
    mean: float
    chip: float
    sample: float
    residual: float
    share: int = 1

    def interval(self, confidence: float = 0.95) -> Interval:
        """Interval of the mean over all chips *and* all samples of which these are random draws.

        mean ± t(confidence, ν)·sqrt(V), V = σ_chip²/C + σ_sample²/N + σ_e²/(C·N) = (MS_chip + MS_sample -
        MS_e)/(C·N), with Satterthwaite's ν = (C·N·V)² / (MS_chip²/(C-1) + MS_sample²/(N-1) +
        MS_e²/((C-1)(N-1))). One chip or one sample: bounds of -inf and +inf. Where chips share passes, C is the
        number of passes.
        """
        c, n = self.chips // self.share, self.samples
        if c < 2 or n < 2:
            return Interval(self.mean, -math.inf, math.inf)
        chip = self.residual + n / self.share * self.chip
        rest = self.residual + _within(n, self.share) * self.chip
        sample = rest + c * self.sample
        total = chip + sample - rest
        if total <= 0:
            return Interval(self.mean, self.mean, self.mean)
        freedom = total**2 / (chip**2 / (c - 1) + sample**2 / (n - 1) + rest**2 / ((c - 1) * (n - 1)))
        half = t_quantile(confidence, freedom) * math.sqrt(total / (c * n))
        return Interval.around(self.mean, half)


def variance_split(values: Iterable[NDArray[Any]], share: int = 1) -> VarianceSplit:
    """Split the variance of a table of scores, chips × samples.

    Two-way random-effects ANOVA without replication.

    Model: y_cn = µ + a_c + b_n + e_cn, with independent a (chips, σ_chip²), b (samples, σ_sample²), e (σ_e²):

        SS_chip   = N Σ_c (ȳ_c - ȳ)²        MS_chip   = SS_chip/(C-1)          E = σ_e² + N·σ_chip²
        SS_sample = C Σ_n (ȳ_n - ȳ)²        MS_sample = SS_sample/(N-1)        E = σ_e² + C·σ_sample²
        SS_e      = SS_total - SS_chip - SS_sample,  MS_e = SS_e/((C-1)(N-1))  E = σ_e²

    so σ_chip² = (MS_chip - MS_e)/N and σ_sample² = (MS_sample - MS_e)/C, set to 0 where negative. These are
    moment estimators: they need no normal distribution, and for right/wrong Σy² = Σy. Only sums over chips
    and over samples are kept, never a table: 1,000 chips × 10,000 samples take the memory of one chip. For right/wrong
    they are exact integers; numbers are taken less the mean of the first chip, so that little cancels.

    Where k chips share each of R passes over the samples, the rows are passes. Chips then differ between passes and within
    them: with w = (1 - 1/k)·N/(N - 1), E MS_pass = σ_e² + σ_chip²·N/k, E MS_e = σ_e² + w·σ_chip², and
    E MS_sample - E MS_e = R·σ_sample² as before.

    Args:
        values: One array (N,) of booleans or float64 per chip or pass, all over the same samples in the same order.
        share: k, at most N/2.

    Raises:
        WrongSetting: No chips, no samples, or chips with different numbers of samples.

    References:
        Searle, Casella, McCulloch 1992, Variance Components, ch. 4.
        Satterthwaite 1946, Biometrics Bulletin 2:110.
    """
    by_sample: NDArray[Any] | None = None
    by_chip: list[float] = []
    squares: float = 0
    pivot: float = 0
    for row in values:
        exact = row.dtype == np.bool_
        if by_sample is None:
            by_sample = np.zeros(row.shape, dtype=np.int64 if exact else np.float64)
            pivot = 0 if exact or not row.size else float(row.mean())
        if row.ndim != 1 or row.shape != by_sample.shape:
            raise WrongSetting(
                f"chip {len(by_chip)} has shape {row.shape}", f"every chip needs shape {by_sample.shape}"
            )
        y = row if exact else row - pivot
        by_sample += y
        by_chip.append(int(np.count_nonzero(y)) if exact else float(y.sum()))
        squares += by_chip[-1] if exact else float(y @ y)
    if by_sample is None or by_sample.size == 0:
        raise WrongSetting("a table without chips or samples", "measure at least one chip")
    c, n, total = len(by_chip), int(by_sample.size), sum(by_chip)
    # Sums of squares times C·N; of integers exact.
    chip_ss = c * sum(k * k for k in by_chip) - total**2
    sample_ss = n * (by_sample @ by_sample).item() - total**2
    rest_ss = max(c * n * squares - total**2 - chip_ss - sample_ss, 0)
    ms_chip = chip_ss / (c * n * (c - 1)) if c > 1 else math.nan
    ms_sample = sample_ss / (c * n * (n - 1)) if n > 1 else math.nan
    rest = rest_ss / (c * n * (c - 1) * (n - 1)) if c > 1 and n > 1 else math.nan
    within = _within(n, share)
    chip = _positive((ms_chip - rest) / (n / share - within))
    return VarianceSplit(
        chips=c * share,
        samples=n,
        mean=pivot + total / (c * n),
        chip=chip,
        sample=_positive((ms_sample - rest) / c),
        residual=rest - within * chip,
        share=share,
    )


def _within(n: int, share: int) -> float:
    """w: how much of σ_chip² is inside a pass."""
    return (1 - 1 / share) * n / (n - 1) if share > 1 else 0.0


def _positive(variance: float) -> float:
    return variance if math.isnan(variance) else max(variance, 0.0)

"""`within`: does an effect act, tested on the same chips (and training seeds) at each of its levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_EXACT = 1e-12
"""Numbers that differ by less than this share of the largest are equal: what remains is rounding."""


@dataclass(frozen=True)
class Within:
    """An F test whose error is how much the effect itself differs between the random units.

    Attributes:
        f: MS_effect/MS_error; inf where the units agree to the digit.
        freedom: Of numerator and denominator, corrected by ε.
        p: Of the hypothesis that there is no effect.
        square: MS_effect.
        error: MS_error.
    """

    f: float
    freedom: tuple[float, float]
    p: float
    square: float
    error: float


def within(contrasts: NDArray[np.float64], scale: float) -> Within | None:
    """The repeated-measures test of an effect, both chips and training seeds being random draws.

    Each unit (a chip with a seed) has the effect's q orthonormal contrasts; chips and seeds may differ in level as they like,
    since a contrast does not see it. With S seeds and C chips, the error is how much contrasts differ between chips
    (MS_chip), between seeds (MS_seed), or both, less what is counted twice: MS_chip + MS_seed - MS_rest, but never less than
    the larger of the two, with Satterthwaite's freedom; for one seed it is MS_chip. That contrasts may differ in variance
    and go together is met by Greenhouse and Geisser's ε, which for few units is at most their number less one over q.

    Args:
        contrasts: (q, S, C).
        scale: The largest number that they were made of; differences of 1e-12 of it are rounding.

    Returns:
        None for one chip and one seed, which say nothing of an error.

    References:
        Greenhouse and Geisser 1959, Psychometrika 24:95; Satterthwaite 1946, Biometrics Bulletin 2:110;
        Raaijmakers, Schrijnemakers, Gremmen 1999, J. Memory and Language 41:416 (two random units: why both count).
    """
    from scipy.special import fdtrc  # imported here: a third of a second, and few callers need it

    q, s, c = contrasts.shape
    if s * c < 2:
        return None
    mean = contrasts.mean(axis=(1, 2))
    square = s * c * float(mean @ mean) / q
    tiny = (_EXACT * scale) ** 2 * s * c
    error, freedom, epsilon = error_of(contrasts)
    one, two = q * epsilon, freedom * epsilon
    if error <= tiny:
        acts = square > tiny
        return Within(np.inf if acts else 0.0, (one, two), 0.0 if acts else 1.0, square, 0.0)
    f = square / error
    return Within(f, (one, two), float(fdtrc(one, two, f)), square, error)


def error_of(contrasts: NDArray[np.float64]) -> tuple[float, float, float]:
    """MS_error of contrasts (q, S, C), its degrees of freedom, and ε; zeros for one unit alone."""
    q, s, c = contrasts.shape
    if s * c < 2:
        return 0.0, 0.0, 1.0
    mean = contrasts.mean(axis=(1, 2))
    by_chip, by_seed = contrasts.mean(axis=1) - mean[:, None], contrasts.mean(axis=2) - mean[:, None]
    parts = [(part, times) for part, times in ((by_chip, s), (by_seed, c)) if part.shape[1] > 1]
    squares = [times * float(np.sum(part**2)) / (q * (part.shape[1] - 1)) for part, times in parts]
    epsilons = [_epsilon(part) for part, _ in parts]
    most = int(np.argmax(squares))
    error, freedom, epsilon = squares[most], q * (parts[most][0].shape[1] - 1.0), epsilons[most]
    if len(parts) > 1:
        rest = contrasts - mean[:, None, None] - by_chip[:, None, :] - by_seed[:, :, None]
        residual = float(np.sum(rest**2)) / (q * (s - 1) * (c - 1))
        if (total := sum(squares) - residual) > error:
            chip, seed = squares
            spread = chip**2 / (c - 1) + seed**2 / (s - 1) + residual**2 / ((s - 1) * (c - 1))
            error, freedom, epsilon = total, q * total**2 / spread, min(epsilons)
    return error, freedom, epsilon


def _epsilon(part: NDArray[np.float64]) -> float:
    """How far contrasts (q, units) are from having one variance and no covariance: 1, down to 1/q."""
    covariance = part @ part.T if len(part) <= part.shape[1] else part.T @ part  # their squares have the same sum
    trace = float(np.trace(covariance))
    return trace**2 / (len(part) * float(np.sum(covariance**2))) if trace > 0 else 1.0

"""`Regression`: a mean and a standard deviation that depend on a covariate, for many weightings of the same points at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STEPS = 60
_FLOOR = 1e-3
"""Smallest standard deviation, as a share of the root mean square of the residuals."""


@dataclass(frozen=True)
class Points:
    """N points of a regression.

    Attributes:
        y: Values, (N,).
        variance: What is known of the variance of each besides the one that is fitted, (N,) or (B, N).
        count: How many degrees of freedom each value has, (N,): of a mean square that of a root.
        censored: Values that are only known to be this or less, (N,).
    """

    y: Floats
    variance: Floats
    count: Floats
    censored: NDArray[np.bool_]
    folded: bool = False
    """Values are magnitudes: their sign is not known."""


@dataclass(frozen=True)
class Regression:
    """y ~ N(X β, (Z γ)² + known variance), or with exp(Z γ).

    Attributes:
        beta: (B, p).
        gamma: (B, q).
        link: ``identity`` or ``log``.
        likelihood: Log likelihood of every point under every weighting's coefficients, (B, N).
    """

    beta: Floats
    gamma: Floats
    link: Literal["identity", "log"]
    likelihood: Floats


def sigma_of(gamma: Floats, z: Floats, link: Literal["identity", "log"]) -> Floats:
    """(B, N): the fitted standard deviations, not negative."""
    eta = gamma @ z.T
    return np.exp(np.clip(eta, -60, 60)) if link == "log" else np.maximum(eta, 0.0)


def regress(points: Points, x: Floats, z: Floats, link: Literal["identity", "log"], weights: Floats) -> Regression:
    """Maximum likelihood by Fisher's scoring, mean and spread in turn; variances carry n/(n - p).

    Values that are censored enter by their expected residual and square (an EM step).

    Args:
        points: The points.
        x: Basis of the mean, (N, p); p may be 0.
        z: Basis of the spread, (N, q); q may be 0: none besides what is known.
        link: Of the spread.
        weights: How often each point counts, (B, N).

    References:
        Smyth 1989, J. R. Stat. Soc. B 51:47 (generalised linear models with varying dispersion); Amemiya 1984,
        J. Econometrics 24:3 (Tobit).
    """
    w = weights * points.count
    y = np.broadcast_to(points.y, w.shape)
    beta = _solve(x, w, y)
    residual = y - beta @ x.T
    total = np.maximum(w.sum(axis=1, keepdims=True), 1e-300)
    free = total / np.maximum(total - x.shape[1], 1.0)
    scale = np.maximum(np.sqrt((w * residual**2).sum(axis=1, keepdims=True) / total), 1e-12)
    size = np.maximum(np.sqrt(np.maximum(residual**2 - points.variance, 0.05 * residual**2)), 0.2 * scale)
    gamma = _solve(z, w, np.log(0.8 * size) if link == "log" else size)
    floor = _FLOOR * scale
    before = np.full(w.shape[0], -np.inf)
    for _ in range(_STEPS):
        sigma = np.maximum(sigma_of(gamma, z, link), floor) if z.shape[1] else np.zeros_like(w)
        v = sigma**2 + points.variance + (floor * 1e-3) ** 2
        residual, square = _expected(y - beta @ x.T, v, points, y)
        if x.shape[1]:
            change = _solve(x, w / v, residual)
            beta = beta + change
            residual = residual - change @ x.T
        if z.shape[1]:
            slope = sigma if link == "log" else np.ones_like(sigma)
            info = 2 * (sigma * slope / v) ** 2
            off = (square * free - v) / (2 * sigma * slope)
            gamma = gamma + np.clip(_solve(z, w * info, off), -2 * scale if link == "identity" else -1.0,
                                    2 * scale if link == "identity" else 1.0)  # fmt: skip
        now = (w * _log_density(y - beta @ x.T, v, points, y)).sum(axis=1)
        if np.all(np.abs(now - before) < 1e-7 * np.abs(now) + 1e-9):
            break
        before = now
    sigma = np.maximum(sigma_of(gamma, z, link), floor) if z.shape[1] else np.zeros_like(w)
    v = sigma**2 + points.variance + (floor * 1e-3) ** 2
    likelihood = points.count * _log_density(y - beta @ x.T, v, points, y)
    return Regression(beta, gamma, link, likelihood)


def _solve(basis: Floats, w: Floats, y: Floats) -> Floats:
    """Weighted least squares for every row of weights, (B, p); a little ridge keeps resamples without some level solvable."""
    p = basis.shape[1]
    if not p:
        return np.zeros((len(w), 0))
    weighted = w[:, :, None] * basis
    matrix = np.einsum("bnp,nq->bpq", weighted, basis)
    trace = np.trace(matrix, axis1=1, axis2=2)[:, None, None]
    right = np.einsum("bnp,bn->bp", weighted, y)
    return np.asarray(np.linalg.solve(matrix + (1e-10 * trace + 1e-300) * np.eye(p), right[..., None])[..., 0])


def _expected(residual: Floats, v: Floats, points: Points, y: Floats) -> tuple[Floats, Floats]:
    """Residuals and their squares; of censored points and of magnitudes what they are on average."""
    if points.folded:
        mean = y - residual
        signed = y * np.tanh(y * mean / v)
        return signed - mean, y**2 - 2 * signed * mean + mean**2
    if not points.censored.any():
        return residual, residual**2
    from scipy.special import log_ndtr

    cut = points.censored
    s = np.sqrt(v[:, cut])
    a = residual[:, cut] / s
    mills = np.exp(-0.5 * a**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(a))
    found, square = residual.copy(), residual**2
    found[:, cut], square[:, cut] = -s * mills, s**2 * (1 - a * mills)
    return found, square


def _log_density(residual: Floats, v: Floats, points: Points, y: Floats) -> Floats:
    found = -0.5 * (np.log(2 * np.pi * v) + residual**2 / v)
    if points.folded:
        return np.asarray(np.logaddexp(found, -0.5 * (np.log(2 * np.pi * v) + (2 * y - residual) ** 2 / v)))
    if points.censored.any():
        from scipy.special import log_ndtr

        cut = points.censored
        found[:, cut] = log_ndtr(residual[:, cut] / np.sqrt(v[:, cut]))
    return np.asarray(found)

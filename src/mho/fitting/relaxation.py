"""`relaxation_of_cells`: how far every cell has gone from what was verified, and `onset`, when that begins."""

from __future__ import annotations

import numpy as np

from mho.errors import BadInput
from mho.fitting.grid import least
from mho.fitting.measurements import Floats, Measurements
from mho.fitting.per_cell import PerCell
from mho.statistics.curves import expanded
from mho.statistics.intervals import Interval

_GROUPS = 8
_ONSET_DECADES, _ONSET_STEPS = (-4.0, 3.0), 71
_AT_ONCE = 4_000_000
"""Entries of the covariances of cells that are held at a time."""


def decades(time_s: Floats | float, onset_s: float) -> Floats:
    """L(t) = log₁₀(1 + t/t_w)."""
    return np.asarray(np.log10(1 + np.asarray(time_s) / onset_s))


def relaxation_of_cells(measured: Measurements, onset_s: float) -> PerCell:
    """Fit every cell: g(t) = g(0) + m L(t) + Q x(t), L(t) = log₁₀(1 + t/t_w) decades, x normal, of mean 0 and variance L(t).

    m and Q are fitted to the readings at each time as if these were independent of each other, which makes them right for every
    age even where cells remember more or less than x does, whose covariance, that of 1/f noise, (L(t) + L(t') - L(|t - t'|))/2,
    only says how much the readings of a cell tell. Q is about the mean m of like targets.

    Args:
        measured: The readings; each cell's first is the verified one, at t = 0.
        onset_s: t_w.

    Raises:
        BadInput: A cell without a reading at 0, or with several at one time.
    """
    time, g = measured.time_s, measured.g_us
    if time.shape[1] < 2 or (time[:, 0] != 0).any():
        raise BadInput(
            "relaxation is told from the verified conductance, and some cells have no reading at time 0",
            "give the last reading of the verification as time 0; or fit the law 'power'", path=measured.source,
        )  # fmt: skip
    if (np.diff(time, axis=1) == 0).any():
        raise BadInput(
            "cells have several readings at one time, which relaxation has no noise for",
            "leave out repeated readings, or fit the law 'power'", path=measured.source,
        )  # fmt: skip
    gone, grown = g[:, 1:] - g[:, :1], decades(time[:, 1:], onset_s)
    there = np.isfinite(gone)
    count = there.sum(axis=1)
    grown = np.where(there, grown, 0.0)
    length = grown.sum(axis=1)
    read = count > 0
    slope = np.where(read, np.where(there, gone, 0.0).sum(axis=1) / np.where(read, length, 1.0), np.nan)
    r = measured.target_us / measured.target_us.max()
    basis = np.stack([r**k for k in range(min(3, len(np.unique(r))))], axis=1)
    weight = np.sqrt(np.where(read, length, 0.0))[:, None]
    mean = basis @ np.linalg.lstsq(weight * basis, weight[:, 0] * np.nan_to_num(slope), rcond=None)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = np.where(there, (gone - mean[:, None] * grown) / np.sqrt(grown), np.nan)
    summed, alike = _covariances(np.where(there, time[:, 1:], np.nan), onset_s)
    worth = np.where(read, count**2 / np.where(read, alike, 1.0), 0.0)  # readings, if they were independent
    logs = -0.5 * np.log(np.where(there, grown, 1.0)).sum(axis=1)
    share = worth / np.maximum(count, 1)
    return PerCell(
        g_us=g[:, 0], nu=slope, var_g=np.zeros(len(g)), var_nu=np.where(read, summed / np.where(read, length, 1.0) ** 2, np.nan),
        freedom=worth, squares=share * np.nansum(residual**2, axis=1), logs=share * logs,
        residual=np.concatenate([np.full((len(g), 1), np.nan), residual], axis=1), scale_us=np.ones(len(g)), t0_s=onset_s,
        form="relaxation",
    )  # fmt: skip


def _covariances(time: Floats, onset_s: float) -> tuple[Floats, Floats]:
    """Sums of the covariances and of the correlations of all pairs of a cell's readings, (C,) each."""

    found = []
    rows = max(1, _AT_ONCE // time.shape[1] ** 2)
    for start in range(0, len(time), rows):
        t = time[start : start + rows]
        own = decades(t, onset_s)
        pairs = (own[:, :, None] + own[:, None, :] - decades(np.abs(t[:, :, None] - t[:, None, :]), onset_s)) / 2
        alike = pairs / np.sqrt(own[:, :, None] * own[:, None, :])
        found.append((np.nansum(pairs, axis=(1, 2)), np.nansum(alike, axis=(1, 2))))
    summed, alike = (np.concatenate(each) for each in zip(*found, strict=True))
    return summed, alike


def onset(measured: Measurements, *, confidence: float, resamples: int, seed: int) -> Interval:
    """The t_w of the largest likelihood, s, with its interval by drawing the cells anew.

    Raises:
        BadInput: Fewer than four times.
    """
    times = measured.times_s
    if len(times) < 4:
        raise BadInput(
            f"{len(times)} times cannot tell when relaxation begins",
            "measure at four times at least, or fit the law 'power'", path=measured.source,
        )  # fmt: skip
    grid = float(times[times > 0][0]) * 10 ** np.linspace(*_ONSET_DECADES, _ONSET_STEPS)
    c = len(measured.cells)
    order = np.argsort(np.argsort(measured.target_us, kind="stable"), kind="stable")
    group = np.eye(_GROUPS)[order * _GROUPS // c]
    drawn = np.random.default_rng(seed).multinomial(c, np.full(c, 1 / c), size=resamples)
    counts = np.concatenate([np.ones((1, c)), drawn])
    values = np.array([_likelihood(relaxation_of_cells(measured, float(t)), counts, group) for t in grid])
    best = least(grid, -values)
    low, high = expanded(best[1:], c, confidence)
    return Interval(float(best[0]), min(low, float(best[0])), max(high, float(best[0])))


def _likelihood(fits: PerCell, counts: Floats, group: Floats) -> Floats:
    """Logarithm of the likelihood of drawn cells' readings, each by itself, (B,), Q the best for each group of targets."""
    readings = np.isfinite(fits.residual).sum(axis=1)
    whole = np.divide(readings, fits.freedom, out=np.zeros(len(readings)), where=fits.freedom > 0)
    squares, count = ((counts * each) @ group for each in (whole * fits.squares, readings))
    safe = np.maximum(count, 1.0)
    return np.asarray(
        counts @ (whole * fits.logs) - 0.5 * (count * (np.log(np.maximum(squares, 1e-30) / safe) + 1)).sum(axis=1)
    )

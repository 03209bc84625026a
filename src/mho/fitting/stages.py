"""`fit_stages`: read noise, odd cells, programming error and drift, one after the other, on all cells once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mho.fitting.choice import Choice, choose
from mho.fitting.measurements import Floats, Measurements
from mho.fitting.outliers import Odd, deviations, odd_cells, threshold
from mho.fitting.per_cell import Form, PerCell, reading_likelihood
from mho.fitting.regression import Points, regress
from mho.fitting.shapes import none, of_bias, of_programming
from mho.fitting.ways import PowerLaw, Way

Mask = NDArray[np.bool_]
FREE = 5
"""Readings beyond what the cells' own laws take, from which on read noise is fitted."""
_T0_DECADES, _T0_STEPS = (-6.0, 4.0), 81


@dataclass(frozen=True)
class Stages:
    """What all cells say together.

    Attributes:
        way: How cells change with time.
        fits: Each cell's own law.
        r: Target over g_max, (C,).
        error_us: Conductance less target, (C,), µS.
        reading: Law of the read noise; none where the data do not tell any.
        white: By how much the logarithm of the likelihood is larger with white read noise than with 1/f noise.
        q: Read noise of each cell, (C,), 0 where it is not known.
        odd: Cells that are left out.
        fluctuating: Cells whose read noise counts, (C,).
        kept: Cells whose programming counts, (C,).
        drifting: Cells whose drift counts, (C,).
        programming: Law of the programming error, its mean and its spread.
        drift: Law of ν; none where one time was measured.
        folded: No cell drifts upward.
    """

    way: Way
    fits: PerCell
    r: Floats
    error_us: Floats
    reading: Choice | None
    white: float
    q: Floats
    odd: tuple[Odd, ...]
    fluctuating: Mask
    kept: Mask
    drifting: Mask
    programming: Choice
    drift: Choice | None
    folded: bool


def fit_stages(measured: Measurements, way: Way, *, span_us: tuple[float, float], seed: int) -> Stages:
    """Fit everything once.

    Args:
        measured: The readings.
        way: How cells change with time.
        span_us: Lowest and highest state of the cell.
        seed: Of the parts of cells for prediction.
    """
    r = measured.target_us / span_us[1]
    tried = [_left_over(measured, r, way, form, seed) for form in way.forms]
    likelihoods = [float(each[3].sum()) for each in tried]
    white = likelihoods[-1] - likelihoods[0]
    fits, reading, q, _, fluctuating = tried[-1 if white > 0 else 0]
    error = fits.g_us - measured.target_us
    odd, kept = odd_cells(error, (q * fits.scale_us) ** 2 * fits.var_g, fits.g_us, r, span_us)
    drifting = kept & np.isfinite(fits.nu)
    if drifting.sum() >= 5:
        z = deviations(fits.nu[drifting], (q**2 * fits.var_nu)[drifting], r[drifting])
        cells = np.flatnonzero(drifting)
        odd += [Odd(int(cells[i]), "drift", float(z[i])) for i in np.flatnonzero(np.abs(z) >= threshold(len(z)))]
        drifting[[o.cell for o in odd]] = False
    targets = np.unique(r[kept])
    programming = choose(
        programming_points(fits, error, q, kept), r[kept], of_bias(len(targets)),
        of_programming(targets, int(kept.sum()), span_us[1]), seed=seed,
    )  # fmt: skip
    drift, folded = None, False
    if drifting.sum() >= 5:
        targets = np.unique(r[drifting])
        laws = way.trends(len(targets))
        drift = choose(drift_points(fits, q, drifting), r[drifting], *laws, seed=seed)
        if folded := isinstance(way, PowerLaw) and _folds(fits, q, drifting, drift, r):
            drift = choose(drift_points(fits, q, drifting, folded=True), r[drifting], *laws, seed=seed)
    odd.sort(key=lambda o: o.cell)
    return Stages(
        way,
        fits,
        r,
        error,
        reading,
        white if reading else 0.0,
        q,
        tuple(odd),
        fluctuating,
        kept,
        drifting,
        programming,
        drift,
        folded,
    )


def reading_points(fits: PerCell, mask: Mask) -> Points:
    """Mean squares of the readings about the cells' own laws, as roots."""
    freedom = fits.freedom[mask]
    return Points(
        np.sqrt(fits.squares[mask] / np.maximum(freedom, 1)),
        np.zeros(mask.sum()),
        freedom,
        np.zeros(mask.sum(), dtype=bool),
    )


def programming_points(fits: PerCell, error_us: Floats, q: Floats, mask: Mask) -> Points:
    """Errors of programming with what reading adds to them; cells that read 0 are 0 or less. `q` may be (B, C)."""
    variance = ((q * fits.scale_us) ** 2 * fits.var_g)[..., mask]
    return Points(error_us[mask], variance, np.ones(mask.sum()), fits.g_us[mask] <= 0)


def drift_points(fits: PerCell, q: Floats, mask: Mask, *, folded: bool = False) -> Points:
    """Exponents with what reading adds to them. `q` may be (B, C)."""
    variance = (q**2 * fits.var_nu)[..., mask]
    return Points(fits.nu[mask], variance, np.ones(mask.sum()), np.zeros(mask.sum(), dtype=bool), folded)


def squares_by_t0(measured: Measurements, *, g_max_us: float, t_read_s: float, seed: int) -> tuple[Floats, Floats]:
    """Times t₀ that readings at t + t₀ may have, (T,), s, and the squares that each leaves of each cell's readings, (T, C).

    The best t₀ has the least sum over cells.
    """
    grid = float(measured.times_s[-1]) * 10 ** np.linspace(*_T0_DECADES, _T0_STEPS)
    r = measured.target_us / g_max_us
    q, middle = np.ones(len(r)), float(grid[_T0_STEPS // 2])
    for _ in range(2):
        way = PowerLaw(middle, middle, t_read_s)
        _, law, q, _, _ = _left_over(measured, r, way, "white", seed)
        if law is None:
            return grid, np.zeros((len(grid), len(r)))
        fits = [PowerLaw(float(t0), float(t0), t_read_s).per_cell(measured, "white") for t0 in grid]
        squares = np.array([fit.squares for fit in fits]) / q**2
        middle = float(grid[squares.sum(axis=1).argmin()])
    return grid, squares


def _left_over(
    measured: Measurements, r: Floats, way: Way, form: Form, seed: int
) -> tuple[PerCell, Choice | None, Floats, Floats, Mask]:
    """Cells' laws under a form of what is left over, its law, its size for each cell, their likelihoods, and which tell it."""
    fits = way.per_cell(measured, form)
    r_read = fits.g_us * r.max() / measured.target_us.max()
    mask = (fits.freedom > 0) & (r_read > 0)
    if fits.freedom[mask].sum() < FREE or not fits.squares[mask].sum() > 1e-20:
        return fits, None, np.zeros(len(r)), np.zeros(len(r)), mask
    quiet = np.ones_like(mask)
    for _ in range(2):  # a few cells that fluctuate by far more than the others do not decide the law
        points = reading_points(fits, mask)
        law = choose(points, r_read[mask], [none()], way.left_over(len(np.unique(r[mask]))), seed=seed)
        q = law_values(law, points, r_read[mask], r_read)
        loud = way.loud(measured, form, q)
        if loud[mask].all():
            break
        quiet = r_read >= r_read[mask & ~loud].min()
        mask &= (fits.squares < 25 * np.maximum(fits.freedom, 1) * q**2) & quiet
    fits = replace(fits, nu=np.where(quiet, fits.nu, np.nan))
    return fits, law, q, np.where(mask, reading_likelihood(fits, q), 0.0), mask


def law_values(choice: Choice, points: Points, r: Floats, at: Floats) -> Floats:
    """The chosen spread at other conductances, kept to the range of those it was fitted on."""
    one = np.ones((1, len(r)))
    found = regress(points, choice.mean.basis(r), choice.spread.basis(r), choice.spread.link, one)
    return np.asarray(np.maximum(choice.spread.values(found.gamma, np.clip(at, r.min(), r.max()))[0], 0.0))


def _folds(fits: PerCell, q: Floats, mask: Mask, choice: Choice, r: Floats) -> bool:
    """Whether exponents are magnitudes: fewer are negative than a normal distribution would have."""
    from scipy.special import bdtr, ndtr

    points = drift_points(fits, q, mask)
    found = regress(
        points, choice.mean.basis(r[mask]), choice.spread.basis(r[mask]), choice.spread.link, np.ones((1, mask.sum()))
    )
    mean = choice.mean.values(found.beta, r[mask])[0] if choice.mean.size else np.zeros(mask.sum())
    spread = choice.spread.values(found.gamma, r[mask])[0] if choice.spread.size else np.zeros(mask.sum())
    v = spread**2 + points.variance
    below = ndtr(-mean / np.sqrt(np.maximum(v, 1e-30)))
    clear = points.variance < 0.1 * v  # noise of reading makes any exponent negative
    expected = float(below[clear].mean()) if clear.any() else 0.0
    seen = int((points.y[clear] < 0).sum())
    return bool(expected > 0.002 and bdtr(seen, int(clear.sum()), expected) < 0.05)

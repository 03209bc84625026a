"""`per_cell`: the power law of every cell by itself, and what is left over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mho.fitting.measurements import Floats, Measurements

Form = Literal["1/f", "white", "relaxation"]
_STEPS = 25
_FLAT = 1e-9
"""Share of the largest sum of squares below which times do not differ."""


@dataclass(frozen=True)
class PerCell:
    """Fits of C cells: g(t) = G (t/t₀)^-ν, readings with noise of standard deviation Q s(t) g; or as `relaxation_of_cells` says.

    Attributes:
        g_us: G, at t₀, (C,), µS; 0 where nothing but zeros was read.
        nu: ν, or m in µS a decade, (C,); NaN where one time says nothing, or the readings of a cell do not converge.
        var_g: Variance of G over Q² and the square of `scale_us`, (C,).
        var_nu: Variance of ν over Q², (C,).
        freedom: Readings less what was fitted, (C,).
        squares: Sum of ((g - fit)/(fit s))², (C,); Q² · χ² with that freedom.
        logs: What the likelihood of a form of noise adds besides: -Σ ln(s·fit) - ½ ln|X'WX|, (C,).
        residual: (g - fit)/(fit s) of every reading, (C, J).
        scale_us: What Q is a share of, (C,), µS: G, or 1 where Q is in µS.
        t0_s: t₀, or t_w.
        form: Of the noise: which s(t).
    """

    g_us: Floats
    nu: Floats
    var_g: Floats
    var_nu: Floats
    freedom: Floats
    squares: Floats
    logs: Floats
    residual: Floats
    scale_us: Floats
    t0_s: float
    form: Form


def spread(time_s: Floats, form: Form, t_read_s: float) -> Floats:
    """s(t): sqrt(ln((t + t_r)/2t_r)) of 1/f noise, as the cells of `mho.devices` have it; 1 of white noise."""
    if form == "white":
        return np.where(np.isfinite(time_s), 1.0, np.nan)
    return np.asarray(np.sqrt(np.log(np.maximum((time_s + t_read_s) / (2 * t_read_s), 1 + 1e-6))))


def per_cell(measured: Measurements, *, t0_s: float, shift_s: float, form: Form, t_read_s: float) -> PerCell:
    """Fit every cell: readings have a standard deviation proportional to their mean, which stays right for noise of any
    size, where logarithms would not (a generalised linear model with logarithmic link and variance µ²s²).

    Args:
        measured: The readings.
        t0_s: Time of the conductance G, s after programming.
        shift_s: Added to all times, s.
        form: Of the read noise.
        t_read_s: Duration of a reading, s.
    """
    time, g = measured.time_s + shift_s, measured.g_us
    there = np.isfinite(g)
    s = spread(time, form, t_read_s)
    weight = np.where(there, 1 / np.where(there, s, 1.0) ** 2, 0.0)
    x = np.where(there, np.log(np.where(there, time, t0_s) / t0_s), 0.0)
    y = np.where(there, g, 0.0)
    count = there.sum(axis=1)
    alive = y.sum(axis=1) > 0
    center = (weight * x).sum(axis=1) / weight.sum(axis=1)
    wide = (weight * (x - center[:, None]) ** 2).sum(axis=1)
    sloped = alive & (wide > _FLAT * max(float(wide.max()), _FLAT))
    level = np.log(np.where(alive, y.sum(axis=1) / count, 1.0))
    slope = np.zeros_like(level)
    z = x - center[:, None]
    for _ in range(_STEPS):
        mean = np.exp(np.clip(level[:, None] + slope[:, None] * z, -40, 40))
        off = weight * (y - mean) / mean
        step = off.sum(axis=1) / weight.sum(axis=1)
        turn = np.where(sloped, (off * z).sum(axis=1) / np.where(sloped, wide, 1.0), 0.0)
        level, slope = level + np.clip(step, -1, 1), slope + np.clip(turn, -0.5, 0.5)
        if max(float(np.abs(step[alive]).max(initial=0)), float(np.abs(turn[sloped]).max(initial=0))) < 1e-9:
            break
    mean = np.exp(np.clip(level[:, None] + slope[:, None] * z, -40, 40))
    residual = np.where(there & alive[:, None], (y - mean) / mean * np.sqrt(weight), np.nan)
    settled = sloped & (np.abs(turn) < 1e-3) & (np.abs(slope) < 3)
    fitted = np.where(sloped, 2, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_slope = np.where(sloped, 1 / wide, np.nan)
    total = weight.sum(axis=1)
    logs = -(np.where(there, np.log(np.where(there, s * mean, 1.0)), 0.0)).sum(axis=1) - 0.5 * np.log(total)
    g_us = np.where(alive, np.exp(np.clip(level - slope * center, -40, 40)), 0.0)
    return PerCell(
        g_us=g_us,
        nu=np.where(settled, -slope, np.nan),
        var_g=1 / total + np.where(sloped, np.nan_to_num(per_slope) * center**2, 0.0),
        var_nu=per_slope,
        freedom=np.where(alive & (settled | ~sloped), np.maximum(count - fitted, 0), 0).astype(float),
        squares=np.nansum(residual**2, axis=1),
        logs=logs - 0.5 * np.where(sloped, np.log(np.where(sloped, wide, 1.0)), 0.0),
        residual=residual,
        scale_us=g_us,
        t0_s=t0_s,
        form=form,
    )


def reading_likelihood(fits: PerCell, q: NDArray[np.float64]) -> Floats:
    """Restricted log likelihood of each cell's readings about its own power law, for noise Q, (C,); 0 without freedom."""
    free = fits.freedom > 0
    safe = np.where(free, q, 1.0)
    found = (
        fits.logs
        - fits.freedom * np.log(safe)
        - fits.squares / (2 * safe**2)
        - fits.freedom / 2 * math.log(2 * math.pi)
    )
    return np.where(free, found, 0.0)

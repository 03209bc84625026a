"""`fit_device`: from measured conductances to a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mho.arguments import one_of, whole
from mho.errors import BadInput, WrongSetting
from mho.fitting.goodness import goodness, over_time
from mho.fitting.grid import least
from mho.fitting.measurements import Measurements
from mho.fitting.read_table import read_measurements
from mho.fitting.relaxation import onset
from mho.fitting.resampled import resampled, standardised
from mho.fitting.result import DeviceFit
from mho.fitting.stages import Stages, fit_stages, squares_by_t0
from mho.fitting.unknowns import unknowns
from mho.fitting.ways import PowerLaw, Relaxation, Way
from mho.statistics.curves import expanded
from mho.statistics.intervals import Interval, check_confidence, wilson_interval
from mho.units import duration, microsiemens

LAWS = ("power", "relaxation")
_CLEAR = 0.25
"""Share of the range that a target must be away from an end for a cell stuck there to be seen."""


def fit_device(
    source: str | Path | Mapping[str, Sequence[Any]] | Measurements,
    *,
    law: Literal["power", "relaxation"] = "power",
    conductance_unit: str | None = None,
    time_unit: str | None = None,
    first_read: str | float | None = None,
    t_read: str | float | None = None,
    g_min: str | float | None = None,
    g_max: str | float | None = None,
    levels: int | None = None,
    temperature: float | None = None,
    skip_invalid: bool = False,
    confidence: float | str = 0.95,
    resamples: int = 400,
    seed: int = 0,
) -> DeviceFit:
    """Fit a cell to programmed and read conductances: programming error, drift, read noise, odd cells.

    Every cell has its own power law g(t) = G (t/t₀)^-ν. What G does about its target is the programming error, how ν differs
    over cells the spread of drift, what is left over the read noise. With ``law="relaxation"``, for RRAM, every cell has its own
    line in the logarithm of time, g(t) = G + m log₁₀(1 + t/t_w), about which it fluctuates as 1/f noise does; t_w is fitted.

    Which law of r = g_target/g_max each of these follows is chosen by AICc. Intervals come from drawing whole cells anew: those
    of the laws' values choose among the laws again, those of the coefficients keep the chosen law. Which cells are odd, whether
    read noise is 1/f or white, and a fitted t₀ or t_w are found once and kept: what is unsure about them is in no other
    interval. ``print(fit)`` also says what the data cannot tell.

    Args:
        source: A CSV file or columns by name, see `read_measurements`, or `Measurements`.
        law: How cells change with time: ``"power"`` (the cell is `Fitted`) or ``"relaxation"`` (`Relaxing`).
        conductance_unit: Of target and conductance, where their heads have none.
        time_unit: Of the time, where its head has none.
        first_read: Time between programming and the time 0 of the data, ``"20 s"``, or ``"fit"`` to have it fitted; by default
            times count from programming, and t₀ is the first. Not of relaxation, which counts from the verification, at time 0.
        t_read: Duration of a reading, by default 250 ns; the 1/f noise of a power law grows from there.
        g_min: Lowest state of the cell; by default the lowest target.
        g_max: Highest state of the cell; by default the highest target.
        levels: Number of programmable states of the cell; by default continuous.
        temperature: Which readings are taken, °C, where there are several temperatures.
        skip_invalid: Leave out readings that are missing, negative or no numbers, instead of refusing them.
        confidence: Of the intervals.
        resamples: Drawings of the cells for the intervals, 50 at least.
        seed: Of the drawings.

    Raises:
        BadInput: The data cannot be read, or cannot be fitted.
        WrongSetting: An option outside its range.
    """
    confidence = check_confidence(confidence)
    whole(resamples, "resamples", least=50)
    whole(seed, "seed", least=0)
    t_read_s = float(
        f"{duration(t_read or '250 ns', 't_read') or 0.0:.12g}"
    )  # 250 ns are 2.5e-7 s in the description, too
    relaxes, fit_t0 = one_of(law, "law", LAWS) == "relaxation", first_read == "fit"
    for name, value in (("first_read", first_read), ("t_read", t_read)):
        if relaxes and value is not None:
            raise WrongSetting(
                "relaxation counts from the verification, at time 0, and fits t_w", f"leave {name} out", path=name
            )
    after_s = None if first_read is None or fit_t0 else duration(first_read, "first_read")
    if isinstance(source, Measurements):
        measured = source
    else:
        measured = read_measurements(
            source, conductance_unit=conductance_unit, time_unit=time_unit, temperature=temperature,
            skip_invalid=skip_invalid, after_s=0.0 if fit_t0 or relaxes else after_s,
        )  # fmt: skip
    span = _span(measured, g_min, g_max)
    t0: Interval | None = None
    way: Way
    if relaxes:
        t0 = onset(measured, confidence=confidence, resamples=resamples, seed=seed)
        way, first_s = Relaxation(t0.value), float(measured.times_s[0])
    else:
        t0 = _fitted_t0(measured, span[1], t_read_s, confidence, resamples, seed) if fit_t0 else None
        first_s = t0.value if t0 else after_s or float(measured.times_s[0])
        way = PowerLaw(first_s, first_s if t0 else 0.0, t_read_s)
    stages = fit_stages(measured, way, span_us=span, seed=seed)
    quantities, told_apart = resampled(
        stages, span_us=span, first_s=first_s, confidence=confidence, resamples=resamples, seed=seed
    )
    known = np.where(stages.q > 0, stages.q, np.nan)[:, None]
    over = over_time(way.ages(measured.time_s), stages.fits.residual / known)
    laws = {name: quantity.law for name, quantity in quantities.items() if quantity.law is not None}
    common = {"g_min_us": span[0], "g_max_us": span[1], "levels": levels}
    cell = way.cell(common, laws, form=stages.fits.form, folded=stages.folded)
    return DeviceFit(
        cell=cell, measured=measured, stages=stages, quantities=quantities, levels_told_apart=told_apart, t0=t0,
        stuck={why: _stuck(stages, measured, why, end, span, confidence) for why, end in (("stuck low", 0), ("stuck high", 1))},
        goodness={name: goodness(z, seed) for name, z in standardised(stages).items() if len(z) >= 8 and z.std() > 0},
        over_time=over, confidence=confidence, resamples=resamples,
        unknown=unknowns(measured, stages, cell, t0, over, quantities),
    )  # fmt: skip


def _span(measured: Measurements, g_min: str | float | None, g_max: str | float | None) -> tuple[float, float]:
    """Lowest and highest state, µS."""
    targets = measured.target_us
    high = float(targets.max()) if g_max is None else microsiemens(g_max)
    low = microsiemens(g_min) if g_min is not None else float(targets.min()) if targets.min() < targets.max() else 0.0
    if high < targets.max() * (1 - 1e-9) or low > targets.min() * (1 + 1e-9):
        raise WrongSetting(
            f"targets from {targets.min():g} to {targets.max():g} µS lie outside {low:g} to {high:g} µS",
            "give g_min and g_max that hold all targets, or leave them out", path="g_max",
        )  # fmt: skip
    return low, high


def _fitted_t0(
    measured: Measurements, g_max_us: float, t_read_s: float, confidence: float, resamples: int, seed: int
) -> Interval:
    """The t₀ that leaves the least squares, s, with its interval by drawing the cells anew."""
    if len(measured.times_s) < 4:
        raise BadInput(
            f"{len(measured.times_s)} times cannot tell t₀",
            "say it: first_read='20 s' (--first-read '20 s')",
            path=measured.source,
        )
    grid, squares = squares_by_t0(measured, g_max_us=g_max_us, t_read_s=t_read_s, seed=seed)
    if not squares.any():
        raise BadInput(
            "the readings cannot tell t₀", "say it: first_read='20 s' (--first-read '20 s')", path=measured.source
        )
    c = squares.shape[1]
    counts = np.random.default_rng(seed).multinomial(c, np.full(c, 1 / c), size=resamples)
    best = float(least(grid, squares.sum(axis=1)[:, None])[0])
    drawn = least(grid, squares @ counts.T)
    low, high = expanded(drawn, c, confidence)
    return Interval(best, min(low, best), max(high, best))


def _stuck(
    stages: Stages, measured: Measurements, why: str, end: int, span: tuple[float, float], confidence: float
) -> Interval:
    """Share of stuck cells among those whose target is far enough from that end to show it."""
    far = np.abs(measured.target_us - span[end]) > _CLEAR * (span[1] - span[0])
    count = sum(o.why == why and bool(far[o.cell]) for o in stages.odd)
    return wilson_interval(count, int(far.sum()), confidence) if far.any() else Interval(0.0, 0.0, 1.0)

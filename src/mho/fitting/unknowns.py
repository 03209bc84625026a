"""`unknowns`: what the data cannot tell, in sentences."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mho.devices.fitted import Fitted
from mho.devices.relaxing import Relaxing
from mho.fitting.goodness import OverTime
from mho.fitting.measurements import Floats, Measurements
from mho.fitting.resampled import LABELS, Quantity
from mho.fitting.stages import Stages
from mho.statistics.intervals import Interval
from mho.units import show_time

_FEW = 30
_TOLD = 2.0
"""Difference of log likelihoods from which on forms of noise are told apart."""


def unknowns(
    measured: Measurements, stages: Stages, cell: Fitted | Relaxing, t0: Interval | None, over: OverTime | None,
    quantities: Mapping[str, Quantity],
) -> tuple[str, ...]:  # fmt: skip
    """Sentences, the most important first.

    Args:
        measured: The readings.
        stages: What was fitted.
        cell: What became of it.
        t0: Where it was fitted.
        over: Trend of what the power laws leave over.
        quantities: The laws.
    """
    times, found = measured.times_s, []
    if isinstance(cell, Fitted):
        found += _of_power(times, stages, cell, over)
    elif over is not None and over.p < 0.01:
        found.append(
            f"cells do not change by the same each decade: what is left over changes with time (p = {over.p:.1g})"
        )
    for name, quantity in quantities.items():
        if name == "programming_bias_us" or quantity.choice.mean.size + quantity.choice.spread.size == 0:
            continue
        part = "mean" if name == stages.way.names[0] else "spread"
        others = {getattr(r, part).name for r in quantity.choice.tied} - {quantity.shape.name}
        if others:
            found.append(f"{LABELS[name][0]} is {quantity.shape.name}; just as likely: {'; '.join(sorted(others))}")
    found += _of_targets(measured, cell)
    if t0 is not None and t0.high > 1e3 * t0.low:
        say = ": say it (first_read)" if isinstance(cell, Fitted) else ""
        found.append(f"{stages.way.onset} is known to no better than three decades{say}")
    if (count := len(measured.cells)) < _FEW:
        found.append(f"{count} cells: intervals of so few are rough, and rare cells are not seen")
    if len(times) > 1 and stages.drift is not None:
        found.append(f"beyond {show_time(times[-1])} the law is continued, not measured")
    if measured.temperature_c is None:
        found.append("the temperature is not told; a cell here knows none")
    return tuple(found)


def _of_power(times: Floats, stages: Stages, cell: Fitted, over: OverTime | None) -> list[str]:
    """Of drift and of the noise of reading."""
    found = []
    if len(times) == 1:
        found.append(f"one time only ({show_time(times[0])}): drift cannot be known, and the cell has none")
    if stages.reading is None and len(times) == 1:
        found.append(
            "no repeated readings: the programming error holds the read noise, and the cell has none of its own"
        )
    elif stages.reading is None:
        found.append(
            f"{len(times)} times and no repeated readings: ν cannot be told from read noise; its spread holds both, and the cell "
            "has no read noise of its own"
        )
    elif len(times) == 2:
        found.append("two times only: whether drift follows a power law cannot be known")
    if stages.reading is not None and abs(stages.white) < _TOLD:
        found.append(
            f"whether read noise is white or 1/f cannot be told (log likelihoods differ by {abs(stages.white):.1f}); "
            f"{cell.reading_form} was taken"
        )
    if cell.reading_form == "1/f" and stages.reading is not None:
        found.append(
            f"the size of 1/f noise rests on the duration of a reading, {cell.t_read_s:.3g} s, which was not fitted"
        )
    if stages.drift is not None and cell.nu is None and cell.nu_std is None:
        found.append("no drift can be seen: the cell has none")
    if over is not None and over.p < 0.01:
        found.append(
            f"the power law of drift does not hold: what it leaves over changes with time (p = {over.p:.1g}); RRAM relaxes "
            "otherwise: law='relaxation' (--law relaxation)"
        )
    return found


def _of_targets(measured: Measurements, cell: Fitted | Relaxing) -> list[str]:
    targets = np.unique(measured.target_us)
    if len(targets) == 1:
        return ["one target only: how anything depends on the conductance cannot be known"]
    ends = f"the cell's range is that of the targets, {targets[0]:.3g} to {targets[-1]:.3g} µS; g_min and g_max say otherwise"
    if (cell.g_min_us, cell.g_max_us) != (float(targets[0]), float(targets[-1])):
        ends = ""
    steps = np.diff(targets)
    even = "evenly spaced" if steps.max() < 1.05 * steps.min() else "not evenly spaced"
    if len(targets) > 32 or cell.levels is not None:
        return [ends] if ends else []
    return [ends] * bool(ends) + [
        f"{len(targets)} targets, {even}: whether the cell takes values between them cannot be known; it is described as "
        f"continuous (levels={len(targets)} says otherwise)"
    ]

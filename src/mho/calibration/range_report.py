"""What the ranges of a calibrated network do: how much they clip, and what is left of the signal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mho.calibration.calibrate import arrays, take
from mho.calibration.draws import draws
from mho.crossbar import Operator, Scheme, columns, hold, ideal_cells
from mho.crossbar.reference import converted
from mho.nn import AnalogMatrix
from mho.nn.layer import schemes
from mho.nn.matrix import digitally, watched
from mho.nn.modes import evaluating
from mho.tasks.parts import run


@dataclass(frozen=True)
class LayerRanges:
    """What the ranges of one matrix do.

    Attributes:
        path: Of the matrix.
        input_range: Of its DAC, in the unit of the layer's input; None where the hardware needs none.
        inputs_clipped: Share of the inputs beyond it; 0 where nothing clips.
        adc_ranges: Of its ADCs, by readout and row block, in full weights times full inputs; empty where data set none.
        outputs_clipped: Share of the column outputs that their ADC clips, noise included; 0 where nothing clips.
        decibels: 10 lg (Σ y² / Σ (ŷ - y)²) of the layer's output ŷ from arrays of ideal cells against the digital y, for
            digital inputs; inf where both are equal.
    """

    path: str
    input_range: float | None
    inputs_clipped: float
    adc_ranges: tuple[float, ...]
    outputs_clipped: float
    decibels: float


def range_report(net: nn.Module, batches: Iterable[Any], *, max_batches: int = 2) -> tuple[LayerRanges, ...]:
    """What clips, and what the converters and the noise of products cost, matrix by matrix.

    Args:
        net: A calibrated network; not changed.
        batches: As for `calibrate`; others than those of the calibration tell more.
        max_batches: Batches looked at.

    Returns:
        One entry for each matrix that a batch reached, in the order of the network.

    Raises:
        BadInput: No batch.
        WrongSetting: `net` was not converted, holds a programmed chip, or is not calibrated.
    """
    matrices, taken, look = arrays(net), take(batches, max_batches), _Look()
    with torch.no_grad(), evaluating(net), digitally(net), watched(net, look):
        for batch in taken:
            run(net, batch)
    found = schemes(net, matrices).items()
    return tuple(look.row(matrix, scheme) for matrix, scheme in found if matrix.path in look.sums)


class _Look:
    """Sums up what the arrays would have made of the inputs of a digital pass."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def __call__(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator, y: Tensor) -> None:
        """See `mho.nn.matrix.Watcher`."""
        scheme = matrix.scheme(weight, operator)
        matrix.require_ranges(scheme)
        y = operator(x, weight)
        held = hold(ideal_cells(operator.to_matrix(weight), scheme), operator, scheme)
        clipped, outputs, found = 0, 0, torch.zeros_like(y)
        with draws(scheme, matrix.path):
            for column in columns(held, operator, x, matrix.input_range):
                seen = column.seen()
                found = found + converted(column, matrix.adc_range, seen) * column.factor
                if column.conversion.half_steps is not None:
                    bound = column.conversion.range(matrix.adc_range, seen.dtype, seen)
                    clipped, outputs = clipped + int((seen.abs() > bound).sum()), outputs + seen.numel()
        inputs_clipped = 0
        if scheme.input_steps is not None and scheme.needs_input_range and matrix.input_range is not None:
            inputs_clipped = int((x.abs() > matrix.input_range).sum())
        sums = self.sums.setdefault(matrix.path, [0.0] * 6)
        lost, power = (float(part.double().square().sum()) for part in (found - y, y))
        for i, value in enumerate((power, lost, inputs_clipped, x.numel(), clipped, outputs)):
            sums[i] += value

    def row(self, matrix: AnalogMatrix, scheme: Scheme) -> LayerRanges:
        power, lost, inputs_clipped, inputs, outputs_clipped, outputs = self.sums[matrix.path]
        reach = matrix.input_range if scheme.needs_input_range else None
        bounds = matrix.adc_range if scheme.needs_adc_range else None
        return LayerRanges(
            matrix.path,
            None if reach is None else float(reach.detach()),
            inputs_clipped / max(inputs, 1),
            () if bounds is None else tuple(bounds.detach().flatten().tolist()),
            outputs_clipped / max(outputs, 1),
            _decibels(power, lost),
        )


def _decibels(power: float, lost: float) -> float:
    if not lost:
        return math.inf
    return 10 * math.log10(power / lost) if power else -math.inf

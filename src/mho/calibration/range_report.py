"""What the ranges of a calibrated network do: how much they clip, and what is left of the signal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mho.calibration.calibrate import arguments, arrays, take
from mho.calibration.draws import draws
from mho.convert import observed
from mho.crossbar import Operator, ideal_cells
from mho.crossbar.operands import operands
from mho.crossbar.product import needs_adc_range, needs_input_range
from mho.errors import WrongSetting
from mho.nn import AnalogMatrix


@dataclass(frozen=True)
class LayerRanges:
    """One matrix.

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
    training = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        with torch.no_grad(), observed(net, look):
            for batch in taken:
                net(*arguments(batch))
    finally:
        for module, mode in training:
            module.training = mode
    return tuple(look.row(matrix) for matrix in matrices if matrix.path in look.sums)


class _Look:
    """Answers digitally, and sums up what the arrays would have made of the same inputs."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def __call__(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator) -> Tensor:
        if (needs_input_range(matrix.hw) and matrix.input_range is None) or (
            needs_adc_range(matrix.hw) and matrix.adc_range is None
        ):
            raise WrongSetting("the converters have no range yet", "call mho.calibrate(net, batches)", path=matrix.path)
        y, hw = operator(x, weight), matrix.hw
        product = matrix.product(weight, operator)
        cells = ideal_cells(operator.to_matrix(weight), product.plan, hw)
        clipped = [0, 0]
        with draws(hw, matrix.path):
            found = product(x, product.operands(cells), matrix.input_range, matrix.adc_range)
            if hw.adc.half_steps is not None:
                held = operands(cells, operator, product.plan, product.kernel, hw)
                for b, (inputs, _) in enumerate(product.inputs(x, matrix.input_range)):
                    for k, operand in enumerate(held.blocks[b]):
                        bound = hw.adc.bound if matrix.adc_range is None else matrix.adc_range[k, b]
                        columns = product.columns(inputs, operand)
                        clipped[0] += int((columns.abs() > bound).sum())
                        clipped[1] += columns.numel()
        inputs_clipped = 0
        if hw.dac.half_steps is not None and needs_input_range(hw) and matrix.input_range is not None:
            inputs_clipped = int((x.abs() > matrix.input_range).sum())
        sums = self.sums.setdefault(matrix.path, [0.0] * 6)
        lost, power = (float(part.double().square().sum()) for part in (found - y, y))
        for i, value in enumerate((power, lost, inputs_clipped, x.numel(), *clipped)):
            sums[i] += value
        return y

    def row(self, matrix: AnalogMatrix) -> LayerRanges:
        power, lost, inputs_clipped, inputs, outputs_clipped, outputs = self.sums[matrix.path]
        reach = matrix.input_range if needs_input_range(matrix.hw) else None
        bounds = matrix.adc_range if needs_adc_range(matrix.hw) else None
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

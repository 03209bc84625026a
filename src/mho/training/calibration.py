"""Converter ranges from data: two passes over a few batches, inputs first, then column outputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from mho.convert import observed
from mho.crossbar import Operator, ideal_cells
from mho.crossbar.operands import operands
from mho.crossbar.product import needs_adc_range, needs_input_range
from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogMatrix
from mho.nn.layer import layer_paths

_KEPT = 65_536
"""Values kept of each tensor: the 0.9999 quantile of 65,536 values rests on its 6 largest; several batches add up."""


def calibrate(net: nn.Module, batches: Iterable[Any], *, quantile: float = 1.0, max_batches: int = 8) -> nn.Module:
    """Set the ranges of the DACs and the ADCs of a converted network.

    The range of a DAC is a quantile of its layer's |inputs|, as the digital network makes them; the range of an ADC
    is the quantile of the |column outputs| of its row block, for ideal cells and quantised inputs. Ranges that the
    hardware fixes, or that nothing in it needs, stay unset.

    Args:
        net: What `to_analog` returned; its ranges are set in place.
        batches: Batches of inputs, or of (inputs, labels); labels are not looked at. Iterated twice.
        quantile: Share of the values that a range covers, in (0, 1]. 1, the largest, suits networks that were not
            trained for clipping; ranges below it pay where a few outliers waste most of the codes.
        max_batches: Batches looked at.

    Returns:
        `net`.

    Raises:
        BadInput: No batch, an array that no batch reached, or values that are not finite.
        WrongSetting: `net` was not converted, or `quantile` lies outside (0, 1].
    """
    if not 0 < quantile <= 1:
        raise WrongSetting(f"quantile = {quantile} lies outside (0, 1]", "0.9999 covers all but one value in 10,000")
    matrices = [module for module in net.modules() if isinstance(module, AnalogMatrix)]
    if not matrices:
        raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
    kept = [batch for batch, _ in zip(batches, range(max_batches), strict=False)]
    if not kept:
        raise BadInput("there is no batch to calibrate on", "give an iterable with at least one batch of inputs")
    training = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        _set_ranges(net, kept, matrices, _Inputs(quantile))
        _set_ranges(net, kept, matrices, _Outputs(quantile))
    finally:
        for module, mode in training:
            module.training = mode
    return net


def arguments(batch: Any) -> tuple[Any, ...]:
    """The positional arguments of the network in a batch: the batch, or its first element when labels follow."""
    return (batch[0],) if isinstance(batch, (tuple, list)) else (batch,)


class _Inputs:
    """Collects |inputs| of each matrix; the digital product goes on."""

    name = "input_range"

    def __init__(self, quantile: float) -> None:
        self.quantile = quantile
        self.seen: dict[str, list[list[Tensor]]] = {}

    def wanted(self, hw: Hardware) -> bool:
        return needs_input_range(hw)

    def __call__(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator) -> Tensor:
        self.seen.setdefault(matrix.path, [[]])[0].append(_sample(x))
        return operator(x, weight)

    def range(self, matrix: AnalogMatrix) -> Tensor:
        return _quantile(self.seen[matrix.path][0], self.quantile)


class _Outputs:
    """Collects |column outputs| of each row block; the digital product goes on."""

    name = "adc_range"

    def __init__(self, quantile: float) -> None:
        self.quantile = quantile
        self.seen: dict[str, list[list[Tensor]]] = {}
        self.readouts: dict[str, int] = {}

    def wanted(self, hw: Hardware) -> bool:
        return needs_adc_range(hw)

    def __call__(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator) -> Tensor:
        if self.wanted(matrix.hw):
            product = matrix.product(weight, operator)
            cells = ideal_cells(operator.to_matrix(weight), product.plan, matrix.hw)
            held = operands(cells, operator, product.plan, product.kernel, matrix.hw)
            blocks, readouts = len(product.plan.blocks), len(cells.weight)
            seen = self.seen.setdefault(matrix.path, [[] for _ in range(blocks * readouts)])
            self.readouts[matrix.path] = readouts
            for b, (inputs, _) in enumerate(product.inputs(x, matrix.input_range)):
                for k, operand in enumerate(held.blocks[b]):
                    seen[k * blocks + b].append(_sample(product.columns(inputs, operand)))
        return operator(x, weight)

    def range(self, matrix: AnalogMatrix) -> Tensor:
        ranges = torch.stack([_quantile(values, self.quantile) for values in self.seen[matrix.path]])
        return ranges.reshape(self.readouts[matrix.path], -1)


def _set_ranges(net: nn.Module, batches: list[Any], matrices: list[AnalogMatrix], collect: _Inputs | _Outputs) -> None:
    if not any(collect.wanted(matrix.hw) for matrix in matrices):
        return
    with torch.no_grad(), observed(net, collect):
        for batch in batches:
            net(*arguments(batch))
    for matrix in matrices:
        if not collect.wanted(matrix.hw):
            continue
        if matrix.path not in collect.seen:
            raise BadInput(
                "no batch reached this array",
                "the network read its weight around the layer's forward, or not at all: keep it digital with "
                f"hw.replace(digital=['{layer_paths(net)[matrix.path]}'])",
                path=matrix.path,
            )
        value = collect.range(matrix)
        if not bool(torch.isfinite(value).all()):
            raise BadInput("the values to convert are not finite", "check the data and the weights", path=matrix.path)
        matrix.set_range(collect.name, value)


def _sample(x: Tensor) -> Tensor:
    """|x|, thinned evenly to at most `_KEPT` values."""
    flat = x.detach().flatten()
    return flat[:: -(-flat.numel() // _KEPT) or 1].abs().float()


def _quantile(parts: list[Tensor], quantile: float) -> Tensor:
    """The quantile of all the parts; a layer that only ever sees zeros gets the range 1."""
    values = torch.cat(parts)
    if not len(values):
        return torch.ones(())
    rank = max(1, round(quantile * len(values)))
    value = torch.kthvalue(values, rank).values if quantile < 1 else values.max()
    value = value if value > 0 else values.max()
    return value if value != 0 else torch.ones_like(value)

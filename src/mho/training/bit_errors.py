"""What each number of bits costs at the output of each layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn

from mho.convert import observed
from mho.crossbar.product import needs_adc_range, needs_input_range
from mho.errors import BadInput
from mho.hardware import Hardware
from mho.nn import AnalogMatrix
from mho.nn.layer import layer_paths
from mho.training.adc_ranges import adc_error, adc_range
from mho.training.calibration import arguments, arrays, take
from mho.training.dac_ranges import dac_range, output_error
from mho.training.kept import Kept

Converter = Literal["dac", "adc"]
Errors = dict[tuple[str, Converter], dict[int, float]]


def bit_errors(net: nn.Module, batches: Iterable[Any], bits: range, *, max_batches: int = 2) -> Errors:
    """Squared error at the output of each layer over its squared output, by converter and bits.

    One converter has b bits and the range of the smallest error, the other the most bits of `bits`. A layer of several
    matrices has the sum of their errors.

    Args:
        net: What `to_analog` returned; nothing of it is changed.
        batches: As for `calibrate`.
        bits: Numbers of bits, rising.
        max_batches: Batches looked at.

    Returns:
        Errors by (path of the layer, "dac" or "adc"), by number of bits.

    Raises:
        BadInput: No batch, or an array that no batch reached.
        WrongSetting: `net` was not converted, or holds a programmed chip.
    """
    matrices, kept = arrays(net), _keep(net, take(batches, max_batches))
    paths = layer_paths(net)
    found: Errors = {}
    with torch.no_grad():
        for matrix in matrices:
            if matrix.path not in kept:
                raise BadInput("no batch reached this array", "give other batches", path=matrix.path)
            for converter in ("dac", "adc"):
                by_bits = found.setdefault((paths[matrix.path], converter), dict.fromkeys(bits, 0.0))  # type: ignore[arg-type]
                for b in bits:
                    dac, adc = (b, None) if converter == "dac" else (bits[-1], b)
                    by_bits[b] += _error(with_bits(matrix.hw, dac, adc), matrix.path, kept[matrix.path])
    return found


def with_bits(hw: Hardware, dac: int | None, adc: int | None) -> Hardware:
    """The hardware with other converters; None is one of infinite resolution."""
    return hw.replace(dac__steps=None, dac__bits=dac, adc__steps=None, adc__bits=adc)


def _error(hw: Hardware, path: str, kept: Kept) -> float:
    matrix = AnalogMatrix(hw, path)
    reach = torch.ones((), device=kept.weight.device)
    if needs_input_range(hw):
        reach = dac_range(matrix, kept)
        matrix.register_buffer("input_range", reach)
    if needs_adc_range(hw):
        return adc_error(matrix, kept, adc_range(matrix, kept))
    return output_error(matrix, kept)(float(reach))


def _keep(net: nn.Module, batches: list[Any]) -> dict[str, Kept]:
    kept: dict[str, Kept] = {}

    def keep(matrix: AnalogMatrix, x: torch.Tensor, weight: torch.Tensor, operator: Any) -> torch.Tensor:
        y: torch.Tensor = operator(x, weight)
        kept.setdefault(matrix.path, Kept(weight, operator)).add(x, y)
        return y

    training = [(module, module.training) for module in net.modules()]
    try:
        net.eval()
        with torch.no_grad(), observed(net, keep):
            for batch in batches:
                net(*arguments(batch))
    finally:
        for module, mode in training:
            module.training = mode
    return kept

"""The range of a DAC with the smallest error at the output of its layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mho.calibration.draws import draws
from mho.calibration.kept import Kept, squared
from mho.calibration.search import smallest_error
from mho.crossbar import Scheme
from mho.crossbar.product import product
from mho.nn import AnalogMatrix
from mho.nn.source import ideal


def dac_range(matrix: AnalogMatrix, kept: Kept) -> Tensor:
    """argmin over r of Σ (y(r) - y)², y(r) from arrays of ideal cells with noise and all, y from the digital layer.

    For inputs with independent errors this is the range of the smallest error of the inputs themselves (Banner et al.
    2019, arXiv 1810.05723), each weighted with what its weights sum up to; errors of one sign, as clipping makes them, and
    noise and a fixed ADC, whose share grows and shrinks with r, count with what they do. An ADC that is calibrated
    follows the range of the DAC, and is left out. Without a DAC nothing is clipped: the range is the largest input.

    Args:
        matrix: The arrays.
        kept: Inputs of the layer.

    Returns:
        Scalar.
    """
    reach = kept.largest or 1.0
    if matrix.hw.dac.half_steps is not None:
        fixed = matrix.hw.adc.range == "fixed" and matrix.hw.adc.half_steps is not None
        reach = smallest_error(output_error(matrix, kept), reach, upwards=fixed)
    return torch.tensor(reach, device=kept.weight.device)


def output_error(matrix: AnalogMatrix, kept: Kept) -> Callable[[float], float]:
    """A function of the DAC's range: the squared error at the layer's output, over its squared output.

    Args:
        matrix: The arrays; an ADC that is calibrated is left out.
        kept: Inputs of the layer.
    """
    hw, operator = matrix.hw, kept.operator
    if hw.adc.range != "fixed":
        hw = hw.replace(adc={"bits": None, "range": "calibrated"})
    scheme = Scheme.of(operator, tuple(kept.weight.shape), hw)
    held, inputs, wanted = ideal(scheme, kept.weight, operator), list(kept), kept.reference()
    power = squared(wanted) or 1.0

    def error(reach: float) -> float:
        lost = 0.0
        with draws(scheme, matrix.path):
            for x, y in zip(inputs, wanted, strict=True):
                if isinstance(held, Tensor):
                    found = operator(x, held)
                else:
                    found = product(held, operator, x, torch.tensor(reach, device=x.device), None)
                lost += float((found - y).double().square().sum())
        return lost / power

    return error

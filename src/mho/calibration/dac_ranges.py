"""The range of a DAC with the smallest error at the output of its layer."""

from __future__ import annotations

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


class output_error:
    """Called with a range of the DAC: the squared error at the layer's output, over its squared output.

    Args:
        matrix: The arrays; an ADC that is calibrated is left out.
        kept: Inputs of the layer.
    """

    def __init__(self, matrix: AnalogMatrix, kept: Kept) -> None:
        self.path, self.operator, self.inputs = matrix.path, kept.operator, list(kept)
        hw = matrix.hw
        if hw.adc.range != "fixed":
            hw = hw.replace(adc={"bits": None, "range": "calibrated"})
        self.scheme = Scheme.of(kept.operator, tuple(kept.weight.shape), hw)
        self.held = ideal(self.scheme, kept.weight, kept.operator)
        self.wanted = kept.reference()
        self.power = squared(self.wanted) or 1.0

    def __call__(self, reach: float) -> float:
        """The error."""
        lost = 0.0
        with draws(self.scheme, self.path):
            for x, y in zip(self.inputs, self.wanted, strict=True):
                if isinstance(self.held, Tensor):
                    found = self.operator(x, self.held)
                else:
                    found = product(self.held, self.operator, x, torch.tensor(reach, device=x.device), None)
                lost += float((found - y).double().square().sum())
        return lost / self.power

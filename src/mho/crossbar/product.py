"""`product`: what arrays make of a layer's input, by the executor that can."""

from __future__ import annotations

import torch
from torch import Tensor

from mho.crossbar import fused, reference, sliced, step, vectors, vectors_step
from mho.crossbar.held import Held
from mho.crossbar.operator import Operator
from mho.errors import BadInput


def product(
    held: Held, operator: Operator, x: Tensor, input_range: Tensor | None, adc_range: Tensor | None,
    bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The layer's output, real units; arguments as for `mho.crossbar.reference.compute`."""
    scheme, inputs = held.scheme, held.scheme.plan.inputs
    if (
        x.dim() < -operator.axis or x.shape[operator.axis] != inputs
    ):  # row blocks would take their part of what is there
        what = "features" if operator.dims == 0 else "channels"
        raise BadInput(f"an input of shape {tuple(x.shape)} for a matrix with {inputs} input {what}", "give it as many")
    if any(operand.converter is not None for operand in held.operands):
        return reference.compute(held, operator, x, input_range, adc_range, bias)
    if len(scheme.conversions) > len(scheme.blocks) and sliced.suits(held, operator, x, input_range, adc_range, bias):
        return sliced.forward(held, operator, x, input_range, adc_range, bias)
    if scheme.only_by_reference:
        return reference.compute(held, operator, x, input_range, adc_range, bias)
    if (scheme.per_vector or scheme.repeats) and vectors.suits(held, operator, x, input_range, adc_range, bias):
        return vectors.forward(held, operator, x, input_range, adc_range, bias)
    if vectors_step.suits(held, operator, x, adc_range, bias):
        return vectors_step.forward(held, operator, x, adc_range, bias)
    if scheme.repeats:
        return reference.compute(held, operator, x, input_range, adc_range, bias)
    if not torch.is_grad_enabled():
        return fused.forward(held, operator, x, input_range, adc_range, bias)
    if step.suits(held, operator, x, input_range, adc_range):
        return step.forward(held, operator, x, input_range, adc_range, bias)
    differentiated = (x, input_range, adc_range, bias, *(t for o in held.operands for t in o))
    if any(isinstance(t, Tensor) and t.requires_grad for t in differentiated):
        return reference.compute(held, operator, x, input_range, adc_range, bias)
    return fused.forward(held, operator, x, input_range, adc_range, bias)

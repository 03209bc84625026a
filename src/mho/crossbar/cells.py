"""What the arrays hold, as the analog product needs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mho.crossbar.plan import Plan
from mho.crossbar.scaling import normalise, weight_scale
from mho.hardware import Hardware, Readouts


class Cells(NamedTuple):
    """The arrays of one matrix.

    Attributes:
        weight: What each readout's columns multiply with, in units of a full weight, (readouts, groups, columns, rows).
        gain: Digital factor of each converted column, (readouts, blocks, groups, columns).
        scale: The weight that a full weight stands for, (blocks, groups, columns).
        variance: Variance of each entry of `weight` from product to product, or None.
    """

    weight: Tensor
    gain: Tensor
    scale: Tensor
    variance: Tensor | None = None


def decode(planes: list[Tensor], readouts: Readouts) -> Tensor:
    """Conductances (µS) of the planes to what each readout multiplies with, (readouts, groups, columns, rows)."""
    rows = []
    for coefficients in readouts.coefficients:
        terms = [c * g for c, g in zip(coefficients, planes, strict=True) if c]
        rows.append(sum(terms[1:], terms[0]))
    return torch.stack(rows)


def gains(scale: Tensor, readouts: Readouts) -> Tensor:
    """Digital factors before any compensation, (readouts, blocks, groups, columns)."""
    return torch.stack([factor * scale for factor in readouts.factors])


def product_variance(weight: Tensor, targets: list[Tensor], unit: Tensor, hw: Hardware) -> Tensor | None:
    """Variance of each entry of `weight` from product to product, or None where nothing is drawn per product.

    Args:
        weight: What each readout multiplies with, (readouts, groups, columns, rows).
        targets: Target conductance of each plane, µS.
        unit: Weights in units of their scale, (groups, columns, rows).
        hw: Asked for `noise.weight` and for the variations with redraw 'mvm'.
    """
    parts: list[Tensor] = []
    size = weight.detach().abs()
    if hw.noise.weight:
        form = {"additive": torch.ones_like(size), "proportional": size.square(), "pcm_read": size}
        parts.append(hw.noise.weight**2 * form[hw.noise.weight_form])
    for variation in hw.variations:
        if variation.redraw != "mvm" or not variation.sigma:
            continue
        if variation.on_weights:
            largest = (
                unit.detach().abs().amax() if variation.relative_to == "weight_max" else unit.detach().std(correction=0)
            )
            parts.append((variation.sigma * largest).square().expand_as(size))
        else:
            from mho.devices.variation import sigma_us

            sigmas = [sigma_us(target.detach(), variation, hw.cell) for target in targets]
            squared = Readouts(
                tuple(tuple(c * c for c in row) for row in hw.encoding.readouts(hw.cell).coefficients), ()
            )
            parts.append(decode([sigma.square() for sigma in sigmas], squared))
    return sum(parts[1:], parts[0]) if parts else None


Change = Callable[[Tensor, Tensor, Plan], Tensor]
"""Weights in units of their scale, (groups, columns, rows), and that scale and their plan, to other such weights."""


def ideal_cells(matrix: Tensor, plan: Plan, hw: Hardware, change: Change | None = None) -> Cells:
    """Arrays that hold exactly the targets; differentiable in `matrix`.

    Args:
        matrix: Weights, (groups, columns, rows).
        plan: Where they stand.
        hw: The hardware; its cell is asked for the encoding's range only.
        change: What training injects into the weights.
    """
    scale = weight_scale(matrix, plan, hw.mapping)
    unit = normalise(matrix, scale, plan, clip=hw.mapping.clip_sigma is not None)
    unit = unit if change is None else change(unit, scale, plan)
    readouts = hw.encoding.readouts(hw.cell)
    weight = hw.encoding.ideal(unit)
    if weight is not None and not differs_per_product(hw):
        return Cells(weight, gains(scale, readouts), scale, None)
    targets = hw.encoding.encode(unit, hw.cell)
    weight = decode(targets, readouts)
    return Cells(weight, gains(scale, readouts), scale, product_variance(weight, targets, unit, hw))


def differs_per_product(hw: Hardware) -> bool:
    """True when weights are drawn anew for every product."""
    return bool(hw.noise.weight) or any(variation.redraw == "mvm" and variation.sigma for variation in hw.variations)

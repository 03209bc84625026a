"""What the arrays of one matrix hold, as a matrix for each readout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mho.crossbar.plan import Plan
from mho.crossbar.scaling import scaled
from mho.crossbar.scheme import Scheme
from mho.crossbar.wires import seen_through
from mho.devices.variation import sigma_us
from mho.hardware import Readouts, Variation


class Cells(NamedTuple):
    """The arrays of one matrix.

    Attributes:
        weight: What each readout's columns multiply with, in units of a full weight, (readouts, groups, columns, rows).
        scale: The weight that a full weight stands for, real units, (blocks, groups, columns).
        variance: Variance of each entry of `weight` from product to product, or None.
        redrawn: The same from conversion to conversion of a batch, all of whose products share a draw, or None.
    """

    weight: Tensor
    scale: Tensor
    variance: Tensor | None = None
    redrawn: Tensor | None = None


def decode(planes: Sequence[Tensor], readouts: Readouts, *, squared: bool = False) -> Tensor:
    """What each readout multiplies with, (readouts, groups, columns, rows), from the planes' conductances (µS).

    `squared`: its variance, from those of the conductances (µS²).
    """
    found, shape = [], torch.broadcast_shapes(*(g.shape for g in planes))  # a reference column serves all columns
    for readout in readouts.columns:
        total: Tensor | None = None
        for c, g in zip(readout.coefficients, planes, strict=True):
            if c:
                term = (c * c if squared else c) * g
                total = term if total is None else total + term
        assert total is not None
        found.append(total.expand(shape))
    return torch.stack(found)


def whole(weight: Tensor, readouts: Readouts) -> Tensor:
    """The signed weights that the readouts stand for together, (groups, columns, rows)."""
    terms = [r.factor * w for r, w in zip(readouts.columns, weight, strict=True)]
    return torch.stack(terms).sum(0) - readouts.offset


def product_variance(
    weight: Tensor, targets: Sequence[Tensor], unit: Tensor, scale: Tensor, scheme: Scheme, redraw: str = "mvm"
) -> Tensor | None:  # fmt: skip
    """Variance of each entry of `weight` from product to product (or conversion to conversion), None where there is none.

    What is said of a weight (`noise.weight`, variations relative to weights) is divided evenly over its readouts, so
    that their digital sum has it: v_k = v / Σ f². What is said of a cell reaches each readout that sees it.

    Args:
        weight: What each readout multiplies with, (readouts, groups, columns, rows).
        targets: Target conductance of each plane, µS.
        unit: Weights in units of their scale, (groups, columns, rows).
        scale: That scale, see `Cells`.
        scheme: Asked for `noise.weight` (of products) and for the variations with that redraw.
        redraw: 'mvm' or 'conversion'.
    """
    if not (scheme.drawn_per_product if redraw == "mvm" else scheme.drawn_per_conversion):
        return None
    hw, readouts = scheme.hw, scheme.readouts
    on_weights, on_cells = torch.zeros_like(unit.detach()), []
    if hw.noise.weight and redraw == "mvm":
        size = whole(weight.detach(), readouts).abs()
        form = {"additive": torch.ones_like(size), "proportional": size.square(), "pcm_read": size}
        on_weights = on_weights + hw.noise.weight**2 * form[hw.noise.weight_form]
    for variation in hw.variations:
        if variation.redraw != redraw:
            continue
        if variation.on_weights:
            on_weights = on_weights + (variation.sigma * weight_reference(unit, scale, scheme, variation)).square()
        else:
            exact = hw.encoding.exact_planes()
            sizes = [
                0 * t if p in exact else sigma_us(t, variation, hw.cell)
                for p, t in enumerate(map(Tensor.detach, targets))
            ]
            squares = [size.square() for size in sizes]
            on_cells.append(decode(squares, readouts, squared=True))
    shared = on_weights / sum(readout.factor**2 for readout in readouts.columns)
    return sum(on_cells, shared.expand_as(weight))


def weight_reference(unit: Tensor, scale: Tensor, scheme: Scheme, variation: Variation) -> Tensor:
    """Standard deviation or largest magnitude of the layer's weights, each in the unit of its own scale."""
    own = scheme.plan.spread(scale)
    weights = unit.detach() * own
    found = weights.abs().amax() if variation.relative_to == "weight_max" else weights.std(correction=0)
    return found / own


Change = Callable[[Tensor, Tensor, Plan], Tensor]
"""Weights in units of their scale, (groups, columns, rows), and that scale and their plan, to other such weights."""


def ideal_cells(matrix: Tensor, scheme: Scheme, change: Change | None = None) -> Cells:
    """Arrays that hold exactly the targets; differentiable in `matrix` as the encoding says.

    Args:
        matrix: Weights, (groups, columns, rows).
        scheme: The product.
        change: What training injects into the weights.
    """
    hw, readouts = scheme.hw, scheme.readouts
    unit, scale = scaled(matrix, scheme)
    unit = unit if change is None else change(unit, scale, scheme.plan)
    weight = None if hw.wires else hw.encoding.ideal(unit)
    if weight is not None and not scheme.drawn_per_product and not scheme.drawn_per_conversion:
        return Cells(weight, scale)
    through = hw.encoding.straight_through  # such a one need not know derivatives of its own
    targets = hw.encoding.encode(unit.detach() if through else unit, hw.cell)
    weight = decode(seen_through(targets, scheme), readouts)
    if through:
        follows = torch.stack([unit * share for share in readouts.shares])
        weight = follows + (weight - follows).detach()
    drawn = [product_variance(weight, targets, unit, scale, scheme, redraw) for redraw in ("mvm", "conversion")]
    return Cells(weight, scale, *drawn)

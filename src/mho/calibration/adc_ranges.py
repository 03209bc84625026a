"""The ranges of the ADCs with the smallest error at the output of their layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mho.calibration.draws import draws
from mho.calibration.kept import Kept, squared
from mho.calibration.search import smallest_error
from mho.crossbar import Conversion, columns, hold, ideal_cells
from mho.nn import AnalogMatrix

_VALUES = 1 << 18
"""Column outputs kept of each row block and readout."""
_ROUNDS = 2
"""Times that the bounds of several row blocks and readouts are fitted to one another."""


@dataclass(frozen=True)
class Columns:
    """Column outputs of one readout of one row block, at the same positions as those of the others.

    Attributes:
        seen: What the converter meets, noise included, for each slice of the input, (slices, positions, columns).
        clean: The same without the noise of products.
        factor: What the digital sum multiplies it with, broadcast against `seen`.
        conversion: Its converter.
    """

    seen: Tensor
    clean: Tensor
    factor: Tensor
    conversion: Conversion

    def error(self, bound: float) -> Tensor:
        """What conversion with this bound, and the noise, add to the digital sum, (positions, columns)."""
        return ((self.conversion.convert(self.seen, bound) - self.clean) * self.factor).sum(0)


def adc_range(matrix: AnalogMatrix, kept: Kept) -> Tensor:
    """The bounds that minimise Σ (y(bounds) - y)² over the layer's outputs, for ideal cells and quantised inputs.

    y sums readouts k and row blocks b digitally, Σ_kb f_kb Q(a_kb + noise), against Σ_kb f_kb a_kb with the digital
    factors f of each column. With one readout and block this is the clipping of the smallest squared error (Banner et
    al. 2019, arXiv 1810.05723), columns weighted with the square of their factor. With several, each bound is first found
    as if it were alone, which is exact for independent errors, and then twice more in the company of the others: what
    two polarities clip at once may cancel.

    Args:
        matrix: The arrays, with the range of their DAC set.
        kept: Inputs of the layer.

    Returns:
        (readouts, blocks).
    """
    columns = _columns(matrix, kept)
    flat = [found for row in columns for found in row]
    bounds = [_best(part, None) for part in flat]
    if len(flat) > 1:
        errors = [part.error(bound) for part, bound in zip(flat, bounds, strict=True)]
        total = torch.stack(errors).sum(0)
        for _ in range(_ROUNDS):
            for i, part in enumerate(flat):
                others = total - errors[i]
                bounds[i] = _best(part, others)
                errors[i] = part.error(bounds[i])
                total = others + errors[i]
    return torch.tensor(bounds, device=kept.weight.device).reshape(len(columns), -1)


def adc_error(matrix: AnalogMatrix, kept: Kept, bounds: Tensor) -> float:
    """Squared error that conversion within `bounds`, (readouts, blocks), adds to the layer's output, over its square."""
    flat = [found for row in _columns(matrix, kept) for found in row]
    lost = torch.stack([part.error(float(b)) for part, b in zip(flat, bounds.flatten(), strict=True)]).sum(0)
    unit = 1.0 if matrix.input_range is None else float(matrix.input_range)
    made = kept.reference()
    power = squared(made) / max(1, sum(y.numel() for y in made))
    return unit**2 * float(lost.square().mean(dtype=torch.float64)) / (power or 1.0)


def _best(columns: Columns, others: Tensor | None) -> float:
    """The bound with the smallest error of the sum, given what the other readouts and blocks add to it."""
    largest = float(columns.seen.abs().max()) if columns.seen.numel() else 0.0
    if not largest:
        return 1.0

    def error(bound: float) -> float:
        found = columns.error(bound)
        return float((found if others is None else found + others).square().sum(dtype=torch.float64))

    return smallest_error(error, largest)


def _columns(matrix: AnalogMatrix, kept: Kept) -> list[list[Columns]]:
    """Column outputs [readout][block] at an even sample of the positions."""
    operator, scheme = kept.operator, matrix.scheme(kept.weight, kept.operator)
    held = hold(ideal_cells(operator.to_matrix(kept.weight), scheme), operator, scheme)
    chunks = list(kept)
    parts: dict[tuple[int, int], list[Columns]] = {}
    with draws(scheme, matrix.path):
        for x in chunks:
            slices: dict[tuple[int, int], list[Columns]] = {}
            for column in columns(held, operator, x, matrix.input_range):
                c, clean = column.conversion, column.clean
                if c.half_steps is None:
                    continue
                seen = column.seen()
                share = max(1, _VALUES // len(chunks) // clean.shape[operator.axis])
                positions = clean.numel() // clean.shape[operator.axis]
                step = -(-positions // share) | 1  # odd: no pattern with the width of images
                factor = (column.operand.gain * c.weight).to(clean.dtype)
                if scheme.per_vector:
                    assert isinstance(column.reach, Tensor)
                    factor = factor * _rows(column.reach.expand(clean.shape), operator.axis, step)
                found = Columns(_rows(seen, operator.axis, step), _rows(clean, operator.axis, step), factor, c)
                slices.setdefault((c.readout, c.block), []).append(found)
            for key, several in slices.items():
                parts.setdefault(key, []).append(_stacked(several))
    readouts, blocks = range(len(scheme.readouts.columns)), range(len(scheme.plan.blocks))
    return [[_joined(parts[k, b]) for b in blocks] for k in readouts]


def _rows(y: Tensor, axis: int, step: int) -> Tensor:
    """(positions, columns), every `step`-th position."""
    return y.movedim(axis, -1).flatten(0, -2)[::step].float().contiguous()


def _stacked(slices: list[Columns]) -> Columns:
    """The conversions of all slices of one input, which share a range."""
    factors = [s.factor if s.factor.dim() == 2 else s.factor[None] for s in slices]
    seen, clean = (torch.stack([getattr(s, name) for s in slices]) for name in ("seen", "clean"))
    return Columns(seen, clean, torch.stack(factors).float(), slices[0].conversion)


def _joined(parts: list[Columns]) -> Columns:
    """The same conversions at the positions of several inputs."""

    def cat(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts], 1)

    first = parts[0]
    factor = first.factor if first.factor.shape[1] == 1 else cat("factor")
    return Columns(cat("seen"), cat("clean"), factor, first.conversion)

"""How much the rows of an array carry: what the energy of reading cells depends on, measured or assumed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mho.crossbar import Operator, Scheme
from mho.hardware import InputSlice
from mho.kernels.reference import quantise
from mho.nn import AnalogMatrix


@dataclass
class Load:
    """Of a matrix, summed over vectors and slices of the input v in [-1, 1].

    Attributes:
        vectors: How many there were.
        charge_us: Σ_j h(v_j) · Σ g_j over all cells of row j, µS; h is v² where inputs are amplitudes, |v| where they are
            durations.
        rows: Rows, over all slices.
        active: Those whose v is not zero.
        level: Σ_j |v_j|.
    """

    vectors: int = 0
    charge_us: float = 0.0
    rows: float = 0.0
    active: float = 0.0
    level: float = 0.0

    def __iadd__(self, other: Load) -> Load:
        for name in ("vectors", "charge_us", "rows", "active", "level"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


def measured(
    matrix: AnalogMatrix, x: Tensor, scheme: Scheme, operator: Operator, conductance_us: Tensor, duration: bool,
    vectors: int,
) -> Load:  # fmt: skip
    """What an input loads a matrix with.

    Inputs are scaled by the range of the DAC, or by the largest of the whole vector where each vector has its own. What a
    transposed convolution crops from its output is counted as if it were there.

    Args:
        matrix: Its range is read.
        x: Input of the layer.
        scheme: The product.
        operator: Who reads it.
        conductance_us: Sum of all cells of each row, (groups, rows), µS.
        duration: h is |v|, not v².
        vectors: That the input holds.

    Raises:
        WrongSetting: It was never calibrated.
    """
    matrix.require_ranges(scheme)
    assert scheme.input_steps is not None
    batched = x if x.dim() > operator.dims + 1 or not operator.dims else x[None]
    found = Load(vectors, rows=float(vectors) * scheme.plan.groups * scheme.plan.rows * len(slices(scheme)))
    for tap, u in enumerate(_taps(batched.detach().float(), matrix, scheme, operator)):
        codes = quantise(u, 1.0, scheme.input_steps)
        taps = max(scheme.plan.taps, 1)
        rows = conductance_us[:, tap::taps] if operator.dims else conductance_us
        for part in slices(scheme):
            v = (codes if part.take is None else part.take(codes)).abs()
            channels = [axis for axis in range(v.dim()) if axis != v.dim() + operator.axis]
            load = (v if duration else v.square()).double().sum(channels)
            found += Load(
                charge_us=float(load @ rows.reshape(-1).double()), active=float((v > 0).sum()), level=float(v.double().sum()),
            )  # fmt: skip
    return found


def assumed(scheme: Scheme, conductance_us: Tensor, duration: bool) -> Load:
    """One vector, every magnitude of whose codes, 0 among them, is equally likely."""
    assert scheme.input_steps is not None
    steps, rows = int(scheme.input_steps), scheme.plan.groups * scheme.plan.rows
    total, found = float(conductance_us.double().sum()), Load(1)
    for part in slices(scheme):
        place, width = part.digit or (0, None)
        full = steps if width is None else 2**width - 1
        top = min(steps >> place, full)  # the largest code of this slice; the highest slice may lack bits
        level, square = top / full / 2, top * (2 * top + 1) / 6 / full**2
        found += Load(0, total * (level if duration else square), rows, rows * (1 - 1 / (top + 1)), rows * level)
    return found


def slices(scheme: Scheme) -> tuple[InputSlice, ...]:
    """The parts in which an input comes, however many of them are converted together."""
    dac = scheme.hw.dac
    return (dac if dac.slice_bits is None else dac.replace(shift_and_add="digital")).slices()


def _taps(x: Tensor, matrix: AnalogMatrix, scheme: Scheme, operator: Operator) -> list[Tensor]:
    """u for each kernel tap: what it sees at every output position; for a transposed convolution, its input."""
    reach = None if scheme.per_vector else matrix.input_range
    if not scheme.per_vector:
        x = x / (1.0 if reach is None else reach.detach().float())
    if not operator.dims:
        return [x / _positive(x.abs().amax(-1, keepdim=True))] if scheme.per_vector else [x]
    if operator.transposed:
        return [x / _positive(x.abs().amax())] * scheme.plan.taps if scheme.per_vector else [x] * scheme.plan.taps
    views = operator.by_taps(x, scheme.kernel)
    if not scheme.per_vector:
        return views
    largest = operator.per_group(operator.patch_max(x, scheme.kernel), scheme.plan.inputs // operator.groups)
    return [view / _positive(largest) for view in views]


def _positive(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.ones_like(x))

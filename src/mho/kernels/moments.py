"""Sums beside the product itself, for IR drop and for the noise of weights, through the C++ kernels.

Inputs are codes, and weights become whole numbers of 16 bits for them, in units of their column's largest; see `cpp/moments.hpp`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mho.kernels import cpu
from mho.kernels.patches import Window, geometry
from mho.kernels.pool import lent

_LARGEST_CODE = 181
"""Whose square has 16 bits."""
_FEWEST_COLUMNS = 8
"""Columns of a group that are worth a kernel which has 16 of them at a time."""


def suits(u: Tensor, half_steps: float | None, window: Window, *given: Tensor | None) -> bool:
    """True when `moments` can take these inputs and weights.

    Args:
        u: Images.
        half_steps, window: See `moments`.
        given: Weights, and others that the kernels read.
    """
    if half_steps is None or half_steps > _LARGEST_CODE or u.dim() != 4 or not cpu.suits(u, *given):
        return False
    weight = next(w for w in given if w is not None)
    dense = u.stride() == cpu.row_strides(tuple(u.shape))
    return dense and len(weight) >= _FEWEST_COLUMNS * window.groups and lent().mho_has_moments() == 1


def moments(
    u: Tensor, half_steps: float, window: Window, size: Tensor | None, placed: Tensor | None, variance: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Σ_j a_ij |u_j|, Σ_j b_ij u_j and Σ_j c_ij u_j² of each patch, in rows, each where it is asked for.

    They lie in memory that the thread keeps, and are gone at its next call. The weights are rounded, for the sums to fit: a and
    b by 2⁻¹⁶ of a column's largest at most, c by 2⁻⁹, however deep the sums are.

    Args:
        u: Images in dense rows, codes / half_steps.
        half_steps: The largest code.
        window: Where patches lie.
        size, placed, variance: a, b and c, (columns, channels of a group, height, width) each.
    """
    weights = [None if w is None else w.contiguous() for w in (size, placed, variance)]
    shape = next(tuple(w.shape) for w in weights if w is not None)
    at = geometry(tuple(u.shape), u.stride(), shape, window)
    rows, names = cpu.row_strides(at.out), ("currents", "placed", "spreads")
    sums = [None if w is None else cpu.room(at.out, rows, name) for w, name in zip(weights, names, strict=True)]
    lent().mho_moments(
        u.data_ptr(), at.fields, half_steps, *map(_where, weights), *map(_where, sums), torch.get_num_threads()
    )
    return sums[0], sums[1], sums[2]


def _where(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()

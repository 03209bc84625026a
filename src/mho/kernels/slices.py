"""Products of a row block in slices of its inputs and weights, converted and summed in one pass of the C++ kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mho.kernels import cpu
from mho.kernels.patches import Window, geometry
from mho.kernels.pool import lent


def summed(
    x: Tensor, weight: Tensor, codes: Tensor, readouts: int, slices: Sequence[tuple[int, int, float]],
    reach: Tensor | float, half_steps: float, window: Window, shift: Tensor | None, total: Tensor | None,
    noisy: bool,
) -> Tensor:  # fmt: skip
    """r Σ_s w_s Σ_k f_k clip(round(c_k (Σ_j a_kj v_sj + σ_k ξ))) for each patch, in rows, added to `total` and `shift`.

    Args:
        x: Images, from `mho.kernels.patches.in_rows`.
        weight: a, (groups × readouts × columns, channels of a group, height, width).
        codes: c (codes per unit; 0: not converted), smallest and largest code, f (units per code) and σ of each column,
            (groups, 5, readouts × columns).
        readouts: Their number.
        slices: Place, width and factor w of each digit of the inputs' codes; width 0: the whole input.
        reach: r, the range of the inputs.
        half_steps: Largest code of the inputs.
        window: Geometry.
        shift: Of each column, (groups × columns,), or None.
        total: Overwritten where given.
        noisy: Some σ is not 0; ξ is drawn for every position, slice and column.
    """
    at = geometry(tuple(x.shape), x.stride(), tuple(weight.shape), window)
    n, all_, *size = at.out
    shape = (n, all_ // readouts, *size)
    out = cpu.room(shape, cpu.row_strides(shape), None) if total is None else total
    cut = torch.tensor(slices, dtype=torch.float32, device="cpu")
    range_ = reach.data_ptr() if isinstance(reach, Tensor) else None
    key = torch.randint(1, 2**62, (), device="cpu").item() if noisy else 0
    lent().mho_patch_slices(
        x.data_ptr(), at.fields, weight.data_ptr(), readouts, codes.data_ptr(), cut.data_ptr(), len(slices), range_,
        1.0 if isinstance(reach, Tensor) else reach, half_steps, None if shift is None else shift.data_ptr(),
        total is not None, key, out.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return out

"""Drift compensation: what a chip's own read-out says about how far its conductances have fallen."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mho.hardware.parts import Compensation

_SMALLEST = 1e-4


class NoCompensation(Compensation):
    """Leave the outputs as they are."""

    kind: Literal["none"] = "none"

    def factor(self, now: Tensor, reference: Tensor, array: Tensor) -> Tensor:
        """Ones."""
        return torch.ones_like(now[..., 0])


class _Drift(Compensation):
    readout: Literal["array", "exact"] = "array"
    """array: read through noise and converters, as a chip must; exact: the conductances themselves."""
    reference: Literal["programmed", "ideal"] = "programmed"
    """programmed: read right after programming; ideal: computed from the targets (an exact reference)."""

    def measured(self) -> bool:
        """True for readout 'array'."""
        return self.readout == "array"

    def reference_is_ideal(self) -> bool:
        """True for reference 'ideal'."""
        return self.reference == "ideal"


class GlobalDrift(_Drift):
    """One factor an array: mean |reading| at the reference over mean |reading| now (GDC; Joshi et al. 2020).

    Readings are those of one-hot inputs, as AIHWKit has done since 2022; through a noisy array their mean magnitude is
    biased upwards by the noise and the compensation falls short (`readout: exact` shows by how much).
    """

    kind: Literal["global"] = "global"

    def factor(self, now: Tensor, reference: Tensor, array: Tensor) -> Tensor:
        """Ratio of the means over each array."""
        return _mean_by_array(reference, array).clamp(min=_SMALLEST) / _mean_by_array(now, array).clamp(min=_SMALLEST)


class PerColumnDrift(_Drift):
    """One factor a column: the ratio of the column's mean |reading|."""

    kind: Literal["per_column"] = "per_column"

    def factor(self, now: Tensor, reference: Tensor, array: Tensor) -> Tensor:
        """Ratio of the means over each column."""
        return reference.abs().mean(-1).clamp(min=_SMALLEST) / now.abs().mean(-1).clamp(min=_SMALLEST)


def _mean_by_array(reading: Tensor, array: Tensor) -> Tensor:
    """Mean magnitude over the cells of each array, (readouts, groups, columns, rows) -> (readouts, groups, columns)."""
    index = array.flatten()
    columns = reading.abs().mean(-1).flatten(1)
    count = torch.bincount(index).to(columns)
    total = torch.zeros(columns.shape[0], len(count), dtype=columns.dtype, device=columns.device)
    mean = total.index_add_(1, index, columns) / count.clamp(min=1)
    return mean[:, index].reshape(reading.shape[:-1])

"""Drift compensation: what a chip's own read-out says about how far its conductances have fallen."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor

from mho.hardware.parts import Compensation, Correction, Reading

_SMALLEST = 1e-4


class NoCompensation(Compensation):
    """Leave the outputs as they are."""

    kind: Literal["none"] = "none"

    def reads(self) -> bool:
        """False."""
        return False

    def correct(self, reading: Reading) -> Correction:
        """Nothing."""
        return Correction()


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

    def correct(self, reading: Reading) -> Correction:
        """Mean |reading| at the reference over mean |reading| now, row block by row block."""
        factors = []
        for (start, stop), array in zip(reading.blocks, reading.arrays, strict=True):
            size = self._size(reading.now[..., start:stop], array)
            before = self._size(reading.reference[..., start:stop], array)
            factors.append(before.clamp(min=_SMALLEST) / size.clamp(min=_SMALLEST))
        return Correction(torch.stack(factors, dim=1))

    @abstractmethod
    def _size(self, part: Tensor, array: Tensor) -> Tensor:
        """Mean |reading|, (readouts, groups, columns, rows) -> (readouts, groups, columns)."""


class GlobalDrift(_Drift):
    """One factor an array: mean |reading| at the reference over mean |reading| now (GDC; Joshi et al. 2020).

    Readings are those of one-hot inputs, as AIHWKit has done since 2022; through a noisy array their mean magnitude is
    biased upwards by the noise and the compensation falls short (`readout: exact` shows by how much).
    """

    kind: Literal["global"] = "global"

    def _size(self, part: Tensor, array: Tensor) -> Tensor:
        """Over the cells of each array."""
        index = array.flatten()
        columns = part.abs().mean(-1).flatten(1)
        count = torch.bincount(index).to(columns)
        total = torch.zeros(columns.shape[0], len(count), dtype=columns.dtype, device=columns.device)
        mean = total.index_add_(1, index, columns) / count
        return mean[:, index].reshape(part.shape[:-1])


class PerColumnDrift(_Drift):
    """One factor a column: the ratio of the column's mean |reading|."""

    kind: Literal["per_column"] = "per_column"

    def _size(self, part: Tensor, array: Tensor) -> Tensor:
        """Over the cells of each column."""
        return part.abs().mean(-1)

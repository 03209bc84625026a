"""Clipping of the weights after a step, so that few large ones do not push the others into the noise."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mho.crossbar import Operator
from mho.hardware.spec import Spec


class Clip(Spec):
    """|w| <= bound, in real units, or in standard deviations of the layer's or each column's weights.

    Conductances follow the largest weight left (the mapping's scale is taken anew at every product), which is what other
    tools call remapping. Joshi et al. 2020 and Le Gallo et al. 2023 clip at 2 to 3 σ of the layer.
    """

    bound: float = Field(gt=0)
    """Largest |w|, in units of `relative_to`."""
    relative_to: Literal["absolute", "tensor_std", "column_std"] = "tensor_std"
    """absolute: the weights' own unit; tensor_std, column_std: standard deviations of the layer's, the column's weights."""

    @torch.no_grad()
    def __call__(self, weight: Tensor, operator: Operator) -> None:
        """Clip a weight (in torch's layout) in place."""
        if self.relative_to == "absolute":
            weight.clamp_(-self.bound, self.bound)
        elif self.relative_to == "tensor_std":
            bound = self.bound * weight.std(correction=0)
            weight.copy_(torch.minimum(torch.maximum(weight, -bound), bound))
        else:
            matrix = operator.to_matrix(weight)
            bound = self.bound * matrix.std(-1, correction=0, keepdim=True)
            clipped = torch.minimum(torch.maximum(matrix, -bound), bound)
            weight.copy_(operator.to_weight(clipped, tuple(weight.shape[2:]) if operator.dims else ()))

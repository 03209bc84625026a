"""Gaussian noise on the weights, in each of the sizes that the literature means by 'σ'."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mho.errors import WrongSetting
from mho.hardware.definition import Definition
from mho.training.injections.base import Injection, Scope

_STATISTIC = {"max": "largest |w|", "std": "standard deviation of the weights"}


class Gaussian(Injection):
    """w + σ r ξ with ξ ~ N(0, 1) for every weight and step, r the reference; or w (1 + σ ξ) relative to the weight.

    The reference counts as a constant, so that the gradient of the first passes unchanged; that of the second is
    multiplied with 1 + σ ξ, which is exact. Joshi et al. 2020 (methods) inject relative to the layer's largest weight,
    Rasch et al. 2023 relative to the column's.
    """

    kind: Literal["gaussian"] = "gaussian"
    sigma: float = Field(ge=0)
    """σ as a share of the reference."""
    relative_to: Literal["max", "std", "weight"] = "max"
    """max: the largest |w|; std: the standard deviation; weight: each weight itself (multiplicative)."""
    per: Literal["tensor", "column", "array"] | None = None
    """Of the whole weight tensor (the default), of each output column, or of what each array holds."""

    @model_validator(mode="after")
    def _possible(self) -> Gaussian:
        if self.relative_to == "weight" and self.per is not None:
            raise WrongSetting(f"per = '{self.per}' has no effect relative to each weight", "leave it out", path="per")
        return self

    def __call__(self, unit: Tensor, scope: Scope) -> Tensor:
        """With `strength` times σ."""
        sigma = self.sigma * scope.strength
        if not sigma:
            return unit
        noise = scope.draw.normal("gaussian", unit.shape, like=unit)
        if self.relative_to == "weight":
            return unit * (1 + sigma * noise)
        return torch.addcmul(unit, self._reference(unit.detach(), scope), noise, value=sigma)

    def _reference(self, unit: Tensor, scope: Scope) -> Tensor:
        """r in units of the scale, broadcast against the weights."""
        spread = scope.plan.spread(scope.scale).to(unit)
        weight = unit * spread
        if self.per == "array":
            index = _array_of(scope).to(unit.device)
            found = _by_array(weight.flatten(), index.flatten(), self.relative_to)[index]
        elif self.per == "column":
            found = weight.abs().amax(-1, True) if self.relative_to == "max" else _std(weight, -1)
        else:
            found = weight.abs().amax() if self.relative_to == "max" else weight.std(correction=0)
        return found / spread

    def definitions(self) -> list[Definition]:
        """Its σ in words."""
        of = {"tensor": "of the layer", "column": "of the column", "array": "on the array"}[self.per or "tensor"]
        reference = "each weight" if self.relative_to == "weight" else f"the {_STATISTIC[self.relative_to]} {of}"
        return [Definition("weight in training", f"{self.sigma:g}", reference, "normal", "training step")]


def _std(weight: Tensor, axis: int) -> Tensor:
    return weight.std(axis, correction=0, keepdim=True)


def _array_of(scope: Scope) -> Tensor:
    """Number of the array that holds each weight, (groups, columns, rows)."""
    parts, first = [], 0
    for block in scope.plan.blocks:
        index = scope.plan.array_index(block)
        parts.append((index + first)[..., None].expand(*index.shape, block.rows))
        first += int(index.max()) + 1
    return torch.cat(parts, -1)


def _by_array(weight: Tensor, index: Tensor, statistic: str) -> Tensor:
    """The statistic of the weights of each array, (arrays,)."""
    arrays = int(index.max()) + 1
    if statistic == "max":
        return weight.new_zeros(arrays).scatter_reduce_(0, index, weight.abs(), "amax")
    count = torch.bincount(index, minlength=arrays).to(weight)
    mean = weight.new_zeros(arrays).index_add_(0, index, weight) / count
    square = weight.new_zeros(arrays).index_add_(0, index, (weight - mean[index]).square()) / count
    return square.sqrt()

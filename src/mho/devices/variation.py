"""The general variation: deviations whose reference, distribution and redraw are written in the description."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mho.errors import WrongSetting
from mho.hardware import Cell, Variation
from mho.rng import Stream


def sigma_us(ideal: Tensor, variation: Variation, cell: Cell) -> Tensor:
    """Standard deviation of each cell, µS."""
    span = cell.g_max_us - cell.g_min_us
    if variation.relative_to == "ideal":
        return variation.sigma * ideal
    if variation.relative_to == "level" and cell.levels is not None:
        return torch.full_like(ideal, variation.sigma * span / (cell.levels - 1))
    if variation.relative_to in ("gmax", "range"):
        return torch.full_like(ideal, variation.sigma * (cell.g_max_us if variation.relative_to == "gmax" else span))
    raise WrongSetting(f"a variation relative to '{variation.relative_to}' has no size on a cell", "see Variation")


def deviate(g: Tensor, ideal: Tensor, variation: Variation, cell: Cell, draw: Stream, purpose: str) -> Tensor:
    """Conductances `g` (µS) with the deviation of a variation on cells, cut off as it says.

    Normal and uniform ones add σ ξ, with ξ uniform in ±sqrt(3) in the latter case; a lognormal one multiplies by
    exp(σ ξ), which keeps the median.
    """
    if not variation.sigma:
        return g
    if variation.distribution == "lognormal":
        changed = g * torch.exp(variation.sigma * draw.normal(purpose, g.shape, like=g))
    else:
        changed = g + sigma_us(ideal, variation, cell) * _unit(g, variation, draw, purpose)
    if variation.clip == "none":
        return changed
    return changed.clamp(0, None) if variation.clip == "positive" else changed.clamp(cell.g_min_us, cell.g_max_us)


def deviate_weights(weight: Tensor, variation: Variation, draw: Stream, purpose: str, reference: Tensor) -> Tensor:
    """Weights with the deviation of a variation that is a share of `reference`, in their unit."""
    return weight + variation.sigma * reference * _unit(weight, variation, draw, purpose)


def _unit(like: Tensor, variation: Variation, draw: Stream, purpose: str) -> Tensor:
    if variation.distribution == "uniform":
        return (2 * draw.uniform(purpose, like.shape, like=like) - 1) * math.sqrt(3)
    return draw.normal(purpose, like.shape, like=like)

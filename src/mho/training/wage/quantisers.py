"""The quantisers of WAGE, as published: whole multiples of σ(k) = 2^(1-k) strictly between -1 and 1."""

from __future__ import annotations

import torch
from torch import Tensor

_FINE = 2.0**12


def step(bits: int) -> float:
    """σ(k) = 2^(1-k), the distance of two numbers of k bits."""
    return 2.0 ** (1 - bits)


def saturate(x: Tensor, bits: int) -> Tensor:
    """x clipped to ±(1 - σ(k))."""
    return x.clamp(-1 + step(bits), 1 - step(bits))


def quantise(x: Tensor, bits: int) -> Tensor:
    """Q(x, k) = σ(k) round(x/σ(k)), clipped to ±(1 - σ(k)); halves go to the even number.

    What lies within 2^-13 of a step from half-way counts as half-way: products of such numbers are often exactly there, and
    sums in floating point would fall to either side, another one for every order of summation.
    """
    steps = ((x / step(bits)) * _FINE).round() / _FINE
    return saturate(steps.round() * step(bits), bits)


def shift(x: Tensor) -> Tensor:
    """2^round(log2 x), the power of two that is next to x > 0; 1 of 0."""
    return torch.where(x > 0, torch.exp2(torch.log2(x).round()), 1.0)

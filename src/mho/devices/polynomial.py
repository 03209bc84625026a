"""Polynomials in ascending powers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """c₀ + c₁ x + c₂ x² + …, by Horner's rule."""
    y = torch.full_like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        y = y * x + c
    return y

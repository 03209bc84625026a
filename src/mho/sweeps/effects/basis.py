"""Columns of a regression for the factors of a design whose points are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.sweeps.effects.balanced import is_numeric, ordered
from mho.sweeps.factor import text_of
from mho.sweeps.plan import Plan

Floats = NDArray[np.float64]
MOST_DEGREE = 3


@dataclass(frozen=True)
class Axis:
    """Where the levels of a factor stand, and which functions of that a regression has.

    Attributes:
        path: The factor.
        levels: Listed ones that were drawn; empty for a span.
        numeric: Whether its levels have an order.
        ends: Of a span, logarithms for a logarithmic one.
    """

    path: str
    levels: tuple[Any, ...]
    numeric: bool
    ends: tuple[float, float] = (0.0, 1.0)
    log: bool = False

    @classmethod
    def of(cls, plan: Plan, path: str, drawn: Sequence[Any]) -> Axis:
        """The axis of a factor from its levels at the points where it counts."""
        factor = plan.factors[path]
        if factor.listed is None:
            low, high = factor.span
            log = factor.log is not None
            return cls(path, (), True, (math.log(low), math.log(high)) if log else (low, high), log)
        return cls(path, tuple(ordered(plan, path, drawn)), is_numeric(drawn))

    def place(self, level: Any) -> float:
        """From -1 to 1: along the span, or the number of a listed level."""
        if not self.levels:
            low, high = self.ends
            return 2 * ((math.log(level) if self.log else level) - low) / (high - low) - 1
        texts = [text_of(one) for one in self.levels]
        return 2 * texts.index(text_of(level)) / max(1, len(texts) - 1) - 1

    def columns(self, levels: Sequence[Any], counts: Sequence[bool], degree: int, *, centred: bool = True) -> Floats:
        """(points, columns): Legendre polynomials of a factor with an order, else one column a level but the last.

        Args:
            levels: At each point.
            counts: Whether the factor counts there; its columns are zero elsewhere.
            degree: The highest.
            centred: Each column is without mean where the factor counts, so that it adds nothing elsewhere.
        """
        found = np.zeros((len(levels), 0))
        on = [i for i, counted in enumerate(counts) if counted]
        if self.numeric:
            many = min(degree, len(self.levels) - 1) if self.levels else degree
            found = np.zeros((len(levels), max(many, 0)))
            places = np.array([self.place(levels[i]) for i in on])
            for power in range(found.shape[1]):
                found[on, power] = np.polynomial.legendre.Legendre.basis(power + 1)(places)
        elif len(self.levels) > 1:
            found = np.zeros((len(levels), len(self.levels) - 1))
            texts = [text_of(one) for one in self.levels]
            for i in on:
                number = texts.index(text_of(levels[i]))
                found[i] = -1.0 if number == len(texts) - 1 else np.eye(len(texts) - 1)[number]
        if centred and on:
            found[on] -= found[on].mean(axis=0)
        return found

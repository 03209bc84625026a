"""`Law`: how one number of a cell depends on its conductance, as coefficients that stand in a description."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import model_validator
from torch import Tensor

from mho.devices.polynomial import polynomial
from mho.errors import WrongSetting
from mho.hardware.spec import Spec

SMALLEST = 1e-7
"""Smallest r that a logarithm or a negative power is taken of."""


class Law(Spec):
    """A function of r = g_target / g_max, kept between `low` and `high`.

    polynomial: c₀ + c₁ r + c₂ r² + …; log: c₀ + c₁ ln r; power: c₀ r^c₁; table: straight lines between the points
    (`at`, coefficients), held beyond the first and the last.
    """

    form: Literal["polynomial", "log", "power", "table"] = "polynomial"
    """Its shape."""
    coefficients: tuple[float, ...]
    """c₀, c₁, …; of a table the values at its points."""
    at: tuple[float, ...] = ()
    """Points of a table, rising values of r."""
    low: float | None = None
    """Smallest value; none: as the formula says."""
    high: float | None = None
    """Largest value; none: as the formula says."""

    @model_validator(mode="after")
    def _possible(self) -> Law:
        count = len(self.coefficients)
        if not count or (self.form in ("log", "power") and count != 2):
            wanted = "two" if self.form in ("log", "power") else "one at least"
            raise WrongSetting(f"a {self.form} law with {count} coefficients", f"give {wanted}", path="coefficients")
        if (self.form == "table") != bool(self.at) or (self.at and len(self.at) != count):
            raise WrongSetting(f"{len(self.at)} points for {count} coefficients of a {self.form} law",
                               "points are of a table, one for each value", path="at")  # fmt: skip
        if any(a >= b for a, b in pairwise(self.at)):
            raise WrongSetting("the points of a table do not rise", "give them in order, each once", path="at")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise WrongSetting(f"low = {self.low:g} lies above high = {self.high:g}", "exchange them", path="low")
        return self

    def __call__(self, r: Tensor) -> Tensor:
        """Its values at r, of r's shape and dtype."""
        if self.form == "polynomial":
            y = polynomial(r, self.coefficients)
        elif self.form == "table":
            y = self._between(r)
        else:
            a, b = self.coefficients
            log_r = r.clamp(min=SMALLEST).log()
            y = a + b * log_r if self.form == "log" else a * torch.exp(b * log_r)
        return y if self.low is None and self.high is None else y.clamp(self.low, self.high)

    def _between(self, r: Tensor) -> Tensor:
        at, values = r.new_tensor(self.at), r.new_tensor(self.coefficients)
        if len(at) == 1:
            return torch.full_like(r, self.coefficients[0])
        right = torch.searchsorted(at, r.contiguous()).clamp(1, len(at) - 1)
        share = ((r - at[right - 1]) / (at[right] - at[right - 1])).clamp(0, 1)
        return values[right - 1] + share * (values[right] - values[right - 1])

    def __str__(self) -> str:
        c = [f"{value:.4g}" for value in self.coefficients]
        if self.form == "table":
            return f"table of {len(c)} points, {min(self.coefficients):.3g} to {max(self.coefficients):.3g}"
        if self.form == "polynomial":
            terms = [value + ("", " r", f" r^{k}")[min(k, 2)] for k, value in enumerate(c)]
            text = " + ".join(terms)
        else:
            text = f"{c[0]} + {c[1]} ln r" if self.form == "log" else f"{c[0]} r^{c[1]}"
        ends = (("at least", self.low), ("at most", self.high))
        bounds = [f"{words} {value:.3g}" for words, value in ends if value is not None]
        return ", ".join([text.replace("+ -", "- "), *bounds])

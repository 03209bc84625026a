"""Designs that draw their points: at random, as a Latin hypercube, or from a Sobol sequence."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mho.sweeps.designs.base import MOST, Design, Point, active
from mho.sweeps.factor import Factor


class Sampled(Design):
    """Points from places in the unit cube, one axis a factor."""

    drawn: ClassVar[bool] = True
    trials: int = Field(ge=1, le=MOST)
    """Points that are drawn; those that are equal are tried once."""
    seed: int = Field(default=0, ge=0)
    """Of the draws."""

    @abstractmethod
    def places(self, axes: int) -> NDArray[np.float64]:
        """(trials, axes) in [0, 1)."""

    def points(self, factors: Mapping[str, Factor], base: Mapping[str, Any]) -> list[Point]:
        """See `Design`."""
        return [
            active({path: factor.at(float(u)) for (path, factor), u in zip(factors.items(), row, strict=True)}, factors)
            for row in self.places(len(factors))
        ]


class Random(Sampled):
    """Independent draws."""

    kind: Literal["random"] = "random"

    def places(self, axes: int) -> NDArray[np.float64]:
        """See `Sampled`."""
        return np.random.default_rng(self.seed).random((self.trials, axes))


class LatinHypercube(Sampled):
    """Each of `trials` equal parts of every axis once: levels are as even as their number allows (McKay et al. 1979)."""

    kind: Literal["lhs"] = "lhs"

    def places(self, axes: int) -> NDArray[np.float64]:
        """See `Sampled`."""
        from scipy.stats import qmc

        return np.asarray(qmc.LatinHypercube(axes, seed=self.seed).random(self.trials))


class Sobol(Sampled):
    """A scrambled Sobol sequence; most even where `trials` is a power of two (Owen 1998)."""

    kind: Literal["sobol"] = "sobol"

    def places(self, axes: int) -> NDArray[np.float64]:
        """See `Sampled`."""
        from scipy.stats import qmc

        with warnings.catch_warnings():  # how even it is otherwise is shown: `mho.sweeps.balance`
            warnings.filterwarnings("ignore", "The balance properties", UserWarning)
            return np.asarray(qmc.Sobol(axes, seed=self.seed).random(self.trials))

"""The contracts of the exchangeable parts. A user's own cell, encoding or remedy is one subclass of these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from mho.errors import WrongSetting
from mho.hardware.definition import Definition
from mho.hardware.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

    from mho.rng import Stream

State = dict[str, "Tensor"]


class Cell(Spec, ABC):
    """How one resistive cell behaves. Conductances in µS, times in s after programming.

    A subclass gives its laws as methods on tensors of any shape, one element a cell. The three steps follow each other
    in the order of the real chip: `program` once, `age` to t, `read` at t; stuck-at faults are laid over the result.
    """

    kind: str
    g_min_us: float = Field(default=0.0, ge=0)
    """Conductance of the lowest state, µS."""
    g_max_us: float = Field(gt=0)
    """Conductance of the highest state, µS."""
    levels: int | None = Field(default=None, ge=2)
    """Number of programmable states, evenly spaced in conductance; None: continuous."""

    @model_validator(mode="after")
    def _ordered(self) -> Cell:
        if not self.g_min_us < self.g_max_us < float("inf"):
            raise WrongSetting(
                f"g_min_us = {self.g_min_us:g} is not below a finite g_max_us = {self.g_max_us:g}",
                "give g_min_us < g_max_us",
            )
        return self

    @abstractmethod
    def program(self, target: Tensor, draw: Stream) -> State:
        """Write the targets (µS) once.

        Returns:
            Tensors of `target`'s shape, frozen for the life of the chip; "g" is the conductance right after
            programming, others (such as the drift exponents "nu") are the cell's own.
        """

    def age(self, state: State, t_s: float) -> Tensor:
        """Conductances (µS) at age `t_s`, without the fluctuation of reading. No drift unless overridden."""
        return state["g"]

    def read(self, g: Tensor, state: State, t_s: float, draw: Stream) -> Tensor:
        """Conductances (µS) as one evaluation at age `t_s` sees them. No read noise unless overridden."""
        return g

    def definitions(self) -> list[Definition]:
        """The meaning of every σ of this cell."""
        return []


@dataclass(frozen=True)
class Readouts:
    """How converted columns become a signed result.

    Readout k converts the product with A_k = Σ_p coefficients[k][p] · g_p; the digital side forms
    y = Σ_k factors[k] · y_k - offset · Σ_j x_j.
    """

    coefficients: tuple[tuple[float, ...], ...]
    factors: tuple[float, ...]
    offset: float = 0.0


class Encoding(Spec, ABC):
    """How a signed weight becomes the conductances of one or more cells (planes)."""

    kind: str

    @abstractmethod
    def encode(self, weight: Tensor, cell: Cell) -> list[Tensor]:
        """Target conductances.

        Args:
            weight: Weights in [-1, 1], shape (groups, columns, rows).
            cell: The cell to encode for.

        Returns:
            One tensor a plane, shape (groups, columns, rows), or (groups, 1, rows) for a reference column that all
            columns of the group share; µS.
        """

    @abstractmethod
    def readouts(self, cell: Cell) -> Readouts:
        """How the planes are read."""

    def ideal(self, weight: Tensor) -> Tensor | None:
        """What the readouts multiply with when every cell holds its target, (readouts, groups, columns, rows).

        None: found by encoding and decoding, at several times the memory of the weights.
        """
        return None

    def columns_per_weight(self) -> int:
        """Physical columns that one weight takes in an array."""
        return 1


class Compensation(Spec, ABC):
    """A digital compensation measured on the chip: one factor for each column of each array.

    The chip is read with one-hot inputs right after programming and again at age t; the factor multiplies the
    digital output.
    """

    kind: str

    @abstractmethod
    def factor(self, now: Tensor, reference: Tensor, array: Tensor) -> Tensor:
        """Correction factor.

        Args:
            now: What reading each cell gives at age t, shape (readouts, groups, columns, rows).
            reference: The same right after programming (or from the ideal targets).
            array: Index of the array of each (groups, columns) entry, shape (groups, columns).

        Returns:
            Factors of shape (readouts, groups, columns).
        """

    def measured(self) -> bool:
        """True when the readings go through the noise and the converters of the array, False when they are exact."""
        return True

    def reference_is_ideal(self) -> bool:
        """True when the reference comes from the ideal targets instead of a reading after programming."""
        return False

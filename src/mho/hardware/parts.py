"""The contracts of the exchangeable parts. A user's own cell, encoding or compensation is one subclass of these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field, model_validator

from mho.errors import WrongSetting
from mho.hardware.definition import Definition
from mho.hardware.periphery import ADC
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
class Readout:
    """One conversion of column outputs: of Σ_j A_j u_j with A = Σ_p coefficients[p] · g_p, g in µS.

    Attributes:
        coefficients: Of each plane of cells, 1/µS; 0 where this readout does not see it.
        factor: What the digital sum multiplies the converted outputs with.
        adc: Its converter, where the hardware has any (`adc.bits` is not null); None: the hardware's.
        noise: Factor on the hardware's output noise.
        step: What one state of its lowest cell changes it by, in units of a full weight; None: its cells are continuous.
    """

    coefficients: tuple[float, ...]
    factor: float = 1.0
    adc: ADC | None = None
    noise: float = 1.0
    step: float | None = None

    def largest(self, cell: Cell) -> float:
        """The largest magnitude that cells of any state give, in units of a full weight."""
        ends = [(c * cell.g_min_us, c * cell.g_max_us) for c in self.coefficients]
        return max(abs(sum(map(max, ends))), abs(sum(map(min, ends))))


@dataclass(frozen=True)
class Readouts:
    """How converted columns become a signed result: y = Σ_k factor_k · y_k - offset · Σ_j u_j.

    Attributes:
        columns: The conversions.
        offset: What the digital side takes off for each full input.
    """

    columns: tuple[Readout, ...]
    offset: float = 0.0

    @property
    def shares(self) -> tuple[float, ...]:
        """What each readout holds of a change of the whole weight: f_k / Σ f², the smallest shares that add up to it."""
        total = sum(readout.factor**2 for readout in self.columns)
        return tuple(readout.factor / total for readout in self.columns)


class Encoding(Spec, ABC):
    """How a signed weight becomes the conductances of one or more cells (planes)."""

    kind: str
    straight_through: ClassVar[bool] = False
    """False: training differentiates `encode`. True, for one that rounds: its gradient is taken as that of w itself, each
    readout with its share (`Readouts.shares`)."""

    @abstractmethod
    def encode(self, weight: Tensor, cell: Cell) -> list[Tensor]:
        """Target conductances.

        Args:
            weight: Weights in [-1, 1], shape (groups, columns, rows).
            cell: The cell to encode for.

        Returns:
            One tensor a plane, shape (groups, columns, rows), or (groups, 1, rows) for a reference column that all
            columns of the group on an array share; µS.
        """

    @abstractmethod
    def readouts(self, cell: Cell) -> Readouts:
        """How the planes are read."""

    def ideal(self, weight: Tensor) -> Tensor | None:
        """What the readouts multiply with when every cell holds its target, (readouts, groups, columns, rows).

        None: found by encoding and decoding, at several times the memory of the weights. A subclass that changes
        `encode` or `readouts` without saying anything here does not inherit the answer.
        """
        return None

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if ("encode" in vars(cls) or "readouts" in vars(cls)) and "ideal" not in vars(cls):
            cls.ideal = Encoding.ideal  # type: ignore[method-assign]

    def columns_per_weight(self) -> int:
        """Physical columns that one weight takes in an array."""
        return 1

    def shared_planes(self, cell: Cell) -> frozenset[int]:
        """Planes of one column that all weights of a group share, which stands on each of its arrays: references."""
        planes = self.encode(torch.zeros(1, 2, 1), cell)
        return frozenset(p for p, plane in enumerate(planes) if plane.shape[1] == 1)

    def exact_planes(self) -> frozenset[int]:
        """Planes of fixed resistors: they hold their targets, and nothing random or ageing happens to them."""
        return frozenset()

    def fits(self, cell: Cell) -> None:
        """Whether it can be held by such cells.

        Raises:
            WrongSetting: It cannot.
        """
        return


@dataclass(frozen=True)
class Correction:
    """What the digital side makes of a chip's outputs.

    Attributes:
        factor: Of each converted column, (readouts, blocks, groups, columns), or None.
        shift: Added to each column's digital sum, real units, (groups, columns), or None.
    """

    factor: Tensor | None = None
    shift: Tensor | None = None


@dataclass(frozen=True)
class Reading:
    """What a compensation may know of a chip.

    Attributes:
        now: What reading each cell gives at age t, in units of a full weight, (readouts, groups, columns, rows).
        reference: The same right after programming, or from the ideal targets.
        blocks: First and last row (exclusive) of each row block.
        arrays: For each row block the number of the array that holds each column, (groups, columns).
        scale: The weight that a full weight stands for, real units, (blocks, groups, columns).
        factors: What the digital sum multiplies each readout with.
    """

    now: Tensor
    reference: Tensor
    blocks: tuple[tuple[int, int], ...]
    arrays: tuple[Tensor, ...]
    scale: Tensor
    factors: tuple[float, ...]


class Compensation(Spec, ABC):
    """A digital correction measured on the chip, once right after programming and again at age t."""

    kind: str

    @abstractmethod
    def correct(self, reading: Reading) -> Correction:
        """The correction that a reading asks for."""

    def reads(self) -> bool:
        """False where nothing is read: there is no correction."""
        return True

    def measured(self) -> bool:
        """True when the readings go through the noise and the converters of the array, False when they are exact."""
        return True

    def reference_is_ideal(self) -> bool:
        """True when the reference comes from the ideal targets instead of a reading after programming."""
        return False

"""How cells change after they were programmed: by a power law of time, or in its logarithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mho.devices.fitted import Fitted
from mho.devices.law import Law
from mho.devices.relaxing import Relaxing
from mho.fitting.measurements import Floats, Measurements
from mho.fitting.per_cell import Form, PerCell, per_cell, spread
from mho.fitting.relaxation import decades, relaxation_of_cells
from mho.fitting.shapes import Shape, none, of_fluctuation, of_nu, of_nu_spread, of_reading, of_trend

_LOUD = 0.3
"""Read noise over conductance from which on it is cut at 0 so often that its size is no longer seen."""


class Way(ABC):
    """What a fit asks of either.

    Attributes:
        names: In the cell, of the mean and the spread of what cells do over time, and of what is left over of that.
        forms: Of what is left over.
        onset: Sign of the time that all others are measured by.
    """

    names: ClassVar[tuple[str, str, str]]
    forms: ClassVar[tuple[Form, ...]]
    onset: ClassVar[str]

    @property
    @abstractmethod
    def onset_s(self) -> float:
        """That time."""

    @abstractmethod
    def per_cell(self, measured: Measurements, form: Form) -> PerCell:
        """Every cell by itself."""

    def ages(self, time_s: Floats) -> Floats:
        """Times as its law counts them, s."""
        return time_s

    @abstractmethod
    def curve(self, fits: PerCell, cell: int, time_s: Floats) -> Floats:
        """What a cell's own law says, µS."""

    @abstractmethod
    def trends(self, targets: int) -> tuple[list[Shape], list[Shape]]:
        """What mean and spread of the change may be."""

    @abstractmethod
    def left_over(self, targets: int) -> list[Shape]:
        """What the size of what is left over may be."""

    @abstractmethod
    def noise_us(self, form: Form, q: Floats, g_us: Floats, time_s: float) -> Floats:
        """Its standard deviation at a time, µS."""

    @abstractmethod
    def cell(
        self, common: Mapping[str, Any], laws: Mapping[str, Law], *, form: Form, folded: bool
    ) -> Fitted | Relaxing:
        """The cell of fitted laws."""

    def loud(self, measured: Measurements, form: Form, q: Floats) -> NDArray[np.bool_]:
        """Cells whose readings are cut at 0 so often that they do not show the size of what is left over."""
        return np.zeros(len(q), dtype=bool)


@dataclass(frozen=True)
class PowerLaw(Way):
    """g(t) = G (t/t₀)^-ν, with noise of reading in proportion to the conductance.

    Attributes:
        t0_s: t₀.
        shift_s: Added to all times.
        t_read_s: Duration of a reading.
    """

    t0_s: float
    shift_s: float
    t_read_s: float
    names = ("nu", "nu_std", "reading_q")
    forms = ("1/f", "white")
    onset = "t₀"

    @property
    def onset_s(self) -> float:
        """t₀."""
        return self.t0_s

    def per_cell(self, measured: Measurements, form: Form) -> PerCell:
        """See `Way`."""
        return per_cell(measured, t0_s=self.t0_s, shift_s=self.shift_s, form=form, t_read_s=self.t_read_s)

    def ages(self, time_s: Floats) -> Floats:
        """See `Way`."""
        return time_s + self.shift_s

    def curve(self, fits: PerCell, cell: int, time_s: Floats) -> Floats:
        """See `Way`."""
        return np.asarray(fits.g_us[cell] * (self.ages(time_s) / self.t0_s) ** -fits.nu[cell])

    def trends(self, targets: int) -> tuple[list[Shape], list[Shape]]:
        """See `Way`."""
        return of_nu(targets), of_nu_spread(targets)

    def left_over(self, targets: int) -> list[Shape]:
        """See `Way`."""
        return of_reading(targets)

    def noise_us(self, form: Form, q: Floats, g_us: Floats, time_s: float) -> Floats:
        """See `Way`."""
        return np.asarray(q * g_us * float(spread(np.array([time_s]), form, self.t_read_s)[0]))

    def loud(self, measured: Measurements, form: Form, q: Floats) -> NDArray[np.bool_]:
        """See `Way`."""
        return np.asarray(q * spread(measured.time_s, form, self.t_read_s)[:, 0] > _LOUD)

    def cell(self, common: Mapping[str, Any], laws: Mapping[str, Law], *, form: Form, folded: bool) -> Fitted:
        """See `Way`."""
        laws = dict(laws)
        if "nu_std" in laws and "nu" not in laws:
            laws["nu"] = laws["nu_std"].replace(form="polynomial", coefficients=(0.0,), at=(), low=None, high=None)
        return Fitted(
            **common, **laws, t0_s=self.t0_s, t_read_s=self.t_read_s, nu_folded=folded and "nu" in laws,
            reading_form=form if "reading_q" in laws else "1/f",
        )  # fmt: skip


@dataclass(frozen=True)
class Relaxation(Way):
    """g(t) = G + m L(t) + s x(t), L(t) = log₁₀(1 + t/t_w) decades, and 1/f noise x.

    Attributes:
        t_w_s: t_w.
    """

    t_w_s: float
    names = ("trend_us", "", "fluctuation_us")
    forms = ("relaxation",)
    onset = "t_w"

    @property
    def onset_s(self) -> float:
        """t_w."""
        return self.t_w_s

    def per_cell(self, measured: Measurements, form: Form) -> PerCell:
        """See `Way`."""
        return relaxation_of_cells(measured, self.t_w_s)

    def curve(self, fits: PerCell, cell: int, time_s: Floats) -> Floats:
        """See `Way`."""
        return np.asarray(fits.g_us[cell] + fits.nu[cell] * decades(time_s, self.t_w_s))

    def trends(self, targets: int) -> tuple[list[Shape], list[Shape]]:
        """See `Way`."""
        return of_trend(targets), [none()]

    def left_over(self, targets: int) -> list[Shape]:
        """See `Way`."""
        return of_fluctuation(targets)

    def noise_us(self, form: Form, q: Floats, g_us: Floats, time_s: float) -> Floats:
        """See `Way`."""
        return np.asarray(q * np.sqrt(decades(time_s, self.t_w_s)))

    def cell(self, common: Mapping[str, Any], laws: Mapping[str, Law], *, form: Form, folded: bool) -> Relaxing:
        """See `Way`."""
        return Relaxing(**common, **laws, onset_s=self.t_w_s)

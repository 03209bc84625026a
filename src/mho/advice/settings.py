"""Remedies that only set what the digital side does: ranges of the converters, form of the compensation."""

from __future__ import annotations

from typing import Any, ClassVar

from mho.advice.case import Case
from mho.advice.plan import Plan
from mho.advice.remedy import Remedy
from mho.crossbar import Operator, Scheme
from mho.hardware import Hardware


class _Ranges(Remedy):
    slot = "ranges"
    tier = 1
    options: ClassVar[dict[str, Any]]

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        scheme = Scheme.of(Operator(), (1, 1), case.hw)  # what a converter needs does not depend on the matrix
        if scheme.needs_input_range or scheme.needs_adc_range:
            return None
        return "no converter of this hardware takes its range from data"

    def prepare(self, plan: Plan, case: Case) -> Plan:
        """See `Remedy`."""
        return plan.with_(ranges=self.options)


class LeastError(_Ranges):
    """Ranges with the smallest squared error at each layer's output."""

    name = "ranges of least error"
    options: ClassVar[dict[str, Any]] = {"method": "error"}


class Quantile9999(_Ranges):
    """Ranges that leave out one value in 10,000."""

    name = "ranges at the 0.9999 quantile"
    options: ClassVar[dict[str, Any]] = {"quantile": 0.9999}


class Quantile999(_Ranges):
    """Ranges that leave out one value in 1,000."""

    name = "ranges at the 0.999 quantile"
    least = "normal"
    options: ClassVar[dict[str, Any]] = {"quantile": 0.999}


class _Compensation(Remedy):
    slot = "compensation"
    tier = 1
    kind: str
    readout = "array"

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        now = case.hw.compensation
        if now.kind == self.kind and getattr(now, "readout", None) == self.readout:
            return "the hardware does so already"
        if not _ages(case.hw):
            return "the cells do not change with time"
        return None

    def prepare(self, plan: Plan, case: Case) -> Plan:
        """See `Remedy`."""
        changed = {"compensation": {"kind": self.kind, "readout": self.readout}}
        return plan.with_(changes={**plan.changes, **changed}, costs={"on_chip": True})


class GlobalCompensation(_Compensation):
    """One factor an array."""

    name = "global compensation"
    kind = "global"


class ExactCompensation(_Compensation):
    """One factor an array, from readings whose noise is averaged away."""

    name = "global compensation, exact reading"
    kind = "global"
    readout = "exact"
    least = "normal"

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        quiet = case.hw.adc.half_steps is None and not case.hw.noise.output and not case.hw.noise.weight
        return "its readings are exact already" if quiet else super().applies(case)


class ColumnCompensation(_Compensation):
    """One factor a column."""

    name = "compensation per column"
    kind = "per_column"


def _ages(hw: Hardware) -> bool:
    """False where it is known that nothing depends on time."""
    return hw.cell.kind != "ideal"

"""`Remedy`: the contract of something that may help."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, get_args

from mho.advice.case import Case
from mho.advice.plan import Plan

Slot = Literal["training", "cells", "writes", "compensation", "ranges", "recalibration", "output", "refresh"]
SLOTS: tuple[Slot, ...] = get_args(Slot)
"""Where a remedy acts, in the order in which a combination is prepared; of each slot it holds one at most."""


class Remedy(ABC):
    """Something that may help: one small class. An own one is found under the entry point group ``mho.advice``.

    Attributes:
        name: Short name, unique.
        slot: Where it acts.
        tier: What it costs, roughly: 1 settings of the digital side, 2 data and measurements on each chip, 3 cells,
            digital work or writing anew, 4 training. Cheaper tiers are tried first.
        least: Smallest effort at which it is tried.
    """

    name: str
    slot: Slot
    tier: int
    least: Literal["quick", "normal", "full"] = "quick"

    def applies(self, case: Case) -> str | None:
        """Why it cannot be tried here; None where it can."""
        return None

    @abstractmethod
    def prepare(self, plan: Plan, case: Case) -> Plan:
        """The plan with this done, costs added. `plan` may hold others of earlier slots already."""

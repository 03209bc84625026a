"""Remedies that cost cells, digital work, or writing anew."""

from __future__ import annotations

import math

from mho.advice.case import Case
from mho.advice.placing import Placing, keep_digital, more_cells
from mho.advice.plan import Plan
from mho.advice.remedy import Remedy
from mho.errors import MhoError, NeverPossible
from mho.measure.sensitivity import sensitivity
from mho.measure.sensitivity_result import SensitivityResult

DIGITAL_SHARE = 0.05
"""Of the multiply-accumulates: what may be digital before the arrays no longer pay."""
CELL_SHARE = 0.25
REFRESHES = 12
ROUNDS = 5


class _Placed(Remedy):
    slot = "cells"
    tier = 3

    def prepare(self, plan: Plan, case: Case) -> Plan:
        """See `Remedy`."""
        net = plan.network(case)
        data = case.choosing
        found = sensitivity(net, data, time=case.times_s[-1], chips=0, seed=case.seed)
        placing = self.place(found, plan, case)
        if not placing.layers:
            raise NeverPossible("no layer that would gain fits the budget of cells or digital work", "leave it out")
        changes = {**plan.changes, **placing.changes}
        digital = placing.mac_share if placing.kind == "digital" else 0.0
        return plan.with_(changes=changes, costs={"cells": placing.cell_share, "digital": digital})

    def place(self, found: SensitivityResult, plan: Plan, case: Case) -> Placing:
        """The layers and what they cost."""
        raise NotImplementedError


class Digital(_Placed):
    """The layers that gain most for their work stay digital, for 5 % of the multiply-accumulates."""

    name = "sensitive layers digital"

    def place(self, found: SensitivityResult, plan: Plan, case: Case) -> Placing:
        """The layers and what they cost."""
        return keep_digital(found, plan.hardware(case), DIGITAL_SHARE)


class SomeCells(_Placed):
    """A quarter more cells, where they help most."""

    name = "sensitive layers in more cells"

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        return _no_pairs(case)

    def place(self, found: SensitivityResult, plan: Plan, case: Case) -> Placing:
        """The layers and what they cost."""
        return more_cells(found, plan.hardware(case), CELL_SHARE)


class TwoPairs(Remedy):
    """Each weight in twice as many cells."""

    name = "all layers in two pairs"
    slot = "cells"
    tier = 3

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        return _no_pairs(case)

    def prepare(self, plan: Plan, case: Case) -> Plan:
        """See `Remedy`."""
        now = int(getattr(case.hw.encoding, "pairs", 1))
        return plan.with_(changes={**plan.changes, "encoding.pairs": 2 * now}, costs={"cells": 1.0})


class Verified(Remedy):
    """Every cell is written five times, and the write closest to its target stays."""

    name = "writes verified"
    slot = "writes"
    tier = 3

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        return "writes are verified already" if case.hw.write_verify.rounds > 1 else None

    def prepare(self, plan: Plan, case: Case) -> Plan:
        """See `Remedy`."""
        return plan.with_(changes={**plan.changes, "write_verify.rounds": ROUNDS}, costs={"writes": ROUNDS - 1})


class Refresh(Remedy):
    """Every chip is programmed anew twelve times until the last age; ages are measured at their oldest."""

    name = "refresh"
    slot = "refresh"
    tier = 3

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        last = case.times_s[-1]
        return None if last >= 86400.0 else "the last age is less than a day"

    def prepare(self, plan: Plan, case: Case) -> Plan:
        """See `Remedy`."""
        interval = case.times_s[-1] / REFRESHES
        return plan.with_(refresh=interval, costs={"refreshes": math.ceil(case.times_s[-1] / interval) - 1})


def _no_pairs(case: Case) -> str | None:
    if not hasattr(case.hw.encoding, "pairs"):
        return f"the encoding '{case.hw.encoding.kind}' has no parallel pairs"
    try:
        case.hw.replace(**{"encoding.pairs": 2 * case.hw.encoding.pairs})
    except MhoError as error:
        return error.problem
    return None

"""Remedies for the aged chip: recalibrations from inputs without labels."""

from __future__ import annotations

import copy

from torch import nn

from mho.advice.case import Case
from mho.advice.plan import Plan
from mho.advice.remedy import Remedy, Slot
from mho.nn.norm import BatchNorm
from mho.recalibration.base import RECALIBRATIONS
from mho.tasks.binary import Binary
from mho.tasks.classes import Classes


class _Recalibration(Remedy):
    slot: Slot = "recalibration"
    tier = 2
    kind: str

    def prepare(self, plan: Plan, case: Case) -> Plan:
        """See `Remedy`."""
        made = RECALIBRATIONS.find(self.kind).of(case.inputs(), copy.deepcopy(plan.model).eval(), **self.options(case))
        options = "".join(f", {name}={value!r}" for name, value in self.options(case).items())
        inputs = f"mho.advice.data.first(calibration, {case.effort.tuned})"
        recipe = f"mho.recalibration.RECALIBRATIONS.find({self.kind!r}).of({inputs}, model{options})"
        return plan.with_(
            recalibrate=(*plan.recalibrate, made), recipes=(*plan.recipes, recipe),
            costs={"images": case.tuned() if not plan.costs.images else 0, "on_chip": True},
        )  # fmt: skip

    def options(self, case: Case) -> dict[str, str]:
        """Arguments of the kind's own."""
        return {}


class Norms(_Recalibration):
    """Statistics of the batch norms, taken anew."""

    name = "norm recalibration"
    kind = "norms"

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        return None if _norms(case.model) else "the network has no batch norm with running statistics"


class Affine(_Recalibration):
    """A digital scale and shift for each column."""

    name = "affine recalibration"
    kind = "affine"

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        if not any(isinstance(m, (nn.Linear, nn.modules.conv._ConvNd)) for m in case.model.modules()):
            return "the network has no linear layer or convolution"
        if _norms(case.model) and case.effort.name == "quick":
            return "the network has batch norms, whose recalibration is tried instead (effort normal tries both)"
        return None


class Output(_Recalibration):
    """A shift of the last outputs."""

    name = "output recalibration"
    slot = "output"
    kind = "output"

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        if isinstance(case.task, Binary):
            return "the network has one output: its threshold is recalibrated instead"
        return None if isinstance(case.task, Classes) else "the network scores no classes"


class Threshold(_Recalibration):
    """The threshold of a network with one output."""

    name = "threshold recalibration"
    slot = "output"
    kind = "threshold"

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        return None if isinstance(case.task, Binary) else "the network has no threshold"

    def options(self, case: Case) -> dict[str, str]:
        """See the base class."""
        assert isinstance(case.task, Binary)
        return {"scale": case.task.scale}


def _norms(model: nn.Module) -> bool:
    return any(isinstance(m, BatchNorm) and m.running_mean is not None for m in model.modules())

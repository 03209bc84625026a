"""Remedies that train: with labels, or from the digital network's own answers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from mho.advice.case import Case
from mho.advice.plan import Plan, conversion
from mho.advice.remedy import Remedy
from mho.convert import to_digital
from mho.tasks.classes import Classes
from mho.units import show_time

TEMPERATURE = 4.0
OPTIMIZER, RATE = "adamw", 1e-3
"""Networks without norms diverge under SGD at rates that those with norms need."""


class _Trained(Remedy):
    slot = "training"
    tier = 4
    folder: str

    def prepare(self, plan: Plan, case: Case) -> Plan:
        """See `Remedy`."""
        from mho.training import HWA
        from mho.training.injections import Programming
        from mho.training.loop.fit import fit

        time = show_time(case.times_s[len(case.times_s) // 2]) if case.times_s[-1] else None
        recipe = HWA(weights=(Programming(time=time),))
        net = plan.network(case)
        out: Path | None = None if case.folder is None else case.folder / "training" / self.folder
        done = fit(
            net, case.train, epochs=case.effort.epochs, optimizer=OPTIMIZER, lr=RATE, hwa=recipe,
            seed=case.seed, out=out, task=case.task,
            progress=False, **self.options(case),
        )  # fmt: skip
        spent = sum(float(epoch["seconds"] or 0.0) for epoch in done.history)
        code = (
            f"hwa = mho.training.HWA(weights=mho.training.injections.Programming(time={time!r}))",
            conversion(case.ranges),
            f"mho.training.fit(net, train, epochs={case.effort.epochs}, optimizer={OPTIMIZER!r}, lr={RATE}, hwa=hwa, "
            f"seed={case.seed}, task=test.task{self.arguments()})",
            "model = mho.to_digital(net).eval()",
        )
        return plan.with_(
            model=to_digital(net).eval(), training=code,
            costs={"training_s": spent, "epochs": case.effort.epochs, "labels": self.labels},
        )  # fmt: skip

    labels = False

    def options(self, case: Case) -> dict[str, Any]:
        """Further arguments of `fit`."""
        raise NotImplementedError

    def arguments(self) -> str:
        """The same as code."""
        return ""


class Labelled(_Trained):
    """Fine-tuning with what a chip does to the weights, on labels."""

    name = "hardware-aware training"
    folder = "labelled"
    labels = True
    least = "normal"

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        if case.train is None:
            return "no training data was given"
        return None if case.labelled else "the training data has no labels"

    def options(self, case: Case) -> dict[str, Any]:
        """See the base class."""
        return {}


class Distilled(_Trained):
    """Fine-tuning with what a chip does to the weights, on the digital network's own answers."""

    name = "hardware-aware distillation"
    folder = "distilled"

    def applies(self, case: Case) -> str | None:
        """Why not, or None."""
        if case.train is None:
            return "no training data was given"
        if not isinstance(case.task, Classes):
            return "distillation is for networks that score classes"
        return None

    def options(self, case: Case) -> dict[str, Any]:
        """See the base class."""
        return {"teacher": copy.deepcopy(case.model).eval(), "distillation": (TEMPERATURE, 1.0)}

    def arguments(self) -> str:
        """See the base class."""
        return f", teacher=copy.deepcopy(model), distillation=({TEMPERATURE}, 1.0)"

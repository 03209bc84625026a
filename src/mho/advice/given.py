"""`Given`: what was asked for in words, so that the advice can be run again: as Python, and from the shell."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

import yaml

from mho.advice.case import Plan


@dataclass(frozen=True)
class Given:
    """The arguments of ``mho advise`` that name things.

    Attributes:
        model: MODEL.
        data: ``--data``.
        hardware: ``--hardware``, or None.
        weights: ``--weights``.
        calibration: ``--calibration``.
        train: ``--train``.
        changes: Each ``--set``.
        task: ``--task``.
        times: Ages.
        ranges: ``--ranges``.
    """

    model: str
    data: str
    hardware: str | None
    weights: str | None = None
    calibration: str | None = None
    train: str | None = None
    changes: tuple[str, ...] = ()
    task: str = "classes"
    times: tuple[str, ...] = ()
    ranges: str | None = None

    def before(self) -> list[str]:
        """Lines of Python that make what a plan's code takes: ``model``, ``test``, ``calibration``, ``x``, ``times``."""
        weights = "" if self.weights is None else f", {self.weights!r}"
        lines = ["import mho", "from mho.data import load", "from mho.models import resolve", ""]
        lines += [f"model = resolve({self.model!r}{weights}).eval()", f"test = load({self.data!r})"]
        lines.append("calibration = test" if self.calibration is None else f"calibration = load({self.calibration!r})")
        if self.train is not None:
            lines.append(f"train = load({self.train!r})")
        return [*lines, "x = next(iter(calibration))[0][:2]", f"times = {list(self.times)!r}"]

    def described(self) -> str:
        """The hardware as a Python expression."""
        pairs = [text.partition("=") for text in self.changes]
        changes = {key.strip(): yaml.safe_load(value) for key, _, value in pairs}
        of_file = self.hardware is None and self.ranges is not None
        named = (
            f"mho.calibration.hardware_of({self.ranges!r})"
            if of_file
            else f"mho.Hardware.of({self.hardware or 'pcm'!r})"
        )
        return named + (f".replace(**{changes!r})" if changes else "")

    def shell(self, plan: Plan) -> str | None:
        """The `mho drift` that measures a plan; None for one with ranges or a training, which only Python can say."""
        if plan.ranges or plan.training:
            return None
        if plan.changes and self.hardware is None and self.ranges is not None:
            return None  # the hardware stands in the file, whose ranges no longer fit
        words, file = ["mho", "drift", self.model, "--data", self.data], None if plan.changes else self.ranges
        options = {
            "--hardware": self.hardware, "--ranges": file, "--weights": self.weights, "--calibration": self.calibration,
        }  # fmt: skip
        for option, value in options.items():
            words += [] if value is None else [option, value]
        words += ["--task", self.task] if self.task != "classes" else []
        for text in (*self.changes, *(f"{key}={json.dumps(value)}" for key, value in plan.changes.items())):
            words += ["--set", text]
        for recalibration in plan.recalibrate:
            words += ["--recalibrate", recalibration.kind]
        words += [] if plan.refresh is None else ["--refresh", f"{plan.refresh:.0f}s"]
        return shlex.join([*words, "--times", ",".join(self.times), "--out", "applied"])

"""`Call`: how the shell asked for advice, in words, so that it can be run again: as Python, and from the shell."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

from mho.advice.plan import Plan


@dataclass(frozen=True)
class Call:
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
        validation: ``--validation``.
        holdout: ``--holdout``, as a share.
        seed: ``--seed``.
        folder: The folder that it was called from; file names are relative to it.
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
    validation: str | None = None
    holdout: float = 0.5
    seed: int = 0
    folder: str = "."

    def before(self) -> list[str]:
        """Lines of Python that make what a plan's code takes: ``model``, ``test``, ``calibration``, ``x``, ``times``."""
        weights = "" if self.weights is None else f", {self.weights!r}"
        data, validation, calibration = (
            None if name is None else f"load({name!r})" for name in (self.data, self.validation, self.calibration)
        )
        assert data is not None
        return [
            *self._place(), "import mho", "from mho.data import load", "from mho.models import resolve", "",
            f"model = resolve({self.model!r}{weights}).eval()",
            *samples(
                data, validation, calibration, holdout=self.holdout, seed=self.seed,
                scored=f", task={self.task!r}" if self.task != "classes" else "",
            ),
            f"times = {list(self.times)!r}",
        ]  # fmt: skip

    def _place(self) -> list[str]:
        """Lines that find files and modules of the caller's from any folder; none where nothing is named that needs them."""
        named = [
            self.model,
            self.data,
            self.hardware,
            self.weights,
            self.calibration,
            self.train,
            self.validation,
            self.ranges,
        ]
        targets = [name.strip().partition("?")[0] for name in named if name is not None]
        modules = any(":" in name and not name.startswith("published:") for name in targets)
        if not modules and not any((Path(self.folder) / name).exists() for name in targets):
            return []
        lines = ["import os", *["import sys"] * modules, ""]
        lines += [f"os.chdir({self.folder!r})  # files are named from here, where the advice was asked for"]
        if modules:
            lines.append("sys.path.insert(0, os.getcwd())  # modules, too: python itself looks beside this file only")
        return [*lines, ""]

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

    def shell(self, plan: Plan, *, chips: int) -> str | None:
        """The `mho drift` that measures a plan as it was confirmed, on `chips` chips; None where only Python can say it: a
        part of the data, ranges, a training, or recalibrations (which see some of the inputs).
        """
        if self.validation is None or plan.ranges or plan.training or plan.recalibrate:
            return None
        if plan.changes and self.hardware is None and self.ranges is not None:
            return None  # the hardware stands in the file, whose ranges no longer fit
        words, file = ["mho", "drift", self.model, "--data", self.data], None if plan.changes else self.ranges
        options = {
            "--hardware": self.hardware, "--ranges": file, "--weights": self.weights,
            "--calibration": self.calibration or self.validation,
        }  # fmt: skip
        for option, value in options.items():
            words += [] if value is None else [option, value]
        words += ["--task", self.task] if self.task != "classes" else []
        for text in (*self.changes, *(f"{key}={json.dumps(value)}" for key, value in plan.changes.items())):
            words += ["--set", text]
        words += [] if plan.refresh is None else ["--refresh", f"{plan.refresh:.0f}s"]
        words += ["--chips", str(chips), "--seed", str(self.seed + 1)]
        return shlex.join([*words, "--times", ",".join(self.times), "--out", "applied"])


def samples(
    data: str, validation: str | None, calibration: str | None, *, holdout: float, seed: int, scored: str
) -> list[str]:
    """Lines of Python that make ``test``, ``calibration`` and ``x`` as `advise` does.

    Args:
        data: Python expression of the test data.
        validation: Of the data for choosing, or None.
        calibration: Of the calibration data, or None.
        holdout: See `advise`.
        seed: See `advise`.
        scored: The argument `task` of `TestData.of` with the comma before it, or nothing.
    """
    if validation is None:
        part = f"mho.advice.data.divide(mho.measure.TestData.of({data}{scored}), {holdout!r}, {seed})"
        lines = [
            "# As in the advice: some samples were for choosing, the others are measured.",
            f"choosing, test = {part}",
        ]
    else:
        lines = [
            f"choosing = mho.measure.TestData.of({validation}{scored})", f"test = mho.measure.TestData.of({data}{scored})",
        ]  # fmt: skip
    if calibration is None:
        lines.append("calibration = choosing.batches  # inputs only; nothing is fitted to what is measured")
    elif calibration != "calibration":
        lines.append(f"calibration = {calibration}")
    return [*lines, "x = choosing.batches[0][0][:2]"]

"""`Case`: what is to be helped, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mho.advice.data import first
from mho.advice.effort import Effort
from mho.hardware import Hardware
from mho.measure.test_data import TestData
from mho.tasks import Task
from mho.tasks.items import length
from mho.tasks.parts import few


@dataclass(frozen=True, eq=False)
class Case:
    """What is to be helped, and with what.

    Attributes:
        model: The digital network.
        hw: The hardware.
        choosing: Test samples on which remedies are chosen, and what is scored.
        calibration: Batches of inputs for the converters' ranges, and for recalibrations.
        train: Training batches, or None.
        labelled: Whether `train` has labels.
        times_s: Ages, increasing.
        seed: Root seed.
        effort: How much is spent.
        folder: Where trainings are kept, or None.
        ranges: File with the converters' ranges, or None: they come from `calibration`.
    """

    model: nn.Module
    hw: Hardware
    choosing: TestData
    calibration: tuple[Any, ...]
    train: Any
    labelled: bool
    times_s: tuple[float, ...]
    seed: int
    effort: Effort
    folder: Path | None = None
    ranges: Path | None = None

    @property
    def task(self) -> Task:
        """What is scored."""
        return self.choosing.task

    @property
    def example(self) -> Any:
        """Two inputs, for the conversion's look at the network and its self-test."""
        return few(self.choosing.batches[0])

    def inputs(self) -> list[Any]:
        """Inputs of the calibration data, as many as the effort allows on each chip."""
        return first(self.calibration, self.effort.tuned)

    def tuned(self) -> int:
        """Number of `inputs`."""
        return sum(map(length, self.inputs()))

"""`ChipJob`, `PassJob`: one chip, or the chips of one pass, measured at some ages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import nn

from mho.chip import Chip, fuse, program
from mho.chip.fuse import Fusion
from mho.measure.evaluate import measure
from mho.measure.shared import parts, together
from mho.measure.test_data import TestData
from mho.recalibration import Recalibration, recalibrated
from mho.rng import reads
from mho.store import Measurement

Wanted = tuple[int, tuple[float, ...]]
"""Number of a chip (the first of a pass), and ages."""


@dataclass(frozen=True)
class ChipJob:
    """Called with the number of a chip and ages it programs, ages and measures it; picklable, so that workers can.

    What is measured at an age does not depend on the other ages.

    Attributes:
        net: The converted network.
        data: The test data.
        seed: Root seed.
        recalibrations: What a chip goes through at each age, in order.
        refresh_s: Seconds after which it is programmed anew, again and again, or None.
        fusion: What can be fused in its networks; None: each is looked at, for recalibrations may change them.
        programmed: Makes a chip as `mho.program` does, or finds it.
    """

    net: nn.Module
    data: TestData
    seed: int
    recalibrations: tuple[Recalibration, ...] = ()
    refresh_s: float | None = None
    fusion: Fusion | None = None
    programmed: Callable[..., Chip] = program

    def __call__(self, wanted: Wanted, data: TestData | None = None) -> list[Measurement]:
        """Measurements of a chip at ages, in seconds, increasing; of other data than the job's where they are given."""
        index, ages = wanted
        return [
            measure(net, data or self.data, chip=index, age_s=age, address=("read", self.seed, index))
            for age, net in self.aged(index, ages)
        ]

    def aged(self, index: int, ages: tuple[float, ...]) -> Iterator[tuple[float, nn.Module]]:
        """A chip at ages, each with the network that is measured: programmed anew, recalibrated and fused as the job says."""
        chip = self.programmed(self.net, self.seed, chip=index)
        for age in ages:
            since = age
            if self.refresh_s is not None:
                cycle, since = last_programming(age, self.refresh_s)
                if cycle != chip.cycle:
                    chip = self.programmed(self.net, self.seed, chip=index, cycle=cycle)
            net = chip.at(since)
            if self.recalibrations:
                noise = partial(reads, "recalibrate", self.seed, index, repr(age))
                net = recalibrated(chip.at(since, read=1), net, self.recalibrations, noise)
            if self.fusion is None:
                net = fuse(net, inplace=True)
            else:
                self.fusion.apply(net)
            yield age, net


@dataclass(frozen=True)
class PassJob:
    """Called with the number of the first of `share` chips, and ages, it measures a pass over the data that they share.

    Attributes:
        one: How one chip is measured.
        share: Their number.
    """

    one: ChipJob
    share: int

    def __call__(self, wanted: Wanted) -> list[Measurement]:
        """Measurements at ages, each of all chips together."""
        first, ages = wanted
        seen = [
            [(m, where) for m in self.one((first + i, ages), part)]
            for i, (part, where) in enumerate(parts(self.one.data, self.share, "share", self.one.seed, first))
        ]
        return [together(at_one_age) for at_one_age in zip(*seen, strict=True)]


def last_programming(age_s: float, refresh_s: float) -> tuple[int, float]:
    """How often a chip has been programmed anew at an age, and the seconds since.

    Refreshed every T: at age t it is in cycle ⌈t/T⌉ - 1, at t minus the cycle's beginning; t = nT is just before the n-th
    refresh, when the chip is at its oldest.
    """
    if age_s == 0:
        return 0, age_s
    turns = age_s / refresh_s
    whole = round(turns)
    exact = whole > 0 and math.isclose(turns, whole, rel_tol=1e-9)
    cycle = whole - 1 if exact else math.floor(turns)
    return cycle, refresh_s if exact else age_s - cycle * refresh_s

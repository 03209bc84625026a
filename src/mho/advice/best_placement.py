"""`best_placement`: the layers on which a budget is spent best, and what that brings, measured on chips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mho.advice.placing import Placing, keep_digital, more_cells, verify_writes
from mho.arguments import network, whole
from mho.calibration import calibrate
from mho.convert import to_analog
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.measure.monte_carlo import drift
from mho.measure.paired import paired
from mho.measure.result import DriftResult
from mho.measure.sensitivity import sensitivity
from mho.measure.sensitivity_result import Rank, SensitivityResult
from mho.measure.test_data import TestData
from mho.statistics.intervals import Interval
from mho.tasks import Named
from mho.tasks.parts import few
from mho.units import ages, show_time
from mho.units import share as share_of


@dataclass(frozen=True)
class PlacementChoice:
    """A placing with what it brought on chips.

    Attributes:
        placing: Layers and costs.
        hw: The hardware with it.
        sensitivity: What the choice rests on.
        before: The network without it.
        after: The network with it, on the same chips and samples.
    """

    placing: Placing
    hw: Hardware
    sensitivity: SensitivityResult
    before: DriftResult
    after: DriftResult

    def gains(self) -> list[Interval]:
        """Score won at each age, paired over chips."""
        return paired(self.after, self.before, self.before.header.confidence)

    def __str__(self) -> str:
        lines, score = [str(self.placing)], self.before.score
        for age, gain, b, a in zip(
            self.before.ages_s, self.gains(), self.before.scores.T, self.after.scores.T, strict=True
        ):
            won = score.show_gain(gain.value, gain.low, gain.high)
            lines.append(
                f"  {show_time(age)}: {score.show(float(np.mean(b)), 2)} to {score.show(float(np.mean(a)), 2)}, {won}"
            )
        return "\n".join(lines)


def best_placement(
    model: nn.Module,
    hw: Hardware | str | Path,
    data: Iterable[Any],
    *,
    digital: float | str | None = None,
    cells: float | str | None = None,
    verified: float | str | None = None,
    calibration: Iterable[Any] | None = None,
    times: str | float | Sequence[str | float] = ("1 day", "1 year"),
    chips: int = 8,
    found: SensitivityResult | None = None,
    by: Rank | None = None,
    seed: int = 0,
    task: Named | None = None,
) -> PlacementChoice:
    """The layers on which a budget is spent best, and what that brings on chips.

    Exactly one budget is given. Layers are ranked by the estimate from gradients at the last age (`sensitivity` with
    chips=0), or by `found`; what they bring is measured on chips of the seed after, which had no part in the choice.

    Args:
        model: The digital network.
        hw: The hardware, or the name of a preset, or a YAML file.
        data: Test data: batches of (inputs, labels).
        digital: Share of the multiply-accumulates that may be digital.
        cells: Additional cells, as a share of those there are.
        verified: Share of the cells that may be written with verification.
        calibration: Data for the converters' ranges; `data` by default (labels unused).
        times: Ages at which it is verified.
        chips: Their number.
        found: A sensitivity that is known already.
        by: What layers are ranked by.
        seed: Root seed.
        task: What is scored, see `drift`.

    Raises:
        WrongSetting: Not exactly one budget, or one that the hardware cannot spend.
    """
    budgets = {"digital": digital, "cells": cells, "verified": verified}
    given = {name: value for name, value in budgets.items() if value is not None}
    if len(given) != 1:
        raise WrongSetting(f"{len(given)} budgets are given", f"give one of {', '.join(budgets)}", path="digital")
    network(model, "model")
    ((kind, told),) = given.items()
    share, times = share_of(told, kind), ages(times)
    hw, test, seed = Hardware.of(hw), TestData.of(data, task=task), whole(seed, "seed", least=0)
    ranges = test.batches if calibration is None else list(calibration)
    example = few(test.batches[0])
    net = calibrate(to_analog(model, hw, example=example), ranges)
    if found is None:
        found = sensitivity(net, test, time=times[-1], chips=0, seed=seed)
    choose = {"digital": keep_digital, "cells": more_cells, "verified": verify_writes}[kind]
    placing = choose(found, hw, share, by=by)  # type: ignore[operator]
    other = hw.replace(**placing.changes) if placing.changes else hw
    changed = calibrate(to_analog(model, other, example=example), ranges)
    before, after = (drift(n, test, times, chips=chips, seed=seed + 1) for n in (net, changed))
    return PlacementChoice(placing, other, found, before, after)

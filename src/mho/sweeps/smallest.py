"""`smallest`: the cheapest hardware of a sweep that keeps an accuracy budget, confirmed on fresh chips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mho.arguments import many, whole
from mho.errors import BadInput
from mho.hardware import Hardware
from mho.hardware.spec import load_yaml
from mho.measure.chance import of_chance
from mho.progress import Progress
from mho.statistics.intervals import Interval, check_confidence, mean_interval
from mho.sweeps.config import Config
from mho.sweeps.costs import COSTS
from mho.sweeps.designs.base import active
from mho.sweeps.effects.measured import measured
from mho.sweeps.evaluate import evaluate
from mho.sweeps.plan import Plan
from mho.sweeps.preview import read_contents
from mho.sweeps.proof import show
from mho.sweeps.result import SweepResult
from mho.sweeps.run import sweep
from mho.sweeps.workshop import Workshop
from mho.tasks import Score, Task

FACTORS: dict[str, Any] = {
    "hardware.adc.bits": [4, 5, 6, 8],
    "hardware.array.rows": [64, 128, 256],
    "hardware.encoding": [
        {"kind": "differential"},
        {"kind": "bit_sliced", "bits": 8, "cell_bits": 1},
        {"kind": "bit_sliced", "bits": 8, "cell_bits": 2},
        {"kind": "bit_sliced", "bits": 8, "cell_bits": 4},
        {"kind": "bit_sliced", "bits": 8, "cell_bits": 4, "sign": "offset"},
    ],
}
"""What is searched where a file says nothing: converters, arrays, bits of a cell and encodings."""


@dataclass(frozen=True)
class Candidate:
    """A point of the sweep that keeps the budget there.

    Attributes:
        point: Its number.
        levels: Its levels.
        hardware: What it is.
        cost: What it costs.
        score: Mean worth of the chips of the sweep at the worst age.
        fresh: Mean worth of fresh chips at the worst age, with its interval; None: not tried, for a cheaper one was found.
        floor: Worth of the digital network, less the budget.
    """

    point: int
    levels: dict[str, Any]
    hardware: Hardware
    cost: float
    score: float
    fresh: Interval | None
    floor: float

    @property
    def kept(self) -> bool:
        """Fresh chips keep the budget, with the whole interval."""
        return self.fresh is not None and self.fresh.low >= self.floor


@dataclass(frozen=True)
class Smallest:
    """What a search found.

    Attributes:
        result: The sweep.
        cost: Name of what is to be small.
        budget: What may be lost.
        score: What is measured.
        candidates: By cost, those that keep the budget in the sweep; the first ones were tried on fresh chips.
        points: Points of the sweep that are whole.
        chips: Fresh chips of each try.
        confidence: Of all tries together.
    """

    result: SweepResult
    cost: str
    budget: float
    score: Score
    candidates: tuple[Candidate, ...]
    points: int
    chips: int
    confidence: float

    @property
    def found(self) -> Candidate | None:
        """The cheapest that fresh chips confirm; None: none of those that were tried."""
        return next((each for each in self.candidates if each.kept), None)

    def sentence(self) -> str:
        """The answer in words."""
        limit, found = self.score.show_budget(self.budget), self.found
        if found is None:
            tried = sum(each.fresh is not None for each in self.candidates)
            return (
                f"None of {self.points} points is confirmed to keep a budget of {limit}: {len(self.candidates)} kept it in the "
                f"sweep, {tried} of them were tried on {self.chips} fresh chips."
            )
        assert found.fresh is not None
        words = ", ".join(f"{path.partition('.')[2] or path} = {show(level)}" for path, level in found.levels.items())
        return (
            f"The cheapest of {self.points} points that keeps a budget of {limit} on {self.chips} fresh chips: {words}; "
            f"{self.cost} {found.cost:.4g}, {self.score.label} "
            f"{self.score.bracket(found.fresh.value, found.fresh.low, found.fresh.high)} at the worst age."
        )

    def __str__(self) -> str:
        lines = [self.sentence()]
        for each in self.candidates[:10]:
            state = "not tried"
            if each.fresh is not None:
                bracket = self.score.bracket(each.fresh.value, each.fresh.low, each.fresh.high)
                state = f"{'kept' if each.kept else 'not confirmed'}: {bracket}"
            words = ", ".join(f"{path.partition('.')[2] or path}={show(level)}" for path, level in each.levels.items())
            lines.append(f"  {self.cost} {each.cost:>10.4g}  {self.score.show(each.score):>8}  {state}  {words}")
        return "\n".join(lines)


def smallest(
    source: Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    budget: float | str = 0.01,
    cost: str = "energy_pj",
    chips: int = 8,
    tries: int = 5,
    confidence: float | str = 0.95,
    workers: int = 1,
    progress: Progress = None,
) -> Smallest:
    """Search a sweep for the cheapest hardware whose score stays inside a budget at every age.

    The sweep measures every point on the same chips; those whose mean keeps the budget are tried on fresh chips, the cheapest
    first, until one is confirmed: the whole interval of its mean lies inside.

    Args:
        source: A sweep's file or mapping (docs/sweep.md), with the variation in its `hardware`. Without `factors`: converters
            of 4 to 8 bits, arrays of 64 to 256 rows, pairs and slices of 1 to 4 bits (`FACTORS`).
        out: Folder of the sweep; the same call goes on there.
        budget: What may be lost against the digital network.
        cost: What is to be small: energy_pj, latency_ns, area_um2, cells, arrays, or one of your own.
        chips: Fresh chips of each try.
        tries: Most candidates that are tried on them.
        confidence: That no candidate is confirmed by luck, all tries together.
        workers: Processes of the sweep.
        progress: As for `mho.sweep`.

    Raises:
        WrongSetting: An unknown cost; a budget or number outside its range; whatever `mho.sweep` refuses.
        BadInput: The digital network is not known to be better than chance by more than the budget.
    """
    COSTS.find(cost)
    chips, tries = whole(chips, "chips", least=2), whole(tries, "tries")
    level = check_confidence(confidence)
    data = dict(source) if isinstance(source, Mapping) else load_yaml(source)
    data = {"factors": FACTORS, **data, "costs": list(dict.fromkeys([*many(data.get("costs"), "costs"), cost]))}
    plan = Plan.read(data)
    score = Task.of(plan.task).headline
    allowed = score.check_budget(budget)
    result = sweep(plan, out, workers=workers, progress=progress)
    table = measured(result)
    worst = table.worths.mean(axis=(1, 2)).min(axis=-1)
    floors = np.nanmean(table.digital, axis=1) - allowed
    order = sorted((i for i in range(len(worst)) if worst[i] >= floors[i]), key=lambda i: table.costs[cost][i])
    workshop = Workshop(result.folder)
    contents = read_contents(plan, workshop)
    found: list[Candidate] = []
    for i in order:
        config = plan.at(active(table.levels[i], plan.factors)).model_copy(
            update={"contents": contents, "seed": plan.seeds[0]}
        )
        fresh, floor = None, float(floors[i])
        if len(found) < tries and not any(each.kept for each in found):
            _check_better_than_chance(config, workshop, score, allowed, level)
            fresh, floor = _fresh(config, workshop, score, chips, 1 - (1 - level) / tries)
            floor -= allowed
        found.append(
            Candidate(
                int(table.points[i]),
                table.levels[i],
                config.hardware,
                float(table.costs[cost][i]),
                float(worst[i]),
                fresh,
                floor,
            )
        )
    return Smallest(result, cost, allowed, score, tuple(found), len(worst), chips, level)


def _check_better_than_chance(config: Config, workshop: Workshop, score: Score, budget: float, level: float) -> None:
    """Raises BadInput for a digital network that guesses: any hardware keeps that."""
    data = workshop.test(config)
    constant = data.task.constant_score([y for _, y in data.batches])
    if reason := of_chance(workshop.reference(config), score, data.info, constant, budget, level):
        problem, _, remedy = reason.rpartition(". ")
        raise BadInput(problem, remedy, path="network")


def _fresh(config: Config, workshop: Workshop, score: Score, chips: int, level: float) -> tuple[Interval, float]:
    """Mean worth of chips that no sweep has seen, at the worst age, and the digital network's worth."""
    rows = evaluate(config.model_copy(update={"chips": chips, "chip_seed": config.chip_seed + 1}), workshop)
    digital = next(score.worth(row["score"]) for row in rows if row["chip"] < 0)
    ages = sorted({row["age_s"] for row in rows if row["chip"] >= 0})
    means = [
        mean_interval(
            np.array([score.worth(row["score"]) for row in rows if row["chip"] >= 0 and row["age_s"] == age]), level
        )
        for age in ages
    ]
    return min(means, key=lambda each: each.low), float(digital)

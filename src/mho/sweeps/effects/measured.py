"""`Measured`: what a sweep has measured so far, as one table, and what was left out of it and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.errors import WrongSetting
from mho.sweeps.plan import Plan
from mho.sweeps.result import SweepResult
from mho.tasks import Score, Task

LOSS = Score("loss", "error")
_MOST = 1e100
"""A number from which on its square is none: it has diverged like one that is not finite."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Worths (more is better) of the points that are whole: every chip at every age with every seed that counts.

    Attributes:
        plan: What is swept.
        score: What the worths are of.
        planned: Level by factor of every point of the design, measured or not.
        points: Numbers of the whole points, (P,).
        seeds: Training seeds that count: with all that are begun, fewer points might be whole.
        worths: (P, S, C, A): points, seeds, chips, ages.
        digital: Of the digital network, (P, S); NaN where it is not stored.
        states: Trials by state.
        diverged: Trials with a number that is not finite; left out.
        lost: Trials that failed.
        level_of: Of every trial, its level by factor.
        losses: (P, S, C, A), NaN where it is not finite.
        costs: What the points cost besides, (P,) by name; empty where nothing was noted.
    """

    plan: Plan
    score: Score
    planned: tuple[dict[str, Any], ...]
    points: NDArray[np.int64]
    seeds: tuple[int, ...]
    worths: NDArray[np.float64]
    digital: NDArray[np.float64]
    states: dict[str, int]
    diverged: tuple[int, ...]
    lost: tuple[int, ...]
    level_of: dict[int, dict[str, Any]]
    losses: NDArray[np.float64]
    costs: dict[str, NDArray[np.float64]]

    @cached_property
    def levels(self) -> list[dict[str, Any]]:
        """Level by factor of the whole points."""
        return [self.planned[p] for p in self.points]

    @property
    def adaptive(self) -> bool:
        """Whether points were chosen by what was measured at those before."""
        return self.plan.design.adaptive

    @cached_property
    def drawn(self) -> Measured:
        """Without the points that were chosen for being good: means over those are no effects."""
        if not self.adaptive:
            return self
        kept = self.points < min(int(getattr(self.plan.design, "start", 0)), len(self.plan.points()))
        return replace(
            self, points=self.points[kept], worths=self.worths[kept], digital=self.digital[kept], losses=self.losses[kept],
            costs={name: values[kept] for name, values in self.costs.items()},
        )  # fmt: skip

    @property
    def units(self) -> int:
        """Random units behind an interval: chips with seeds."""
        return self.worths.shape[1] * self.worths.shape[2]

    @property
    def over(self) -> str:
        """Over what intervals are, in words."""
        if self.plan.design.drawn:
            return "points of the design"
        names = [n for n, many in zip(("training seeds", "chips"), self.worths.shape[1:3], strict=True) if many > 1]
        return " and ".join(names)

    def active(self, path: str, levels: dict[str, Any]) -> bool:
        """Whether a factor counts at a point."""
        return self.plan.factors[path].holds(levels)

    @property
    def seeds_left_out(self) -> list[str]:
        """That some training seeds do not count, in a sentence."""
        many, which = len(self.plan.seeds), ", ".join(map(str, self.seeds))
        if not self.seeds or len(self.seeds) == many:
            return []
        return [
            f"{len(self.seeds)} of {many} training seeds count ({which}): with the others fewer points would be whole."
        ]

    def cautions(self) -> list[str]:
        """What was left out, in sentences; often none."""
        states, found = self.states, []
        total, plan = sum(states.values()), self.plan
        if missing := states["open"] + states["running"]:
            found.append(f"The sweep is not finished: {_many(missing, 'trial')} of {total} not measured yet.")
        found += self.seeds_left_out
        if pruned := states.get("pruned", 0):
            found.append(
                f"{_many(pruned, 'trial')} of {total} pruned as hopeless; their points are left out, which flatters the "
                "levels that they stand at: what is said of levels rests on those that were not given up."
            )
        if self.adaptive:
            found.append(
                f"{len(self.points) - len(self.drawn.points)} of {_many(len(self.points), 'point')} were chosen by what was "
                f"measured before. Effects, thresholds, levels and correlations rest on the "
                f"{len(self.drawn.points)} that were drawn; the others are in the fronts, the surfaces and the table of points."
            )
        if self.lost:
            found.append(f"{_many(len(self.lost), 'trial')} of {total} failed; their points are left out.")
        if self.diverged:
            found.append(
                f"{_many(len(self.diverged), 'trial')} of {total} gave no finite {self.score.label}; "
                "their points are left out, which flatters the levels that they stand at: the table of what is missing "
                "counts them."
            )
        if odd := int((~np.isfinite(self.losses)).all(axis=(2, 3)).sum()) if self.losses.size else 0:
            found.append(f"The loss of {_many(odd, 'trial')} is not finite: those networks have diverged.")
        if self.points.size and self.units < 2 and not plan.design.drawn:
            found.append("One chip and one training seed: nothing is known of how others would differ, so there are no intervals "
                         "and nothing is tested. Measure three chips at least.")  # fmt: skip
        elif self.points.size and 2 in self.worths.shape[1:3]:
            which = "chips" if self.worths.shape[2] == 2 else "training seeds"
            found.append(
                f"Two {which} make intervals very wide, and hardly anything is shown; measure three at least, better five."
            )
        return found


def measured(result: SweepResult, score: str | None = None) -> Measured:
    """The table of a sweep, from its stored rows.

    Args:
        result: The sweep, finished or not.
        score: Which number: the task's headline by default, "loss", or another name of the task's scores (more is better).

    Raises:
        WrongSetting: No such score is stored.
    """
    plan, found, value = result.plan, *_column(result, score)
    trials = {trial["trial"]: trial for trial in result.trials}
    ages, seeds = {age: i for i, age in enumerate(plan.ages)}, {seed: i for i, seed in enumerate(plan.seeds)}
    planned: dict[int, dict[str, Any]] = {trial["point"]: trial["factors"] for trial in trials.values()}
    shape = (max(planned, default=-1) + 1, len(seeds), plan.chips, len(ages))
    worths, losses, digital = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape[:2], np.nan)
    told = np.zeros(shape, dtype=bool)
    for row in result.rows:
        trial = trials[row["trial"]]
        point, seed, chip = trial["point"], seeds.get(trial["seed"]), row["chip"]
        if seed is None or not (chip == -1 or (0 <= chip < plan.chips and row["age_s"] in ages)):
            continue
        read = _number(row.get(value))
        if chip == -1:
            digital[point, seed] = found.worth(read)
            continue
        where = point, seed, chip, ages[row["age_s"]]
        told[where], worths[where], losses[where] = True, found.worth(read), _number(row["loss"])
    whole = told.all(axis=(2, 3))
    finite = np.isfinite(worths).all(axis=(2, 3))
    kept = _seeds(whole & finite)
    points = np.flatnonzero((whole & finite)[:, kept].all(axis=1)) if kept else np.zeros(0, dtype=np.int64)
    part = np.ix_(points, np.array(kept, dtype=np.int64))
    number = {(trial["point"], seeds.get(trial["seed"])): n for n, trial in trials.items()}
    return Measured(
        plan=plan,
        score=found,
        planned=tuple(planned[p] for p in range(shape[0])),
        points=points,
        seeds=tuple(plan.seeds[i] for i in kept),
        worths=worths[part],
        digital=digital[part],
        states=result.counts(),
        diverged=tuple(sorted(number[p, s] for p, s in np.argwhere(whole & ~finite).tolist())),
        lost=tuple(n for n, trial in trials.items() if trial["state"] == "failed"),
        level_of={n: trial["factors"] for n, trial in trials.items()},
        losses=losses[part],
        costs=_costs(list(trials.values()), points),
    )


def _column(result: SweepResult, score: str | None) -> tuple[Score, str]:
    headline = Task.of(result.plan.task).headline
    if score is None or score == headline.name:
        return headline, "score"
    if score == "loss":
        return LOSS, "loss"
    stored = sorted({key.partition(".")[2] for row in result.rows[:1] for key in row if key.startswith("scores.")})
    if score not in stored:
        valid = ", ".join([headline.name, "loss", *stored])
        raise WrongSetting(f"no score '{score}' is stored", f"one of {valid}", path="score")
    return Score(score, "value"), f"scores.{score}"


def _costs(trials: Sequence[dict[str, Any]], points: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """By name, of each point the mean over its trials; costs that are not noted of every point are left out."""
    held: dict[str, dict[int, list[float]]] = {}
    for trial in trials:
        for name, value in (trial.get("costs") or {}).items():
            held.setdefault(name, {}).setdefault(trial["point"], []).append(float(value))
    return {
        name: np.array([math.fsum(of[p]) / len(of[p]) for p in points.tolist()])
        for name, of in held.items()
        if all(p in of for p in points.tolist())
    }


def _number(value: Any) -> float:
    found = math.nan if value is None else float(value)
    return found if abs(found) < _MOST else math.nan


def _seeds(whole: NDArray[np.bool_]) -> list[int]:
    """Which seeds count: those that keep most trials in points that are whole; (points, seeds) says which trials are."""
    order = sorted(range(whole.shape[1]), key=lambda s: -int(whole[:, s].sum()))
    best: tuple[int, list[int]] = (0, [])
    for many in range(1, len(order) + 1):
        kept = sorted(order[:many])
        trials = many * int(whole[:, kept].all(axis=1).sum())
        best = max(best, (trials, kept), key=lambda pair: pair[0] + 1e-3 * len(pair[1]))
    return best[1]


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"

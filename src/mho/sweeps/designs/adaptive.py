"""Designs whose points follow from what was measured before. The ledger is the truth; optuna's study is made of it anew."""

from __future__ import annotations

import hashlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from mho._optional import require
from mho.errors import MhoError, WrongSetting
from mho.sweeps.designs.base import MOST, Design, Point, active
from mho.sweeps.designs.objective import Objective
from mho.sweeps.designs.sampled import Sobol
from mho.sweeps.factor import Factor, text_of
from mho.units import seconds

State = Literal["done", "running", "pruned", "failed"]
_FEW, _TRIES, _DRAWS = 2, 10, 1000
"""Measured points from which on they are learned from; choices until one is new; draws after that."""


@dataclass(frozen=True)
class Tried:
    """A point of a sweep, and what is known of it.

    Attributes:
        point: Its levels.
        state: "running" until all its trials have ended.
        values: Of each objective, where it is done.
    """

    point: Point
    state: State
    values: tuple[float, ...] | None = None


class Adaptive(Design, ABC):
    """Some points are drawn, the others chosen one after the other by what is known of those before."""

    drawn: ClassVar[bool] = True
    adaptive: ClassVar[bool] = True
    trials: int = Field(ge=1, le=MOST)
    """Points in all."""
    start: int = Field(default=10, ge=1)
    """Points that are drawn (from a Sobol sequence) before any is chosen."""
    sampler: Literal["tpe", "gp"] = "tpe"
    """tpe: tree-structured Parzen estimators (Bergstra et al. 2011); gp: a Gaussian process, for few trials that are dear."""
    age: float | None = None
    """Age at which `score` and `loss` count; null: the last one."""
    seed: int = Field(default=0, ge=0)
    """Of every draw and choice."""

    @field_validator("age", mode="before")
    @classmethod
    def _age(cls, age: Any) -> float | None:
        return None if age is None else seconds(age, "age")

    @property
    @abstractmethod
    def wanted(self) -> tuple[Objective, ...]:
        """What is to be reached."""

    def points(self, factors: Mapping[str, Factor], base: Mapping[str, Any]) -> list[Point]:
        """Those that are drawn."""
        return Sobol(kind="sobol", trials=min(self.start, self.trials), seed=self.seed).points(factors, base)

    def total(self, drawn: int) -> int:
        """See `Design`."""
        return max(self.trials, drawn)

    def mistakes(self, factors: Mapping[str, Factor], ages: Sequence[float], costs: Sequence[str]) -> list[MhoError]:
        """See `Design`.

        Raises:
            MissingExtra: optuna is not installed.
        """
        require("optuna", extra="sweep", for_what=f"the design '{self.kind}'")
        found = [error for each in self.wanted for error in each.mistakes(factors, costs)]
        if self.age is not None and self.age not in ages:
            found.append(WrongSetting("age is none of the sweep's ages", "add it to ages", path="design.age"))
        return found

    def choose(self, factors: Mapping[str, Factor], tried: Sequence[Tried]) -> Point | None:
        """The next point; None where no new one is found.

        The same for the same points before it: nothing but them and the seed decides.
        """
        seen = {text_of(each.point) for each in tried}
        learned = sum(each.values is not None for each in tried) >= _FEW
        for attempt in range(_TRIES + _DRAWS if learned else _DRAWS):
            blind = not learned or attempt >= _TRIES
            point = self._ask(factors, () if blind else tried, f"{self.seed} {len(tried)} {attempt}", blind)
            if text_of(point) not in seen:
                return point
        return None

    def _ask(self, factors: Mapping[str, Factor], tried: Sequence[Tried], address: str, blind: bool) -> Point:
        optuna: Any = require("optuna", extra="sweep", for_what=f"the design '{self.kind}'")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        seed = int.from_bytes(hashlib.sha256(address.encode()).digest()[:4], "little")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of options that optuna calls experimental
            if blind:
                sampler = optuna.samplers.RandomSampler(seed=seed)
            elif self.sampler == "gp":
                sampler = optuna.samplers.GPSampler(seed=seed, n_startup_trials=0)
            else:
                sampler = optuna.samplers.TPESampler(
                    seed=seed, n_startup_trials=0, multivariate=True, group=True, constant_liar=True
                )
            directions = ["maximize" if each.most else "minimize" for each in self.wanted]
            study = optuna.create_study(directions=directions, sampler=sampler)
            for each in tried:
                study.add_trial(self._told(optuna, factors, each))
            return _suggested(study.ask(), factors)

    def _told(self, optuna: Any, factors: Mapping[str, Factor], tried: Tried) -> Any:
        """A point as optuna holds it; one that was pruned says something only where there is one objective."""
        states = optuna.trial.TrialState
        pruned = states.PRUNED if len(self.wanted) == 1 else states.FAIL
        kinds = {"done": states.COMPLETE, "running": states.RUNNING, "pruned": pruned, "failed": states.FAIL}
        state = kinds[tried.state] if tried.values is not None or tried.state != "done" else states.FAIL
        return optuna.trial.create_trial(
            state=state, values=tried.values if state is states.COMPLETE else None,
            params={path: _place(factors[path], level) for path, level in tried.point.items()},
            distributions={path: _distribution(optuna, factors[path]) for path in tried.point},
        )  # fmt: skip


class Bayesian(Adaptive):
    """Points that are expected to be best at one objective."""

    kind: Literal["bayesian"] = "bayesian"
    objective: Objective = Objective(of="score")
    """score, loss, a cost or a factor."""

    @property
    def wanted(self) -> tuple[Objective, ...]:
        """See `Adaptive`."""
        return (self.objective,)


class MultiObjective(Adaptive):
    """Points that are expected to be best at one objective without losing at another: those of the Pareto front."""

    kind: Literal["multi_objective"] = "multi_objective"
    objectives: tuple[Objective, ...]
    """As [score, hardware.adc.bits, {cells: least}]."""

    @model_validator(mode="after")
    def _several(self) -> MultiObjective:
        names = [each.of for each in self.objectives]
        if len(set(names)) < max(2, len(names)):
            raise WrongSetting(f"objectives: {names}", "give two or more that differ, or take the design bayesian")
        return self

    @property
    def wanted(self) -> tuple[Objective, ...]:
        """See `Adaptive`."""
        return self.objectives


def _order(factor: Factor) -> tuple[Any, ...] | None:
    """Listed levels in the order of optuna's numbers; None for a span."""
    listed = factor.listed
    if listed is not None and _numbers(listed):
        return tuple(sorted(listed))
    return listed


def _numbers(levels: Sequence[Any]) -> bool:
    return all(isinstance(level, (int, float)) and not isinstance(level, bool) for level in levels)


def _distribution(optuna: Any, factor: Factor) -> Any:
    """Numbers have an order, other levels have none."""
    levels, kinds = _order(factor), optuna.distributions
    if levels is None:
        return kinds.FloatDistribution(*factor.span, log=factor.log is not None)
    if _numbers(levels):
        return kinds.IntDistribution(0, len(levels) - 1)
    return kinds.CategoricalDistribution(tuple(range(len(levels))))


def _place(factor: Factor, level: Any) -> Any:
    """What optuna holds for a level: its number, or itself within the span (levels are rounded)."""
    levels = _order(factor)
    if levels is None:
        return min(max(float(level), factor.span[0]), factor.span[1])
    return [text_of(each) for each in levels].index(text_of(level))


def _suggest(trial: Any, path: str, factor: Factor) -> Any:
    """A level of a factor, as optuna's trial chooses it."""
    levels = _order(factor)
    if levels is None:
        return factor.rounded(trial.suggest_float(path, *factor.span, log=factor.log is not None))
    if _numbers(levels):
        return levels[trial.suggest_int(path, 0, len(levels) - 1)]
    return levels[trial.suggest_categorical(path, tuple(range(len(levels))))]


def _suggested(trial: Any, factors: Mapping[str, Factor]) -> Point:
    """The point of optuna's trial; a factor is asked for only where its condition is met, after those that it rests on."""
    point: Point = {}
    waiting = dict(factors)
    while ready := [path for path, each in waiting.items() if not any(other in waiting for other in each.when)]:
        for path in ready:
            factor = waiting.pop(path)
            if factor.holds(point):
                point[path] = _suggest(trial, path, factor)
    return active({path: point[path] for path in factors if path in point}, factors)

"""`findings`: all that a sweep says, from its stored rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mho.sweeps.effects.correlation import Correlation, correlations
from mho.sweeps.effects.curves import LevelCurve, curves
from mho.sweeps.effects.effect import Effect, effects
from mho.sweeps.effects.measured import Measured, measured
from mho.sweeps.effects.pareto import Front, costly, front
from mho.sweeps.effects.sentences import sentences
from mho.sweeps.effects.surface import Surface, surface
from mho.sweeps.effects.threshold import Threshold, thresholds
from mho.sweeps.factor import text_of
from mho.sweeps.proof import show
from mho.sweeps.result import SweepResult

_SURFACES = 2


@dataclass(frozen=True, eq=False)
class Findings:
    """What a finished or half-finished sweep says. Each part is made when it is first asked for.

    Attributes:
        result: The sweep.
        measured: Its table, of one score.
        budget: The worth that may be lost, for thresholds and lifetimes.
        cost: The factor of a front, where one was asked for.
    """

    result: SweepResult
    measured: Measured
    budget: float
    cost: str | None = None

    @cached_property
    def effects(self) -> list[Effect]:
        """Main effects, then interactions, at every age."""
        return effects(self.measured.drawn)

    @cached_property
    def thresholds(self) -> list[Threshold]:
        """Of each factor with an order, at every age."""
        return thresholds(self.measured.drawn, self.effects, self.budget)

    @cached_property
    def curves(self) -> list[LevelCurve]:
        """Of each level of each factor, over the ages."""
        return curves(self.measured.drawn, self.budget)

    @cached_property
    def surfaces(self) -> list[Surface]:
        """Of the pairs that matter most at the last age: by their interaction, then by both main effects."""
        age = self.measured.plan.ages[-1]
        shares = {
            e.paths: max(e.share.value, 0.0) if e.share.value == e.share.value else 0.0
            for e in self.effects
            if e.age_s == age
        }
        paths = list(self.measured.plan.factors)
        pairs = [(a, b) for i, a in enumerate(paths) for b in paths[i + 1 :]]
        order = sorted(
            pairs, key=lambda p: -(10 * shares.get(p, 0.0) + shares.get(p[:1], 0.0) + shares.get(p[1:], 0.0))
        )
        found: list[Surface] = []
        for pair in order:
            drawn = surface(self.measured, *pair) if len(found) < _SURFACES and self.measured.points.size else None
            found += [drawn] if drawn is not None else []
        return found

    @cached_property
    def fronts(self) -> list[Front]:
        """Against each cost that was noted, and each factor that costs."""
        paths = costly(self.measured, self.cost)
        return [front(self.measured, path) for path in paths] if self.measured.points.size else []

    @cached_property
    def correlations(self) -> list[Correlation]:
        """Of scores and factors over points."""
        return correlations(self.measured.drawn) if self.measured.drawn.points.size else []

    @property
    def sentences(self) -> list[str]:
        """The most important first."""
        return sentences(self.measured.drawn, self.effects, self.thresholds)

    def missing(self) -> list[tuple[str, str, int, int, int, int, int]]:
        """Factor, level, trials, of these not measured yet, failed, pruned, diverged: of levels at which something is missing."""
        found: list[tuple[str, str, int, int, int, int, int]] = []
        trials = self.result.trials
        diverged = {*self.measured.diverged}
        for path in self.measured.plan.factors:
            groups: dict[str, list[dict[str, Any]]] = {}
            for trial in trials:
                groups.setdefault(text_of(trial["factors"][path]), []).append(trial)
            for group in groups.values():
                states = [trial["state"] for trial in group]
                waiting = sum(s in ("open", "running") for s in states)
                failed, pruned = states.count("failed"), states.count("pruned")
                odd = sum(trial["trial"] in diverged for trial in group)
                if waiting or failed or pruned or odd:
                    level = show(group[0]["factors"][path])
                    found.append((path, level, len(group), waiting, failed, pruned, odd))
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Effects as tidy rows; differences are of worths, as shares where the score is one."""
        level = self.measured.plan.confidence
        return [
            {
                "effect": e.name, "age_s": e.age_s, "acts": e.found(level), "p": e.p, "p_holm": e.adjusted, "test": e.test,
                "share": e.share.value, "share_low": e.share.low, "share_high": e.share.high, "largest": e.largest.value,
                "largest_low": e.largest.low, "largest_high": e.largest.high, "between": e.between, "left_out": e.left_out,
            }
            for e in self.effects
        ]  # fmt: skip

    def threshold_rows(self) -> list[dict[str, Any]]:
        """Thresholds as tidy rows, one a level: what it loses against the harmless end."""
        return [
            {
                "factor": t.path, "age_s": t.age_s, "budget": t.budget, "verdict": t.verdict, "range": t.range, "level": level,
                "cost": cost.value, "cost_low": cost.low, "cost_high": cost.high,
            }
            for t in self.thresholds
            for level, cost in zip(t.levels, t.costs, strict=True)
        ]  # fmt: skip

    def __str__(self) -> str:
        return "\n".join([*self.sentences, *self.measured.cautions()])


def findings(
    result: SweepResult, *, budget: float | str = 0.01, score: str | None = None, cost: str | None = None
) -> Findings:
    """What the stored rows of a sweep say; nothing is run.

    Args:
        result: The sweep, finished or not.
        budget: What may be lost, for thresholds and lifetimes: of an accuracy as a share (0.01 or "1%" is one point), else in the
            score's unit.
        score: Which number: the task's headline by default, "loss", or another stored one.
        cost: The factor against which a front is drawn; by default those whose names say that they cost (bits, pairs, …).

    Raises:
        WrongSetting: No such score or factor, or a budget outside its range.
    """
    table = measured(result, score)
    found = Findings(result, table, table.score.check_budget(budget), cost)
    costly(table, cost)
    return found


def of_age(found: Sequence[Any], age_s: float) -> list[Any]:
    """Those of one age."""
    return [each for each in found if each.age_s == age_s]

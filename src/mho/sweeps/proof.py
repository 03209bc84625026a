"""The proof that every factor acts: that any two of its levels do something different, somewhere in the design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mho.errors import MhoError, WrongSetting
from mho.progress import Meter
from mho.sweeps.config import Config
from mho.sweeps.designs import Point
from mho.sweeps.designs.base import distinct
from mho.sweeps.fingerprint import STEPS, Fingerprints
from mho.sweeps.plan import Plan, refuse

_PLACES = 8
"""Places of the design at which levels are compared that do the same at the base."""
_SEEN_BY = {
    "hardware": "answers of a programmed chip",
    "evaluation": "answers of a programmed chip",
    "calibration": "ranges of the converters",
    "network": "the network's make-up and answers",
    "training": f"weights after {STEPS} steps",
    "pretraining": f"weights after {STEPS} steps",
}


@dataclass(frozen=True)
class Proof:
    """That a factor acts, or which of its levels cannot be told apart.

    Attributes:
        path: The factor.
        seen_by: What differs between its levels.
        where: The settings of other factors that this needs; empty at the base.
        same: Levels that do the same wherever they were tried, in groups.
        places: At how many places they were tried.
        levels: How many levels were compared.
        failing: Levels whose training fails within the steps that were taken, with its words; their trials will fail, too.
    """

    path: str
    seen_by: str
    where: Point
    same: tuple[tuple[Any, ...], ...]
    places: int
    levels: int
    failing: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.same:
            groups = "; ".join(" = ".join(map(show, group)) for group in self.same)
            return f"does not act: {groups}"
        what = "" if not self.where else f" (where {', '.join(f'{k} = {show(v)}' for k, v in self.where.items())})"
        failing = f"; {', '.join(self.failing)} (will be recorded as failed)" if self.failing else ""
        return f"acts: {self.seen_by} differ{what}{failing}"

    @property
    def mistake(self) -> MhoError | None:
        """Why it is refused, or None."""
        if not self.same:
            return None
        places = f"at the base and {self.places - 1} other places of the design" if self.places > 1 else "at the base"
        if len(self.same) == 1 and len(self.same[0]) == self.levels:
            found = (
                f"it has no effect: {self.seen_by} are the same for all its levels ({_listed(self.same[0])}), {places}"
            )
        else:
            groups = "; ".join(_listed(group) for group in self.same)
            found = f"levels that do the same: {groups}: {self.seen_by} are equal, {places}"
        return WrongSetting(
            found,
            "drop the factor or these levels, or change the base so that it acts there",
            path=f"factors.{self.path}",
        )


def prove(plan: Plan, contents: dict[str, str], made: Fingerprints, told: Meter | None = None) -> list[Proof]:
    """A proof for each factor.

    Each level is compared at the base; levels that do the same there are compared at other places of the design, for a factor
    may act only where another one has some level.

    Raises:
        WrongSetting: A factor does not act, or two of its levels do the same; all of them are told at once.
    """
    found = []
    points = plan.points()
    for number, path in enumerate(plan.factors):
        if told is not None:
            told(number, len(plan.factors), known=f"does {path} act?")
        found.append(_prove(plan, path, points, contents, made))
    refuse([proof.mistake for proof in found if proof.mistake is not None])
    return found


def _prove(plan: Plan, path: str, points: Sequence[Point], contents: dict[str, str], made: Fingerprints) -> Proof:
    section, levels = path.partition(".")[0], plan.factors[path].tried
    groups: list[list[int]] = [list(range(len(levels)))]
    where: Point = {}
    places = _places(plan, path, points)
    tried = samples = 0
    failing: tuple[str, ...] = ()
    for place in places:
        try:
            configs = {i: _at(plan, path, levels[i], place, contents) for group in groups for i in group}
        except MhoError:
            if not tried:
                raise
            continue  # a combination that the design never asks for
        samples = samples or _samples(section, list(configs.values()))
        seen, errors = _seen(path, levels, configs, made, samples)
        if not tried:
            failing = tuple(f"{show(levels[i])} fails: {error.problem}" for i, error in errors.items())
            first = next(i for i in configs if i not in errors)
            _run(path, levels[first], partial(made.check, section, configs[first], samples))
        tried += 1
        split: list[list[int]] = []
        for group in groups:
            by: dict[str, list[int]] = {}
            for i in group:
                by.setdefault(seen[i], []).append(i)
            split += by.values()
        if len(split) > len(groups):
            where = {} if tried == 1 else {key: value for key, value in place.items() if key != path}
        groups = [group for group in split if len(group) > 1]
        if not groups:
            break
    same = tuple(tuple(levels[i] for i in group) for group in groups)
    seen_by = _SEEN_BY[section]
    if plan.costs and section in ("hardware", "evaluation"):
        seen_by = f"{seen_by}, or costs,"
    return Proof(path, seen_by, where, same, tried, len(levels), failing)


def _places(plan: Plan, path: str, points: Sequence[Point]) -> list[Point]:
    """The base (where the factor's conditions are met), then places of the design, evenly taken."""
    first = plan.meeting(path, {})
    others = distinct([{k: v for k, v in p.items() if k != path} for p in points if path in p])
    counting = [point for point in others if point != first]
    step = max(1, len(counting) // _PLACES)
    return [first, *counting[step - 1 :: step][:_PLACES]]


def _at(plan: Plan, path: str, level: Any, place: Point, contents: dict[str, str]) -> Config:
    return plan.at({**place, path: level}).model_copy(update={"contents": contents})


def _samples(section: str, configs: Sequence[Config]) -> int:
    """Training samples with which every level takes its steps."""
    stages = [config.training if section == "training" else config.pretraining for config in configs]
    return max((STEPS * stage.batch * stage.accumulate for stage in stages if stage is not None), default=0)


def _seen(
    path: str, levels: Sequence[Any], configs: Mapping[int, Config], made: Fingerprints, samples: int
) -> tuple[dict[int, str], dict[int, MhoError]]:
    """What the levels do, by their numbers, and the errors of those that cannot be trained (a rate may be too high)."""
    seen: dict[int, str] = {}
    errors: dict[int, MhoError] = {}
    section, _, rest = path.partition(".")
    for i, config in configs.items():
        if "training" in section and rest == "epochs":
            seen[i] = str(levels[i])  # the number of steps
            continue
        try:
            seen[i] = _run(path, levels[i], partial(made.of, section, config, samples))
        except MhoError as error:
            seen[i], errors[i] = f"level {i} fails", error
    if errors and ("training" not in section or len(errors) == len(configs)):
        raise next(iter(errors.values()))
    return seen, errors


def _run(path: str, level: Any, make: Any) -> Any:
    """Errors name the level that they come from."""
    try:
        return make()
    except MhoError as error:
        at = f" ({error.path})" if error.path else ""
        raise type(error)(f"{show(level)} cannot be built{at}: {error.problem}", error.remedy, path=path) from error


def show(level: Any) -> str:
    """A level in a few letters."""
    if isinstance(level, float):
        return f"{level:g}"
    if isinstance(level, Mapping):
        named = [level[key] for key in ("name", "preset", "kind") if key in level]
        return str(named[0]) if len(named) == len(level) == 1 or "name" in level else str(dict(level))
    if isinstance(level, (list, tuple)):
        return f"[{', '.join(map(show, level))}]"
    return "none" if level is None else str(level)


def _listed(group: Sequence[Any]) -> str:
    return ", ".join(map(show, group[:-1])) + f" and {show(group[-1])}"

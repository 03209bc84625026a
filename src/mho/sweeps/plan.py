"""`Plan`: a sweep as its file says it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, SerializeAsAny

from mho.errors import MhoError, WrongSetting
from mho.hardware import Hardware
from mho.hardware.spec import Spec, load_yaml
from mho.models.loading import FACTORIES
from mho.models.spec import Spec as Named
from mho.statistics.intervals import check_confidence
from mho.sweeps.config import Config, Settings
from mho.sweeps.designs import DESIGNS, Design, Point
from mho.sweeps.factor import Factor
from mho.sweeps.pruning import Pruning

SECTIONS = ("network", "hardware", "pretraining", "training", "calibration", "evaluation")
"""What a factor's path begins with."""


def _seeds(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, bool) or (whole and value < 1) or value in ([], ()):
        raise WrongSetting(f"{value!r} are no seeds", "give their number, or a list of them")
    found = tuple(range(value)) if whole else value
    if isinstance(found, (list, tuple)) and len({json.dumps(seed) for seed in found}) < len(found):
        raise WrongSetting(f"{value!r} has a seed twice", "give each once")
    return found


_SHOWN = "docs/sweep.md says what stands in it"


class Plan(Settings):
    """What is swept: a base (`Settings`), factors with their levels, and a design.

    Example:
        >>> plan = Plan.read({"network": "digits_cnn", "weights": "digits.safetensors", "data": "digits", "hardware": "pcm",
        ...                   "factors": {"hardware.dac.bits": [2, 4, 6, 8]}})
        >>> plan.points()[0]
        {'hardware.dac.bits': 2}
    """

    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_seeds)] = (0,)
    """Training seeds, or how many; each point of the design is tried with each."""
    factors: dict[str, Factor] = Field(min_length=1)
    """Levels by path: hardware.dac.bits, training.lr, calibration.quantile, evaluation.refresh, network.OPTION,
    or a whole section."""
    design: SerializeAsAny[Annotated[Design, BeforeValidator(DESIGNS.parser())]] = Field(
        default_factory=lambda: DESIGNS.find("grid")(kind="grid")
    )
    """grid, one_at_a_time, or {kind: random, lhs or sobol, trials: N, seed: 0}, or bayesian, multi_objective."""
    pruning: Pruning | None = None
    """When trainings that are behind the others are given up."""
    confidence: Annotated[float, BeforeValidator(check_confidence)] = 0.95
    """Of every interval in the summary."""
    _configured: list[tuple[Point, Config]] | None = PrivateAttr(None)

    @classmethod
    def read(cls, source: Plan | Mapping[str, Any] | str | Path) -> Plan:
        """The plan in a YAML file, or in a mapping of the same keys; every mistake that shows without work is told.

        Raises:
            BadInput: The file cannot be read.
            WrongSetting: Unknown keys and factors, levels outside their range, conditions on nothing: all of them at once.
        """
        if isinstance(source, Plan):
            return source
        where = str(source) if isinstance(source, (str, Path)) else None
        data = load_yaml(source, _SHOWN) if isinstance(source, (str, Path)) else source
        if not isinstance(data, Mapping):
            raise WrongSetting(f"{source!r} is no sweep", "give a YAML file, or a mapping of its keys", path="sweep")
        plan = cls.parse(dict(data), where=where)
        refuse(plan.mistakes(), where)
        try:
            plan.configured()
        except MhoError as error:
            raise type(error)(error.problem, error.remedy, path=": ".join(filter(None, [where, error.path]))) from None
        return plan

    @property
    def base(self) -> Config:
        """Every factor as the file has it outside `factors`."""
        return self._config({name: getattr(self, name) for name in Settings.model_fields})

    def at(self, point: Point, seed: int = 0) -> Config:
        """The configuration at a point.

        Raises:
            WrongSetting: A level that its setting refuses, alone or with the others.
        """
        found: dict[str, Any] = {name: getattr(self, name) for name in Settings.model_fields}
        for section in SECTIONS:
            inner = {
                path.partition(".")[2]: level for path, level in point.items() if path.partition(".")[0] == section
            }
            if not inner:
                continue
            try:
                if "" in inner:
                    found[section] = _whole(section, inner.pop(""))
                if inner:
                    found[section] = _changed(section, found[section], inner)
            except MhoError as error:
                path = ".".join(filter(None, [section, _within(error.path, section)]))
                raise WrongSetting(error.problem, error.remedy, path=path) from None
        return self._config({**found, "seed": seed})

    def level(self, path: str, config: Config) -> Any:
        """What a setting is in a configuration, as a plain value; None where it is not there."""
        section, _, rest = path.partition(".")
        found = getattr(config, section)
        if section == "network":
            return Named.parse(found).options.get(rest) if rest else found
        node = found.as_dict() if isinstance(found, Spec) else found
        for part in rest.split(".") if rest else ():
            if isinstance(node, list):
                number = int(part) if part.isdecimal() else 0
                node = node[number] if number < len(node) else None
                if part.isdecimal():
                    continue
            node = node.get(part) if isinstance(node, dict) else None
        return node

    def configured(self) -> list[tuple[Point, Config]]:
        """The points of the design with their configurations, each configuration once.

        Raises:
            WrongSetting: Levels that do not go together, all of them at once.
        """
        if self._configured is None:
            base, made = self.base, dict[str, tuple[Point, Config]]()
            wrong: dict[str, MhoError] = {}
            for point in self.design.points(self.factors, {path: self.level(path, base) for path in self.factors}):
                try:
                    config = self.at(point)
                    made.setdefault(config.digest(), (point, config))
                except MhoError as error:
                    wrong[str(error)] = error
            refuse([*wrong.values()])
            self._configured = [*made.values()]
        return self._configured

    def points(self) -> list[Point]:
        """The points of the design; of an adaptive one, those that are drawn before any is chosen."""
        return [point for point, _ in self.configured()]

    @property
    def total(self) -> int:
        """Points that there will be in all."""
        return self.design.total(len(self.points()))

    def every_level(self) -> Iterator[Config]:
        """The configurations of the design; where it has yet to choose points, those in which each level stands, too."""
        yield from (config for _, config in self.configured())
        if self.design.adaptive:
            for path, factor in self.factors.items():
                yield from (self.at({**self.meeting(path, {}), path: level}) for level in factor.tried)

    def meeting(self, path: str, point: Point) -> Point:
        """A point at which a factor counts: with the first levels that its conditions allow."""
        for other, levels in self.factors[path].when.items():
            if not self.factors[path].holds({**point, **({other: point[other]} if other in point else {})}):
                point = self.meeting(other, {**point, other: levels[0]})
        return point

    def mistakes(self) -> list[MhoError]:
        """What is wrong with factors, conditions, levels and seeds."""
        found: list[MhoError] = []
        for path, factor in self.factors.items():
            found += self._mistakes_of(path, factor)
        if len(self.seeds) > 1 and not self.trained:
            found.append(
                WrongSetting(
                    f"{len(self.seeds)} training seeds, and nothing is trained",
                    "add training or pretraining, or leave seeds out (chips are drawn anyway)",
                    path="seeds",
                )
            )
        if self.pruning is not None and not self.trained and not {"training", "pretraining"} & {*self.factors}:
            found.append(WrongSetting("nothing is trained that could be pruned", "leave it out", path="pruning"))
        if self.pruning is not None:
            stages = {"pretraining": self.pretraining, "training": self.training}
            found += self.pruning.mistakes(stages, self.factors)
        found += self.design.mistakes(self.factors, self.ages, self.costs)
        target = Named.parse(self.network).target
        if (
            self.weights is None
            and target in FACTORIES
            and not self.trained
            and not {"training", "pretraining"} & {*self.factors}
        ):
            found.append(
                WrongSetting(
                    f"'{target}' without weights is a random network",
                    "give weights: FILE, a section pretraining, or a trained one: published:NAME",
                    path="weights",
                )
            )
        return found

    def _mistakes_of(self, path: str, factor: Factor) -> list[MhoError]:
        where, (section, _, _) = f"factors.{path}", path.partition(".")
        if section not in SECTIONS:
            valid = ", ".join(SECTIONS)
            return [WrongSetting(f"unknown factor '{path}'", f"a factor begins with one of {valid}", path=where)]
        found: list[MhoError] = []
        for other, levels in factor.when.items():
            if other not in self.factors or other == path:
                remedy = f"factors are {', '.join(self.factors)}"
                return [
                    WrongSetting(f"a condition on '{other}', which is no other factor", remedy, path=f"{where}.when")
                ]
            listed = self.factors[other].listed
            if listed is None or any(level not in listed for level in levels):
                remedy = f"its levels are {list(listed)}" if listed else "give that one a list of values"
                found.append(WrongSetting(f"no level of '{other}' is {list(levels)}", remedy, path=f"{where}.when"))
        if found:
            return found
        try:
            around = self.meeting(path, {})
        except RecursionError:
            return [WrongSetting("its condition leads back to itself", "drop one condition", path=f"{where}.when")]
        if section == "training" and self.training is None and "training" not in self.factors:
            return [WrongSetting("nothing is trained", "add a section training", path=where)]
        if section == "pretraining" and self.pretraining is None and "pretraining" not in self.factors:
            return [WrongSetting("nothing is pretrained", "add a section pretraining", path=where)]
        for level in factor.tried:
            try:
                self.at({**around, path: level})
            except MhoError as error:
                shown = "" if repr(level) in error.problem else f"level {level!r}: "
                found.append(WrongSetting(f"{shown}{error.problem}", error.remedy, path=where))
        return found

    def _config(self, fields: dict[str, Any]) -> Config:
        """Every part was validated when it was made."""
        return Config.model_construct(_fields_set=None, **{"seed": 0, "contents": {}, **fields})


def refuse(mistakes: list[MhoError], where: str | None = None) -> None:
    """Raise all mistakes as one error, the only one as itself."""
    if not mistakes:
        return
    if len(mistakes) == 1:
        path = ": ".join(filter(None, [where, mistakes[0].path]))
        raise type(mistakes[0])(mistakes[0].problem, mistakes[0].remedy, path=path or None)
    lines = [f"\n  {error.path}: {error.problem}" if error.path else f"\n  {error.problem}" for error in mistakes]
    remedies = list(dict.fromkeys(error.remedy for error in mistakes))
    raise WrongSetting(f"{len(mistakes)} mistakes:{''.join(lines)}\n", "; ".join(remedies), path=where)


def _within(path: str | None, section: str) -> str:
    return "" if path is None or path == section else path.removeprefix(f"{section}.")


def _whole(section: str, level: Any) -> Any:
    """A level that is a whole section."""
    if section == "network":
        Named.parse(level)
        return level
    if section == "hardware":
        return Hardware.described(level) if isinstance(level, dict) else Hardware.of(level)
    if level is None and section in ("pretraining", "training"):
        return None
    kind: Any = Settings.model_fields[section].annotation
    cls = next((part for part in getattr(kind, "__args__", ()) if part is not type(None)), kind)
    return cls.parse(level)


def _changed(section: str, value: Any, changes: dict[str, Any]) -> Any:
    """A section with other settings; of a network, its options."""
    if section == "network":
        target, options = Named.parse(value)
        pairs = {**options, **changes}
        return f"{target}?{'&'.join(f'{key}={_option(each)}' for key, each in pairs.items())}"
    if value is None:
        raise WrongSetting(f"there is no {section}", f"add a section {section}, or a condition `when`")
    if section == "training" and value.hardware is None and any(key.startswith("hardware.") for key in changes):
        remedy = "say training.hardware: what to train on, as for hardware"
        raise WrongSetting("training has no hardware of its own", remedy, path="hardware")
    return value.replace(**changes)


def _option(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not isinstance(value, (str, int, float)) or not text or "&" in text:
        raise WrongSetting(f"{value!r} cannot be an option", "give a number, a truth value or a word without '&'")
    return text

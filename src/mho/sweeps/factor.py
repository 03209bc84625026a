"""`Factor`: the levels of a setting that a sweep varies, and when it counts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from mho.errors import WrongSetting
from mho.hardware.spec import Spec
from mho.models.spec import value_of
from mho.sweeps.sections import HELP

_DIGITS = 6


def text_of(level: Any) -> str:
    """A level as text that tells levels apart: 1, 1.0 and true differ."""
    return json.dumps(level, sort_keys=True)


class Factor(Spec):
    """Levels of one setting: listed, or a span from which a design takes them.

    In a file: ``[2, 4, 8]``; ``{log: [0.001, 0.3], levels: 5}``; ``{values: [5, 10], when: {hardware.adc.range: fixed}}``.
    """

    remedy: ClassVar[str] = HELP
    values: tuple[Any, ...] | None = None
    """Levels, as a list."""
    log: tuple[float, float] | None = None
    """Ends of a span with even steps of the logarithm."""
    linear: tuple[float, float] | None = None
    """Ends of a span with even steps."""
    levels: int | None = Field(default=None, ge=2)
    """Levels that a span is cut into; null: any number in it (designs that draw)."""
    when: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Other factors with the levels at which this one counts; elsewhere its setting stays as in the base."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, (list, tuple)):
            data = {"values": data}
        if not isinstance(data, dict):
            raise WrongSetting(
                f"{data!r} are no levels", "give a list, as [2, 4, 8], or {log: [0.001, 0.3], levels: 5}"
            )
        data = dict(data)
        if isinstance(data.get("values"), (list, tuple)):
            data["values"] = tuple(map(_number, data["values"]))
        if isinstance(data.get("when"), dict):
            each = {k: v if isinstance(v, (list, tuple)) else [v] for k, v in data["when"].items()}
            data["when"] = {k: tuple(map(_number, v)) for k, v in each.items()}
        return data

    @model_validator(mode="after")
    def _possible(self) -> Factor:
        given = [name for name in ("values", "log", "linear") if getattr(self, name) is not None]
        if len(given) != 1:
            found = "levels are given as " + " and as ".join(given) if given else "no levels"
            raise WrongSetting(found, "give one of values, log, linear")
        if self.values is not None:
            if self.levels is not None:
                raise WrongSetting("levels has no effect on a list of values", "leave it out")
            if len(self.values) < 2:
                found = "an empty list of levels" if not self.values else f"{self.values[0]!r} is the only level"
                raise WrongSetting(found, "give two levels at least; what does not vary belongs into the base")
            texts = [text_of(value) for value in self.values]
            if twice := sorted({text for text in texts if texts.count(text) > 1}):
                raise WrongSetting(f"the level {', '.join(twice)} stands there twice", "give it once")
            return self
        low, high = self.span
        if not low < high:
            raise WrongSetting(f"{given[0]}: [{low:g}, {high:g}] has no length", "give the lower end first")
        if self.log is not None and not low > 0:
            raise WrongSetting(f"log: [{low:g}, {high:g}] begins at or below 0", "begin above 0, or list the levels")
        return self

    @property
    def span(self) -> tuple[float, float]:
        """Ends of a span."""
        found = self.log or self.linear
        assert found is not None
        return found

    @property
    def listed(self) -> tuple[Any, ...] | None:
        """Its levels; None for a span that is not cut."""
        if self.values is not None:
            return self.values
        return None if self.levels is None else tuple(self._inside(i / (self.levels - 1)) for i in range(self.levels))

    @property
    def tried(self) -> tuple[Any, ...]:
        """Levels that stand for it where each is tried: all, or the ends and the middle of a span."""
        return self.listed or tuple(self._inside(u) for u in (0.0, 0.5, 1.0))

    def at(self, u: float) -> Any:
        """The level at a place u of [0, 1): equal parts for listed levels."""
        listed = self.listed
        return self._inside(u) if listed is None else listed[min(int(u * len(listed)), len(listed) - 1)]

    def holds(self, point: Mapping[str, Any]) -> bool:
        """Whether it counts where other factors have these levels; one without a level counts nowhere."""
        texts = {path: {text_of(level) for level in levels} for path, levels in self.when.items()}
        return all(path in point and text_of(point[path]) in allowed for path, allowed in texts.items())

    def _inside(self, u: float) -> float:
        low, high = self.span
        if self.log is not None:
            low, high = math.log(low), math.log(high)
        value = low + u * (high - low)
        return self.rounded(math.exp(value) if self.log is not None else value)

    @staticmethod
    def rounded(value: float) -> float:
        """A number of a span with as many digits as a level has."""
        return float(f"{value:.{_DIGITS}g}")


def _number(value: Any) -> Any:
    """YAML 1.1 takes 1e-3 for a word."""
    found = value_of(value) if isinstance(value, str) and value else value
    return found if isinstance(found, float) else value

"""`Settings`: another tool's settings, each of which becomes something here, is told to act on nothing, or is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from mho.errors import WrongSetting
from mho.hardware import Hardware

OFF, ELSEWHERE, LEFT = "off there, too", "not of a chip", "left out, as asked"
_MISSING = object()


@dataclass(frozen=True)
class Became:
    """What one setting became.

    Attributes:
        setting: Its dotted name in the other tool.
        value: What it was; of one that was not given, the tool's default.
        became: The setting here with its value, or why there is none.
        note: What differs.
        given: False where the tool's default was taken.
    """

    setting: str
    value: Any
    became: str
    note: str = ""
    given: bool = True


@dataclass(frozen=True)
class Imported:
    """A hardware from another tool's settings.

    Attributes:
        hardware: The description.
        rows: What became of every setting.
        tool: Whose they were.
    """

    hardware: Hardware
    rows: tuple[Became, ...]
    tool: str

    def __str__(self) -> str:
        elsewhere = [r for r in self.rows if r.became == ELSEWHERE]
        shown = [(r.setting, _short(r.value) + ("" if r.given else " (default)"), r.became, r.note)
                 for r in self.rows if r.became != ELSEWHERE]  # fmt: skip
        for note in dict.fromkeys(r.note for r in elsewhere):
            names = [r.setting for r in elsewhere if r.note == note]
            heads = dict.fromkeys(n.partition(".")[0] for n in names)
            few = (
                ", ".join(names)
                if len(names) < 4
                else ", ".join(heads)
                if len(heads) < 9
                else f"{', '.join(list(heads)[:8])}, …"
            )
            shown.append((few if len(few) < 60 else f"{len(names)} settings", f"({len(names)})", ELSEWHERE, note))
        widths = [max(len(row[i]) for row in [("setting", "value", "became", ""), *shown]) for i in range(3)]
        head = ("setting", "value", "became", "note")
        lines = ["  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]).rstrip()
                 for row in [head, *shown]]  # fmt: skip
        return "\n".join(lines)


class Settings:
    """The settings of a tool, taken one by one.

    Args:
        data: Nested mapping.
        tool: Whose they are.
        without: Names, with * as a wildcard, of settings that may be left out where they have no meaning here.
    """

    def __init__(self, data: Mapping[str, Any], tool: str, without: Iterable[str] = ()) -> None:
        self.tool = tool
        self._values = dict(_flat(data, ""))
        self._without = tuple(without)
        self._taken: set[str] = set()
        self._refused: list[tuple[str, str]] = []
        self.rows: list[Became] = []
        for pattern in self._without:
            if not any(fnmatchcase(name, pattern) for name in self._values):
                raise WrongSetting(
                    f"there is no setting '{pattern}' to leave out", "give names as the file has them", path="without"
                )

    def take(self, name: str, default: Any = None) -> Any:
        """The value of a setting, or its default; `became` or `refuse` says what happens to it."""
        self._taken.add(name)
        value = self._values.get(name, default)
        return default if value is None and default is not None and isinstance(default, (bool, int, float)) else value

    def number(self, name: str, default: float = 0.0) -> float:
        """`take` of a number.

        Raises:
            WrongSetting: It is no number.
        """
        return self._number(name, self.take(name, default))

    def optional(self, name: str) -> float | None:
        """`number` that may be missing."""
        return None if self.take(name) is None else self.number(name)

    def numbers(self, name: str) -> list[float] | None:
        """`take` of a list of numbers that may be missing.

        Raises:
            WrongSetting: It is none.
        """
        values = self.take(name)
        if values is not None and not isinstance(values, (list, tuple)):
            raise WrongSetting(f"{name} = {_short(values)!r} is no list", "give a list of numbers", path=self.tool)
        return None if values is None else [self._number(name, value) for value in values]

    def _number(self, name: str, value: Any) -> float:
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):  # JSON has whole numbers of any length
            found = math.nan
        if math.isnan(found):
            raise WrongSetting(f"{name} = {_short(value)!r} is no number", "give a number", path=self.tool)
        return found

    def whole(self, name: str, default: int = 0) -> int:
        """`take` of a whole number.

        Raises:
            WrongSetting: It is none.
        """
        found = self.number(name, default)
        if not found.is_integer():
            raise WrongSetting(f"{name} = {found:g} is no whole number", "give a whole number", path=self.tool)
        return int(found)

    def switch(self, name: str, default: bool = False) -> bool:
        """`take` of true or false, or of 1 or 0.

        Raises:
            WrongSetting: It is neither.
        """
        value = self.take(name, default)
        if not isinstance(value, (bool, int)) or value not in (0, 1):
            raise WrongSetting(f"{name} = {_short(value)!r} is no switch", "give true or false", path=self.tool)
        return bool(value)

    def like(self, name: str, default: Any) -> Any:
        """`take`; where the default is a number or a switch, one of its kind.

        Raises:
            WrongSetting: It is none.
        """
        if isinstance(default, bool):
            return self.switch(name, default)
        if not isinstance(default, (int, float)):
            return self.take(name, default)
        return self.whole(name, default) if isinstance(default, int) else self.number(name, default)

    def given(self, name: str) -> bool:
        """Whether it stands in the file."""
        return name in self._values

    def under(self, prefix: str, known: Iterable[str] = ()) -> list[str]:
        """Names of the settings below a prefix, without those that look like one of `known` misspelled: `finish` refuses them,
        and a value where a section is due."""
        empty = [prefix] if self._values.get(prefix, "") in (None, {}) else []
        found = empty + [name for name in self._values if name.startswith(f"{prefix}.")]
        return [name for name in found if not _misspelled(name.rpartition(".")[2], tuple(known))]

    def became(self, name: str, what: str, note: str = "", default: Any = _MISSING) -> None:
        """Note what a setting became; one that is not in the file is noted where its default is told."""
        self._taken.add(name)
        if name in self._values:
            self.rows.append(Became(name, self._values[name], what, note))
        elif default is not _MISSING:
            self.rows.append(Became(name, default, what, note, given=False))

    def elsewhere(self, prefix: str, note: str, *, alone: bool = False) -> None:
        """Everything below a prefix is no property of a chip; nor is its own value, where it may have one `alone`."""
        own = [prefix] if alone and self.given(prefix) else []
        for name in dict.fromkeys(own + self.under(prefix)):
            if name not in self._taken:
                self.became(name, ELSEWHERE, note)

    def off(self, name: str, neutral: Any, why: str, default: Any = _MISSING) -> None:
        """A setting that has no meaning here: fine at its neutral value (or one of several), refused at any other."""
        fine = neutral if isinstance(neutral, tuple) else (neutral,)
        value = self.take(name, fine[0] if default is _MISSING else default)
        if any(value == f or (value is None and f is None) for f in fine):
            self.became(name, OFF)
        else:
            self.refuse(name, why)

    def refuse(self, name: str, why: str) -> None:
        """A setting cannot be had here, unless it is to be left out."""
        self._taken.add(name)
        if any(fnmatchcase(name, pattern) for pattern in self._without):
            self.became(name, LEFT, why)
        else:
            self._refused.append((name, f"{name} = {_short(self._values.get(name))}: {why}"))

    def finish(self) -> None:
        """Refuse everything that has no meaning here, all of it at once.

        Raises:
            WrongSetting: Some setting is not known, or cannot be had.
        """
        for name in self._values:
            if name not in self._taken:
                self.refuse(name, f"{self.tool} has no such setting that is known here")
        if self._refused:
            lines = "; ".join(text for _, text in self._refused)
            names = " ".join(f"--without {name}" for name, _ in self._refused[:3])
            raise WrongSetting(
                f"{len(self._refused)} setting{'s have' if len(self._refused) > 1 else ' has'} no meaning here: {lines}",
                f"change them there, or leave them out knowingly: without=[...] ({names})", path=self.tool,
            )  # fmt: skip


def _misspelled(key: str, known: tuple[str, ...]) -> bool:
    near = get_close_matches(key.lower(), [name.lower() for name in known], cutoff=0.8)
    return key not in known and bool(near)


def _flat(data: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."

"""`Registry`: where exchangeable parts of one family are found by name.

Cells, encodings, compensations, layers, tasks, recalibrations, injections, remedies and studies each have one. A part is
found in the built-in table, among those registered at run time, or under an entry point of the family's group, so that a
package of the user's adds one without touching `mho`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from mho.errors import WrongSetting

T = TypeVar("T")


@functools.cache
def plugged(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group; asking the installed packages takes milliseconds, so they are asked once."""
    return {point.name: point for point in entry_points(group=group)}


class Registry(Generic[T]):
    """The parts of one family, by name.

    Args:
        noun: What a member is called in messages ("cell").
        group: Entry-point group ("mho.cells").
        builtin: Name to ``"module:object"``; imported when first asked for.
    """

    def __init__(self, noun: str, group: str, builtin: Mapping[str, str]) -> None:
        self.noun, self.group = noun, group
        self._builtin = dict(builtin)
        self._registered: dict[str, T] = {}

    def register(self, part: T, name: str | None = None, *, replace: bool = False) -> T:
        """Add a part, under its ``kind`` where no name is given; also a class decorator.

        Args:
            part: The part.
            name: Under which it is found.
            replace: Take the place of another part of that name.

        Raises:
            WrongSetting: The name is another part's (a subclass inherits its parent's kind). A class that is defined again
                in the same place, as notebooks do, replaces itself.
        """
        name = _kind(part) if name is None else name
        found = None if replace else self.get(name)
        if found is not None and _place(found) != _place(part):
            raise WrongSetting(
                f"the {self.noun} '{name}' is there already ({'.'.join(_place(found))})",
                f"give {getattr(part, '__name__', 'it')} a kind of its own, or say register(..., replace=True)",
                path=name,
            )
        self._registered[name] = part
        return part

    def names(self) -> list[str]:
        """Every known name, built-in ones first."""
        return list(dict.fromkeys([*self._builtin, *self._registered, *plugged(self.group)]))

    def get(self, name: str) -> T | None:
        """The part of a name, or None."""
        if name in self._registered:
            return self._registered[name]
        if name in self._builtin:
            module, attribute = self._builtin[name].split(":")
            found: T = getattr(importlib.import_module(module), attribute)
            return found
        point = plugged(self.group).get(name)
        return None if point is None else point.load()

    def find(self, name: str) -> T:
        """The part of a name.

        Raises:
            WrongSetting: No such name; the message lists those there are.
        """
        found = self.get(name)
        if found is None:
            raise WrongSetting(
                f"unknown {self.noun} '{name}'",
                f"known: {', '.join(self.names())}; {self._own}",
            )
        return found

    @property
    def _own(self) -> str:
        """How to add a part, for messages."""
        table = self.group.rpartition(".")[2].upper()
        return f"add one of your own with {table}.register(part), or under the entry point group '{self.group}'"

    def parser(self) -> Callable[[Any], Any]:
        """Validator of a field that holds a part with a ``kind``: the part itself, its kind, or a mapping with a ``kind``."""

        def parse(value: Any) -> Any:
            if isinstance(value, str):
                value = {"kind": value}
            if not isinstance(value, dict):
                if hasattr(value, "kind"):
                    return self._known(value)
            elif "kind" in value:
                return self.find(str(value["kind"])).parse(value)  # type: ignore[attr-defined]
            raise WrongSetting(f"a {self.noun} needs a 'kind'", f"one of {', '.join(self.names())}; {self._own}")

        return parse

    def _known(self, part: Any) -> Any:
        """Refuses a part whose kind leads to another class: written down and read again it would become that one."""
        found: Any = self.get(part.kind)
        if found is not None and found is not type(part):
            raise WrongSetting(
                f"{type(part).__name__} has the kind '{part.kind}' of {found.__name__}",
                f"give it a kind of its own; {self._own}",
            )
        return part


def _place(part: Any) -> tuple[str, str]:
    """Module and name of where a class or function was written; of an object, those of its class and the object itself."""
    found = part if hasattr(part, "__qualname__") else type(part)
    return found.__module__, found.__qualname__


def _kind(part: Any) -> str:
    """Its class attribute ``kind``, or the default of its field ``kind``."""
    fields = getattr(part, "model_fields", {})
    return str(fields["kind"].default if "kind" in fields else part.kind)

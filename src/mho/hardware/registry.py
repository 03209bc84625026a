"""Families of exchangeable parts: cells, encodings, remedies.

A part is one class with a ``kind``; it is found in the built-in table, among the classes registered at run time, or
under an entry point of the family's group, so a package of the user's adds one without touching `mho`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from mho.errors import WrongSetting
from mho.hardware.spec import Spec

T = TypeVar("T", bound=Spec)


class Family(Generic[T]):
    """The parts of one family, by ``kind``.

    Args:
        noun: What a member is called in messages ("cell").
        group: Entry-point group ("mho.cells").
        builtin: ``kind`` to ``"module:Class"``; imported when first asked for.
    """

    def __init__(self, noun: str, group: str, builtin: dict[str, str]) -> None:
        self.noun, self.group = noun, group
        self._builtin = dict(builtin)
        self._registered: dict[str, type[T]] = {}

    def register(self, cls: type[T]) -> type[T]:
        """Class decorator that adds a part under its ``kind``."""
        self._registered[cls.model_fields["kind"].default] = cls
        return cls

    def kinds(self) -> list[str]:
        """Every known kind, built-in ones first."""
        plugged = [point.name for point in entry_points(group=self.group)]
        return list(dict.fromkeys([*self._builtin, *self._registered, *plugged]))

    def find(self, kind: str) -> type[T]:
        """The class of a kind.

        Raises:
            WrongSetting: No such kind; the message lists those there are.
        """
        if kind in self._registered:
            return self._registered[kind]
        if kind in self._builtin:
            module, name = self._builtin[kind].split(":")
            return getattr(importlib.import_module(module), name)
        for point in entry_points(group=self.group, name=kind):
            return point.load()
        raise WrongSetting(
            f"unknown {self.noun} '{kind}'",
            f"known: {', '.join(self.kinds())}; a new one is a class registered under the entry point group '{self.group}'",
        )

    def parser(self) -> Callable[[Any], Any]:
        """Validator for a field that holds a member: a member itself, a kind, or a mapping with a ``kind``."""

        def parse(value: Any) -> Any:
            if isinstance(value, Spec):
                return value
            if isinstance(value, str):
                value = {"kind": value}
            if not isinstance(value, dict) or "kind" not in value:
                raise WrongSetting(f"a {self.noun} needs a 'kind'", f"one of {', '.join(self.kinds())}")
            return self.find(str(value["kind"])).parse(value)

        return parse

"""Things named by a string: ``target?key=value&key=value``."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mho.errors import WrongSetting

Value = int | float | bool | str
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


class Spec(NamedTuple):
    """A parsed string.

    Attributes:
        target: What stands before the question mark.
        options: Keyword arguments.
    """

    target: str
    options: dict[str, Value]

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Split a string into target and options; values are read as YAML reads them.

        Raises:
            WrongSetting: No target, or options that are not ``key=value`` pairs with different keys.
        """
        if not isinstance(text, str):
            raise WrongSetting(f"{text!r} is no name", "write target?key=value&key=value")
        target, _, query = text.strip().partition("?")
        if not target:
            raise WrongSetting(f"'{text}' names nothing", "write target?key=value&key=value")
        options: dict[str, Value] = {}
        for pair in query.split("&") if query else ():
            key, equals, value = pair.partition("=")
            if not (key.isidentifier() and equals and value):
                raise WrongSetting(f"'{pair}' in '{text}' is no option", "write target?key=value&key=value")
            if key in options:
                raise WrongSetting(f"'{key}' is given twice in '{text}'", "give it once")
            options[key] = value_of(value)
        return cls(target, options)


def value_of(text: str) -> Value:
    """A value as YAML reads it, and numbers such as 1e-3 as numbers."""
    if _EXPONENT.fullmatch(text):  # YAML 1.1 takes 1e-3 for a word.
        return float(text)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, (bool, int, float)) and ":" not in text else text


def call(factory: Callable[..., Any], options: Mapping[str, Value], *, name: str) -> Any:
    """Call a factory after checking the options against its signature.

    Args:
        factory: Function or class with named arguments.
        options: Keyword arguments.
        name: How messages call it.

    Raises:
        WrongSetting: An unknown option, or one that is missing.
    """
    parameters = inspect.signature(factory).parameters.values()
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = {p.name: p for p in parameters if p.kind in kinds}
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    unknown = [key for key in options if key not in named]
    if unknown and not takes_any:
        valid = f"valid options are {', '.join(named)}" if named else "it takes no options"
        raise WrongSetting(f"unknown option {', '.join(map(repr, unknown))}", valid, path=name)
    missing = [key for key, p in named.items() if p.default is p.empty and key not in options]
    if missing:
        asked = "&".join(f"{key}=…" for key in missing)
        raise WrongSetting(f"{', '.join(map(repr, missing))} must be given", f"write {name}?{asked}", path=name)
    return factory(**options)


def find_factory(target: str) -> Callable[..., Any]:
    """The callable that ``package.module:name`` names; modules of the current folder are found too.

    Raises:
        WrongSetting: There is no such module or callable.
    """
    module_name, _, name = target.partition(":")
    try:
        found: Any = _import(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise WrongSetting(
            f"there is no module '{error.name}'",
            "write package.module:factory with a module that is installed or lies in the current folder",
            path=target,
        ) from None
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        public = [key for key, value in vars(_import(module_name)).items() if callable(value) and key[0] != "_"]
        raise WrongSetting(
            f"module '{module_name}' has no callable '{name}'",
            f"callables there are {', '.join(public[:12]) or 'none'}",
            path=target,
        )
    return found


def _import(module: str) -> Any:
    if not all(part.isidentifier() for part in module.split(".")):
        raise ModuleNotFoundError(f"'{module}' is no name of a module", name=module)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        here = str(Path.cwd())
        if error.name != module.partition(".")[0] or here in sys.path:
            raise
        # Like `python -m`: a console script's search path does not have the folder that it is called from.
        sys.path.append(here)
        return importlib.import_module(module)

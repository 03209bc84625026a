"""`import_hardware`: another tool's settings as a `Hardware`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mho.arguments import many, one_of
from mho.errors import BadInput, WrongSetting
from mho.exchange.aihwkit import from_aihwkit
from mho.exchange.aihwkit_default import plain
from mho.exchange.crosssim import from_crosssim
from mho.exchange.neurosim import arguments, from_neurosim
from mho.exchange.settings import Imported

TOOLS: dict[str, Callable[..., Imported]] = {
    "crosssim": from_crosssim,
    "neurosim": from_neurosim,
    "aihwkit": from_aihwkit,
}
"""Every tool whose settings can be read."""


def import_hardware(source: Any, tool: str, *, name: str | None = None, without: Iterable[str] = ()) -> Imported:
    """A hardware from another tool's settings, with a table of what each became.

    Every setting becomes one of a `Hardware`, is told to be off or not of a chip, or is refused by name: none is ignored.

    Args:
        source: Of ``crosssim`` its parameters as JSON; of ``neurosim`` its arguments as JSON, command line, or the lines of its
            log; of ``aihwkit`` the fields of an `InferenceRPUConfig` as JSON. A file, or the mapping itself; of ``aihwkit`` also
            the object, and `mho.exchange.plain` gives what belongs into a file.
        tool: ``crosssim``, ``neurosim`` or ``aihwkit``.
        name: Of the hardware; by default the file's.
        without: Names of settings, with * as a wildcard, that are left out where they have no meaning here.

    Raises:
        BadInput: The file cannot be read.
        WrongSetting: An unknown tool, or settings that have no meaning here, all of them by name.
    """
    one_of(tool, "tool", TOOLS)
    stem = Path(source).stem if isinstance(source, (str, Path)) else tool
    data = _read(Path(source), tool) if isinstance(source, (str, Path)) else source
    if tool == "aihwkit" and not isinstance(data, Mapping):
        data = plain(data)
    if not isinstance(data, Mapping) or not data:
        raise WrongSetting(
            f"settings of {tool} are a {type(data).__name__}",
            "give a file, or a mapping of names to values",
            path="source",
        )
    return TOOLS[tool](data, name=name or stem, without=tuple(map(str, many(without, "without"))))


def _read(path: Path, tool: str) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read it ({error.strerror})", "give the path of a file", path=str(path)) from None
    except UnicodeDecodeError:
        raise BadInput("is no text", "give settings as JSON", path=str(path)) from None
    if tool == "neurosim" and not text.lstrip().startswith("{"):
        return arguments(text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInput(f"is no JSON ({error})", f"give the settings of {tool} as JSON", path=str(path)) from None

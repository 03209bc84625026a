"""`render`: a page that is one file, opens without a network and runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_NARROW = 44
"""Letters of a line of a command, beyond which it is folded."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: What it says.
        under: What stands below it, smaller: an interval.
        sort: By what its column is sorted; by default the first number in it, or its text.
    """

    text: str
    under: str = ""
    sort: float | None = None


@dataclass(frozen=True)
class Head:
    """The head of a column.

    Args:
        text: What it says.
        kind: ``number``, ``text``, or ``wrap`` for text of several lines.
    """

    text: str
    kind: str = "number"


@dataclass(frozen=True)
class Row:
    """A row of a table: its cells, how it looks (``off``: grey; ``best``), and the point of a sweep that it shows."""

    cells: Sequence[str | Cell]
    look: str = ""
    point: int | None = None


@dataclass(frozen=True)
class Table:
    """A table with the meaning of its columns."""

    heads: Sequence[Head]
    rows: Sequence[Row]
    glossary: Sequence[tuple[str, str]] = ()


def render(template: str, **values: Any) -> str:
    """A page from a template of this folder."""
    style, script = _file("style.css"), _file("page.js")
    return (
        _environment()
        .get_template(template)
        .render(style=Markup(style), script=Markup(script), policy=policy(), **values)
    )


def policy() -> str:
    """The Content-Security-Policy: nothing is fetched, and no script runs but the one with this hash."""
    digest = base64.b64encode(hashlib.sha256(_file("page.js").encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _file(name: str) -> str:
    return files("mho.reports").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mho.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"unbroken": unbroken, "folded": folded, "cell": _cell}
    return environment


def _cell(value: str | Cell) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def unbroken(text: str) -> str:
    """No line ends inside a number with its unit or its interval."""
    text = re.sub(r"(?<=\d) (?=%|\[|(?:s|min|h|days?|months?|years?|points?|nats?)\b)", "\u00a0", text)
    return re.sub(r"(?<=%) (?=\[)|(?<=,) (?=[\d.+−-]+\])", "\u00a0", text)


def folded(command: str) -> str:
    """A long shell command on several lines, one an option; it means the same."""
    if len(command) <= _NARROW or "\n" in command:
        return command
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    lines: list[list[str]] = [[]]
    for word in words:
        if word.startswith("--") and lines[-1]:
            lines.append([])
        lines[-1].append(word)
    return " \\\n    ".join(shlex.join(line) for line in lines)


def capital(text: str) -> str:
    """The text with a capital letter first."""
    return text[:1].upper() + text[1:]


def split(text: str) -> tuple[str, str]:
    """``"92.3 % [92.0, 92.6]"`` as value and interval."""
    value, bracketed, rest = text.partition(" [")
    return value, f"[{rest}" if bracketed else ""


def stacked(text: str, sort: float | None = None) -> Cell:
    """A value above its interval."""
    return Cell(*split(text), sort)

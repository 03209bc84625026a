"""What is said when Ctrl-C ends a command: what it interrupted, what is kept, and how to go on."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from mho.errors import MhoError
from mho.progress import interrupted

_kept: list[tuple[str, Path | str]] = []


def keeps(what: str, place: Path | str) -> None:
    """Note what the command that is running keeps in which place while it runs.

    Args:
        what: In the plural: "finished chips".
        place: The folder, or the URL of a ledger.
    """
    _kept[:] = [(what, place)]


def command() -> str:
    """What was typed, without the password of a URL."""
    parts = [re.fullmatch(r"(--[a-z]+=)?(postgres(?:ql)?://.*)", word, re.DOTALL) for word in sys.argv[1:]]
    shown = [
        f"{part[1] or ''}{_shown(part[2])}" if part else word for word, part in zip(sys.argv[1:], parts, strict=True)
    ]
    return shlex.join(["mho", *shown])


def message() -> str:
    """What was interrupted, what is kept, and how to go on."""
    step = interrupted()
    at = "before its work had begun" if step is None else f"during {step}"
    lines = [f"stopped {at}"]
    if _kept and (found := _something(_kept[0][1])):
        what, place = _kept[0]
        lines += [f"kept: {what} in {_shown(place)} ({found})", f"the same command goes on from there: {command()}"]
    else:
        lines.append(f"nothing is kept yet; the same command begins anew: {command()}")
    return "\n".join(lines)


def _shown(place: Path | str) -> str:
    """A place for people: no password."""
    if isinstance(place, Path):
        return str(place)
    from mho.sweeps.postgres import Address

    try:
        return Address(place).shown
    except MhoError:
        return "…"


def _something(place: Path | str) -> str:
    """Trials, rows, checkpoints and partial downloads that are there, in words; empty for none."""
    return _in_folder(place) if isinstance(place, Path) else _in_database(place)


def _in_database(url: str) -> str:
    from mho.sweeps.ledger import Ledger

    try:
        return f"{Ledger(Path(), url).counts()['done']} trials" if Ledger.exists(Path(), url) else ""
    except MhoError:
        return "how many cannot be seen now"


def _in_folder(folder: Path) -> str:
    rows = sum(file.read_bytes().count(b"\n") for file in folder.rglob("rows.jsonl"))
    checkpoints = len([*folder.rglob("*.ckpt")])
    parts = [f"{rows} rows"] if rows else []
    parts += ["a sweep"] if [*folder.rglob("sweep.sqlite")] else []
    parts += [f"{checkpoints} checkpoint{'s' * (checkpoints > 1)}"] if checkpoints else []
    fetched = sum(file.stat().st_size for file in folder.rglob("*.part"))
    parts += [f"{fetched / 1e6:.1f} MB"] if fetched else []
    return ", ".join(parts)

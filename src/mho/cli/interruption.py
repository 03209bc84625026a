"""What is said when Ctrl-C ends a command: what it interrupted, what is kept, and how to go on."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from mho.progress import interrupted

_kept: list[tuple[str, Path]] = []


def keeps(what: str, folder: Path) -> None:
    """Note what the command that is running keeps in which folder while it runs.

    Args:
        what: In the plural: "finished chips".
        folder: Where.
    """
    _kept[:] = [(what, folder)]


def command() -> str:
    """What was typed."""
    return shlex.join(["mho", *sys.argv[1:]])


def message() -> str:
    """What was interrupted, what is kept, and how to go on."""
    step = interrupted()
    at = "before its work had begun" if step is None else f"during {step}"
    lines = [f"stopped {at}"]
    if _kept and (found := _something(_kept[0][1])):
        what, folder = _kept[0]
        lines += [f"kept: {what} in {folder} ({found})", f"the same command goes on from there: {command()}"]
    else:
        lines.append(f"nothing is kept yet; the same command begins anew: {command()}")
    return "\n".join(lines)


def _something(folder: Path) -> str:
    """Rows, checkpoints and partial downloads that are there, in words; empty for none."""
    rows = sum(file.read_bytes().count(b"\n") for file in folder.rglob("rows.jsonl"))
    checkpoints = len([*folder.rglob("*.ckpt")])
    parts = [f"{rows} rows"] if rows else []
    parts += ["a sweep"] if [*folder.rglob("sweep.sqlite")] else []
    parts += [f"{checkpoints} checkpoint{'s' * (checkpoints > 1)}"] if checkpoints else []
    fetched = sum(file.stat().st_size for file in folder.rglob("*.part"))
    parts += [f"{fetched / 1e6:.1f} MB"] if fetched else []
    return ", ".join(parts)

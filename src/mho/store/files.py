"""Files that are either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mho.errors import BadInput, WrongSetting


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file to write; where that succeeds it takes the place of `path`, on the disk, in one move."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        _sync(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)  # the move itself, too, is to survive a loss of power


def readable(text: str) -> str:
    """Text that every encoding of Unicode takes.

    Python holds bytes of arguments and file names that its locale cannot read as lone surrogates; in the C locale these are
    all that is not ASCII. They are read as UTF-8; what is not even that becomes U+FFFD.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whatever file names it has in it."""
    path.write_text(readable(text), encoding="utf-8")


def probe(directory: Path) -> None:
    """Make a directory and try to write in it; leaves no file.

    Raises:
        OSError: It cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f".probe.{os.getpid()}"
    file.touch()
    file.unlink()


def writable(directory: Any, path: str = "out") -> Path | None:
    """A folder for results, tried before any work is done; one that was not there is not there afterwards. None is none.

    Args:
        directory: What was given.
        path: Name of the argument.

    Raises:
        WrongSetting: It is no path.
        BadInput: It cannot be written.
    """
    if directory is None:
        return None
    if not isinstance(directory, (str, Path)) or not str(directory):
        raise WrongSetting(f"{path} = {directory!r}", "give the path of a folder", path=path)
    there = Path(directory).exists()
    try:
        probe(Path(directory))
        if not there:  # what may be refused for another reason yet leaves no folder behind
            Path(directory).rmdir()
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(f"cannot write results: {reason}", f"give another {path}", path=str(directory)) from error
    return Path(directory)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mho.errors import BadInput, WrongSetting

_FULL = ("No space left on device", "PytorchStreamWriter failed", "File too large")
"""What libraries say in exceptions of their own when a disk is full."""


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file to write; where that succeeds it takes the place of `path`, on the disk, in one move.

    Behind a symbolic link it is the file that the link names.

    Raises:
        OSError: It cannot be written, whichever library was writing; or at `path` is something else than a file.
    """
    path = _file(path)
    part = path.with_name(f".{path.name}.part")
    try:
        part.touch()
        mode = part.stat().st_mode  # libraries that write private files of their own leave theirs
        yield part
        part.chmod(stat.S_IMODE(mode))
        _sync(part)
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if not isinstance(error, OSError) and any(words in str(error) for words in _FULL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
    _sync(path.parent)  # the move itself, too, is to survive a loss of power


def _file(path: Path) -> Path:
    """The file that a path names, behind links.

    Raises:
        OSError: There is something else.
    """
    real = Path(os.path.realpath(path))
    if real.is_dir() or not real.name:
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    if real.exists() and not real.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return real


def writable_file(path: Path, name: str) -> Path:
    """A file for results, tried before any work is done.

    Args:
        path: What was given.
        name: Of the argument.

    Raises:
        BadInput: It cannot be written, or is no file.
    """
    try:
        writable(_file(path).parent, name)
    except OSError as error:
        raise BadInput(
            f"cannot be written: {error.strerror}", f"give {name} the path of a file", path=str(path)
        ) from error
    return path


def readable(text: str) -> str:
    """Text that every encoding of Unicode takes.

    Python holds bytes of arguments and file names that its locale cannot read as lone surrogates; in the C locale these are
    all that is not ASCII. They are read as UTF-8; what is not even that becomes U+FFFD.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, as a whole, whatever file names it has in it."""
    with replaced(path) as part:
        part.write_text(readable(text), encoding="utf-8")


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

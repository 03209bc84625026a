"""Locks on files. One writer a folder: two commands in one `--out` would cost hours before the second one found out."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mho.errors import BadInput, BadResults

_FILE = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)
"""What file systems without locks answer: work goes on, and what is written is checked as it is without a lock."""


def take(path: Path) -> FileLock | None:
    """Lock a file, made where it is not there; None where somebody else holds it.

    The operating system lets go of the lock when the process ends, however it ends; the file stays. On a file system without
    locks nothing is held, and ``is_locked`` says so.

    Raises:
        OSError: The file cannot be written.
    """
    lock = FileLock(path, timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    except NotImplementedError:  # filelock without flock
        pass
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return lock


@contextmanager
def alone(directory: str | Path | None) -> Iterator[None]:
    """Hold a folder for this process; None is no folder.

    Raises:
        BadResults: Somebody else holds it.
        BadInput: The folder cannot be written.
    """
    if directory is None:
        yield
        return
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        lock = take(Path(directory) / _FILE)
    except OSError as error:
        problem = f"cannot write results: {error.strerror or error}"
        raise BadInput(problem, "give another --out", path=str(directory)) from error
    if lock is None:
        problem = "another process, or another call in this one, is writing into this folder"
        raise BadResults(problem, "wait until it ends, or give another --out", path=str(directory))
    try:
        yield
    finally:
        lock.release()


def check_free(directory: Path | None) -> Path | None:
    """The folder, unless somebody holds it: for saying so before any work is done.

    Raises:
        BadResults: Somebody holds it.
    """
    if directory is not None and (directory / _FILE).exists():
        with alone(directory):
            pass
    return directory

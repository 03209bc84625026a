"""Who works on a sweep: a locked file for each worker. The system lets go of the lock when its process ends, however it ends."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from types import TracebackType

FOLDER = "owners"


class Owner:
    """A worker's claim to be alive; a context in which the lock is held.

    Args:
        folder: The sweep's.
        name: As `new_name` gives it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path, self.name = folder / FOLDER / name, name
        self._file: int | None = None

    def __enter__(self) -> Owner:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT)
        _lock(self._file)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._file)


def new_name() -> str:
    """A name that no other worker has."""
    return uuid.uuid4().hex[:12]


def alive(folder: Path, name: str) -> bool:
    """Whether the process behind a name still runs; the file of one that does not is removed."""
    path = folder / FOLDER / name
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        if not _lock(file):
            return True
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(file)


def _lock(file: int) -> bool:
    """Lock a file, if nobody else has."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

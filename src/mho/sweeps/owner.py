"""Who works on a sweep: a locked file for each worker. The system lets go of the lock when its process ends, however it ends."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mho.errors import BadInput
from mho.store.lock import take

FOLDER = "owners"
_LOOKS, _LOOK_S = 100, 0.01


@contextmanager
def owner(folder: Path, name: str) -> Iterator[None]:
    """Inside the block a worker is alive.

    Args:
        folder: The sweep's.
        name: As `new_name` gives it.

    Raises:
        BadInput: The folder cannot be written, or another worker has the name.
    """
    path = folder / FOLDER / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = take(path)
        for _ in range(_LOOKS):  # nobody else has the name: who has the file only looks whether its owner is alive
            if lock is None:
                time.sleep(_LOOK_S)
                lock = take(path)
    except OSError as error:
        raise BadInput(
            f"cannot be written: {error.strerror or error}", "make room, or give another out", path=str(path)
        ) from error
    if lock is None:
        raise BadInput(f"another worker is called '{name}'", "give a name that no other one has", path=str(path))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def new_name() -> str:
    """A name that no other worker has."""
    return uuid.uuid4().hex[:12]


def alive(folder: Path, name: str) -> bool:
    """Whether the process behind a name still runs; the file of one that does not is removed.

    On a file system without locks nobody can know: there every worker counts as alive.
    """
    path = folder / FOLDER / name
    if not path.exists():
        return False
    lock = take(path)
    if lock is None or not lock.is_locked:
        return True
    path.unlink(missing_ok=True)
    lock.release()
    return False


def present(folder: Path) -> int:
    """Workers that are alive."""
    return sum(alive(folder, path.name) for path in [*(folder / FOLDER).glob("*")])

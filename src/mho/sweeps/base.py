"""`Base`: the database under a ledger; `FileBase`: the SQLite file of a folder, the default."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from mho.errors import BadInput, BadResults, MhoError
from mho.sweeps import owner
from mho.sweeps.schema import TABLES, view

FILE = "sweep.sqlite"
_WAIT_S = 60.0
Values: TypeAlias = "Sequence[Any] | Mapping[str, Any]"


class Base(Protocol):
    """A database that several processes write; queries are those that SQLite and PostgreSQL both understand.

    Attributes:
        where: What people read of the place.
        far: Whether the trained weights are in the database, too, for workers elsewhere.
        another: What to do where another sweep has the place.
    """

    where: str
    far: bool
    another: str

    def execute(self, query: str, values: Values = ()) -> Any:
        """A cursor with what a query finds; values stand for ``?`` or ``:name``."""

    def executemany(self, query: str, values: Sequence[Values]) -> Any:
        """Do the same with each."""

    def writing(self) -> AbstractContextManager[None]:
        """Inside the block this process alone writes; at its end all is there, or nothing."""

    def told(self) -> AbstractContextManager[None]:
        """Inside the block errors of the database are those of `mho`."""

    def owning(self, name: str) -> AbstractContextManager[None]:
        """Inside the block a worker of that name is alive."""

    def alive(self, name: str) -> bool:
        """Whether it is; nobody is after `kill -9`."""

    def present(self) -> int:
        """Workers that are alive."""

    def close(self) -> None:
        """Let go of it."""


class FileBase:
    """The file in a sweep's folder.

    Raises:
        BadInput: There is no sweep.
        BadResults: The file is damaged.
    """

    far: bool = False
    another = "give another out, or remove this folder"

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / FILE
        self.where = str(self.path)
        if not self.path.is_file():
            raise BadInput("there is no sweep here", f"give the folder that holds {FILE}", path=str(folder))
        if not self.path.stat().st_size:
            raise BadResults("it is empty", "remove it, and the same command begins the sweep", path=self.where)
        with self.told():
            self._connection = _open(self.path)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a sweep is there."""
        return (folder / FILE).exists()

    @classmethod
    def create(
        cls, folder: Path, factors: Sequence[str], costs: Sequence[str], fill: Callable[[Any], None]
    ) -> FileBase:
        """Make the tables and fill them, as a whole; where another process has just done so, its are taken.

        Raises:
            BadInput: It cannot be written.
        """
        part = folder / f".{FILE}.{time.time_ns()}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(part)
            connection.row_factory = sqlite3.Row
            try:
                connection.executescript(f"{TABLES}{view(factors, costs)};")
                fill(connection)
                connection.commit()
            finally:
                connection.close()
            with suppress(FileExistsError):  # another process has begun the same sweep a moment ago
                os.link(part, folder / FILE)
        except (OSError, sqlite3.Error) as error:
            raise BadInput(f"cannot be written: {error}", "make room, or give another out", path=str(folder)) from error
        finally:
            part.unlink(missing_ok=True)
        return cls(folder)

    def execute(self, query: str, values: Values = ()) -> sqlite3.Cursor:
        """See `Base`."""
        return self._connection.execute(query, values)

    def executemany(self, query: str, values: Sequence[Values]) -> sqlite3.Cursor:
        """See `Base`."""
        return self._connection.executemany(query, values)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `Base`."""
        with self.told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk has ended the transaction already
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def told(self) -> Iterator[None]:
        """See `Base`."""
        try:
            yield
        except sqlite3.IntegrityError:  # rows that contradict each other: no damage of the file
            raise
        except sqlite3.OperationalError as error:
            raise BadInput(
                f"the ledger cannot be used: {error}", "make room, or see who holds it; the same command goes on",
                path=self.where,
            ) from error  # fmt: skip
        except (sqlite3.DatabaseError, ValueError) as error:
            if isinstance(error, MhoError):
                raise
            raise BadResults(
                f"it is damaged ({error})", "restore it, or begin anew: give another out", path=self.where
            ) from error

    def owning(self, name: str) -> AbstractContextManager[None]:
        """See `Base`."""
        return owner.owner(self.folder, name)

    def alive(self, name: str) -> bool:
        """See `Base`."""
        return owner.alive(self.folder, name)

    def present(self) -> int:
        """See `Base`."""
        return owner.present(self.folder)

    def close(self) -> None:
        """See `Base`."""
        self._connection.close()


def _open(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    base.row_factory = sqlite3.Row
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = NORMAL")
    return base

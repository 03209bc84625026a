"""`PostgresBase`: a ledger in a PostgreSQL database, for workers on several machines. One sweep is one schema of its own."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from mho._optional import require
from mho.errors import BadInput, BadResults, WrongSetting
from mho.sweeps.base import Values
from mho.sweeps.schema import TABLES, view

_FORM = "postgresql://USER@HOST/DATABASE#SWEEP"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LONGEST = 63
"""Bytes of a column's name; PostgreSQL cuts what is longer."""
_PATIENCE = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
"""A machine that is gone is noticed within a minute, on either side."""
_PIECES = "CREATE TABLE pieces (key TEXT PRIMARY KEY, content BYTEA NOT NULL);"


def is_url(place: object) -> bool:
    """Whether a ledger is given by a URL, and not by a folder."""
    return isinstance(place, str) and "://" in place


class Address:
    """What a URL says.

    Args:
        url: As ``postgresql://USER@HOST/DATABASE#SWEEP``; without ``#SWEEP`` the sweep is called "sweep".

    Attributes:
        name: Of the sweep.
        schema: Where its tables are.
        server: What psycopg connects to.
        shown: The URL without a password.

    Raises:
        WrongSetting: It is no such URL. The message holds nothing of it but the scheme: any other part may be of a password.
    """

    def __init__(self, url: str) -> None:
        scheme = url.partition("://")[0]
        if scheme not in ("postgresql", "postgres"):
            raise WrongSetting(f"unknown ledger '{scheme}://'", f"give {_FORM}, or a folder", path="ledger")
        server, _, name = url.partition("#")
        self.name = name if "#" in url else "sweep"
        try:
            parts = urlsplit(server)
            readable = parts.port != -1 and parts.path.strip("/") and _NAME.fullmatch(self.name)
        except ValueError:  # no number of a port
            readable = False
        # A second @, and what libpq refuses with a message that repeats it, may be of a password.
        if (
            not readable
            or server.count("@") > ("@" in parts.netloc)
            or re.search(r"%(?![0-9A-Fa-f]{2})|%00|\s", server)
        ):
            raise WrongSetting(
                "the URL cannot be read",
                f"give {_FORM}: the sweep's name of small letters, digits and _; other characters of a password as %XX",
                path="ledger",
            )
        user, at, host = parts.netloc.rpartition("@")
        query = "&".join(part for part in parts.query.split("&") if "password" not in unquote(part.partition("=")[0]))
        netloc = f"{user.partition(':')[0]}{at}{host}"
        self.server, self.schema = server, f"mho_{self.name}"
        self.shown = urlunsplit(parts._replace(netloc=netloc, query=query)) + f"#{self.name}"


class PostgresBase:
    """The schema of a sweep in a database.

    Args:
        url: As `Address` has it.

    Raises:
        BadInput: No server, no such database, no rights, a wrong password; there is no sweep.
        BadResults: The schema holds something else.
        MissingExtra: psycopg is not installed.
        WrongSetting: The URL cannot be read.
    """

    far: bool = True
    another = "name another sweep: #NAME at the end of the URL"

    def __init__(self, url: str) -> None:
        self._begin(url)
        with self.told():
            tables = self._tables()
        if not tables:
            raise BadInput("there is no sweep of that name", "see the name after '#'", path=self.where)
        self._check(tables)

    def _begin(self, url: str) -> None:
        self._connection: Any = None
        self.address = Address(url)
        self.where = self.address.shown
        psycopg: Any = require("psycopg", extra="postgres", for_what="a ledger by URL")
        self._errors = psycopg
        try:
            self._connection = psycopg.connect(
                self.address.server, autocommit=True, row_factory=psycopg.rows.dict_row, **_PATIENCE
            )
            self._connection.execute(f"SET search_path TO {self.address.schema}")
        except psycopg.Error as error:
            raise BadInput(
                f"the server cannot be used: {_first_line(error)}", "see that it runs, and host, database, user and password "
                "(best in ~/.pgpass or PGPASSWORD)", path=self.where,
            ) from None  # fmt: skip

    @staticmethod
    def exists(url: str) -> bool:
        """Whether a sweep is there.

        Raises:
            BadInput, BadResults, MissingExtra, WrongSetting: As `PostgresBase` itself.
        """
        base = object.__new__(PostgresBase)
        base._begin(url)
        try:
            with base.told():
                tables = base._tables()
            if tables:
                base._check(tables)
            return bool(tables)
        finally:
            base.close()

    def _tables(self) -> set[str]:
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = ?"
        return {row["table_name"] for row in self.execute(query, (self.address.schema,)).fetchall()}

    def _check(self, tables: set[str]) -> None:
        if not {"meta", "jobs", "trials", "epochs", "rows", "pieces"} <= tables:
            self.close()
            what = f"the schema '{self.address.schema}' holds other tables"
            raise BadResults(what, self.another, path=self.where)

    @classmethod
    def create(
        cls, url: str, factors: Sequence[str], costs: Sequence[str], fill: Callable[[Any], None]
    ) -> PostgresBase:
        """Make the schema and its tables and fill them, as a whole; where another process has just done so, its are taken.

        Raises:
            BadInput: It cannot be written.
        """
        if long := [name for name in (*factors, *costs) if len(name.encode()) > _LONGEST]:
            what = f"'{long[0]}' is too long for the name of a column ({_LONGEST} bytes)"
            raise BadInput(what, "keep this sweep in a folder", path=Address(url).shown)
        base = object.__new__(cls)
        base._begin(url)
        schema = base.address.schema
        with base.writing():
            if not base._tables():
                base.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                tables = (
                    TABLES.replace("INTEGER", "BIGINT").replace("REAL", "DOUBLE PRECISION").replace("WITHOUT ROWID", "")
                )
                shown = view(factors, costs, read="({column}::json -> '{name}')")
                base._connection.execute(f"{tables}{_PIECES}{shown}")
                fill(base)
        base.close()
        return cls(url)

    def execute(self, query: str, values: Values = ()) -> Any:
        """See `Base`."""
        return _Plain(self._connection.execute(_translated(query), _stored(values) or None))

    def executemany(self, query: str, values: Sequence[Values]) -> Any:
        """See `Base`."""
        cursor = self._connection.cursor()
        cursor.executemany(_translated(query), [_stored(each) for each in values])
        return cursor

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `Base`."""
        with self.told():
            self._connection.execute("BEGIN")
            try:
                self._connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", (self._key(),))
                yield
            except BaseException:
                with suppress(self._errors.Error):  # the connection may be gone
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def told(self) -> Iterator[None]:
        """See `Base`."""
        try:
            yield
        except self._errors.IntegrityError:  # rows that contradict each other
            raise
        except self._errors.errors.InsufficientPrivilege as error:
            raise BadInput(
                f"the user may not do that: {_first_line(error)}",
                "ask the database's owner: GRANT CREATE ON DATABASE … TO …, and rights on the schema and its tables",
                path=self.where,
            ) from None  # fmt: skip
        except self._errors.Error as error:
            raise BadInput(
                f"the ledger cannot be used: {_first_line(error)}", "see after the server; the same command goes on",
                path=self.where,
            ) from None  # fmt: skip

    @contextmanager
    def owning(self, name: str) -> Iterator[None]:
        """A lock that the server takes back when this connection ends, however its process does."""
        with self.told():
            mine = self._connection.execute("SELECT pg_try_advisory_lock(%s, %s) AS mine", (self._key(), _key(name)))
            if not mine.fetchone()["mine"]:
                what = f"another worker is called '{name}'"
                raise BadInput(what, "give a name that no other one has", path=self.where)
        try:
            yield
        finally:
            with suppress(self._errors.Error):
                self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", (self._key(), _key(name)))

    def alive(self, name: str) -> bool:
        """See `Base`."""
        return _key(name) in self._owners()

    def present(self) -> int:
        """See `Base`."""
        return len(self._owners())

    def _owners(self) -> set[int]:
        held = (
            "SELECT objid::bigint AS name FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND objid <> 0 AND granted "
            "AND classid::bigint = ? AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        with self.told():
            found = self.execute(held, (self._key() % 2**32,)).fetchall()
        return {(row["name"] + 2**31) % 2**32 - 2**31 for row in found}  # the server shows them without a sign

    def _key(self) -> int:
        return _key(self.address.schema)

    def close(self) -> None:
        """See `Base`."""
        if self._connection is not None:
            self._connection.close()

    def __del__(self) -> None:
        if getattr(self, "_connection", None) is not None:
            self.close()


class _Plain:
    """A cursor whose rows hold what SQLite's do: levels that are lists as JSON, levels that are true or false as 1 or 0."""

    def __init__(self, cursor: Any) -> None:
        self._cursor, self.rowcount = cursor, cursor.rowcount

    def fetchone(self) -> dict[str, Any] | None:
        row = self._cursor.fetchone()
        return None if row is None else {key: _plain(value) for key, value in row.items()}

    def fetchall(self) -> list[dict[str, Any]]:
        return [{key: _plain(value) for key, value in row.items()} for row in self._cursor.fetchall()]


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _stored(values: Values) -> Values:
    """Values as the server takes them: what is not a number is none, as in SQLite; no text has the character 0."""

    def one(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace("\0", "")
        return None if value != value else value

    return {k: one(v) for k, v in values.items()} if isinstance(values, Mapping) else [one(value) for value in values]


def _translated(query: str) -> str:
    """A query with the marks of psycopg for its values."""
    return re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", query).replace("?", "%s")


def _key(name: str) -> int:
    """A number of 32 bits, not 0, for a lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big", signed=True) or 1


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""`Ledger`: the truth about a sweep, a database that several processes write; each change is whole or not there."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mho.errors import BadResults
from mho.sweeps.base import FILE, Base, FileBase
from mho.sweeps.evaluate import Row
from mho.sweeps.postgres import PostgresBase
from mho.sweeps.schema import VERSION

__all__ = ["FILE", "Job", "Ledger"]
_CLAIMS = 3
"""A job whose processes were lost so often is given up: it may be the cause."""


@dataclass(frozen=True)
class Job:
    """A trial, or a training that trials share.

    Attributes:
        name: Number of the trial, or key of the training.
        kind: "trial", "pretraining" or "training".
        config: As `Config.as_dict` has it.
        needs: The job that must be done before, or None.
        team: Trials of the same one share most of what a worker makes for them.
    """

    name: str
    kind: str
    config: dict[str, Any]
    needs: str | None = None
    team: int = 0


class Ledger:
    """The ledger of a sweep.

    Args:
        folder: The sweep's, on this machine: the ledger itself, unless there is a `url`; trained weights.
        url: Of a PostgreSQL database (`mho.sweeps.postgres.Address`).

    Raises:
        BadInput: There is no sweep, or no server that answers.
        BadResults: It is damaged, or of another version.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder, self.url = folder, url
        self.base: Base = FileBase(folder) if url is None else PostgresBase(url)
        version = self.meta("version")
        if version != VERSION:
            what = f"its format is version {version}, not {VERSION}"
            raise BadResults(what, self.base.another, path=self.base.where)

    @staticmethod
    def exists(folder: Path, url: str | None = None) -> bool:
        """Whether there is one."""
        return FileBase.exists(folder) if url is None else PostgresBase.exists(url)

    @classmethod
    def create(
        cls, folder: Path, meta: dict[str, Any], jobs: Sequence[Job], trials: Sequence[dict[str, Any]],
        factors: Sequence[str], costs: Sequence[str] = (), url: str | None = None,
    ) -> Ledger:  # fmt: skip
        """Write the ledger of a new sweep, as a whole.

        Args:
            folder: Made where it is not there.
            meta: Plain values to note.
            jobs: In the order in which they are begun.
            trials: Their columns.
            factors: Paths.
            costs: Names of what is noted of each trial.
            url: As for the ledger itself.

        Raises:
            BadInput: It cannot be written.
        """

        def fill(base: Any) -> None:
            noted = {"trials": len(trials), **meta, "version": VERSION}.items()
            base.executemany("INSERT INTO meta VALUES (?, ?)", [(key, json.dumps(value)) for key, value in noted])
            _insert(base, jobs, trials)

        if url is None:
            FileBase.create(folder, factors, costs, fill).close()
        else:
            PostgresBase.create(url, factors, costs, fill).close()
        return cls(folder, url)

    def meta(self, key: str) -> Any:
        """A value that was noted; None where it was not."""
        found = self.rows("SELECT value FROM meta WHERE key = ?", key)
        return json.loads(found[0]["value"]) if found else None

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What a query finds.

        Raises:
            BadResults: The file is damaged.
        """
        with self.base.told():
            return self.base.execute(query, values).fetchall()

    def counts(self, kind: str = "trial") -> dict[str, int]:
        """Jobs by state; trials that are yet to be chosen are open."""
        found = {row["state"]: row["n"] for row in self.rows(
            "SELECT state, COUNT(*) AS n FROM jobs WHERE kind LIKE ? GROUP BY state", kind)}  # fmt: skip
        if kind in ("trial", "%"):
            found["open"] = found.get("open", 0) + self.to_come()
        return {"open": 0, "running": 0, "done": 0, "failed": 0, **found}

    def to_come(self) -> int:
        """Trials that an adaptive design is yet to choose."""
        return max(0, int(self.meta("trials")) - self.rows("SELECT COUNT(*) AS n FROM trials")[0]["n"])

    def measured(self, digest: str) -> str | None:
        """Why a configuration needs no trial any more: it has one; None where it has not."""
        found = self.rows("SELECT trial FROM trials WHERE digest = ?", digest)
        return f"the same configuration as trial {found[0]['trial']}" if found else None

    def extend(
        self, jobs: Sequence[Job], trials: Sequence[dict[str, Any]], before: int, error: str | None = None
    ) -> bool:
        """Add trials with their trainings; nothing where there are not `before` trials any more. Returns True.

        With an error they have failed with it; one whose training has failed already fails with that.
        """
        with self.base.writing():
            if self.base.execute("SELECT COUNT(*) AS n FROM trials").fetchone()["n"] != before:
                return True
            _insert(self.base, jobs, trials)
            for job in jobs:
                if error is not None:
                    self._give_up(job.name, error)
                lost = "SELECT * FROM jobs WHERE job = ? AND state IN ('failed', 'pruned')"
                for row in self.base.execute(lost, (job.needs,)).fetchall():
                    self._give_up(job.name, _passed_on(row["error"], row["state"]), row["state"])
            return True

    def end_choosing(self) -> None:
        """Note that there will be no trials but those that there are."""
        with self.base.writing():
            self.base.execute(
                "UPDATE meta SET value = (SELECT CAST(COUNT(*) AS TEXT) FROM trials) WHERE key = 'trials'"
            )

    def claim(self, owner: str, team: int | None = None) -> Job | None:
        """A job for a worker: a trial that is ready, else a training; None where there is none now.

        First of the same team as its last trial, then of one that no other worker has, then any, each in the order of places.

        Args:
            owner: The worker.
            team: Of its last trial.
        """
        ready = (
            "SELECT j.* FROM jobs j LEFT JOIN jobs n ON n.job = j.needs WHERE j.state = 'open' AND j.kind {} "
            "AND (j.needs IS NULL OR n.state = 'done') ORDER BY j.place LIMIT 1"
        )
        busy = "SELECT team FROM jobs WHERE state = 'running' AND kind = 'trial'"
        wanted = ("= 'trial' AND j.team = :team", f"= 'trial' AND j.team NOT IN ({busy})", "= 'trial'",
                  "IN ('pretraining', 'training')")  # fmt: skip
        with self.base.writing():
            found = None
            for which in wanted:  # one after the other: each goes along an index
                found = found or self.base.execute(ready.format(which), {"team": team}).fetchone()
            if found is None:
                return None
            self.base.execute(
                "UPDATE jobs SET state = 'running', owner = ?, begun = ?, claims = claims + 1 WHERE job = ?",
                (owner, time.time(), found["job"]),
            )
        return Job(found["job"], found["kind"], json.loads(found["config"]), found["needs"], found["team"])

    def finish(
        self, job: Job, owner: str, *, seconds: float, versions: str, rows: Sequence[Row] = (),
        shared: dict[str, int] | None = None, costs: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        """Note that a job is done, with a trial's rows; nothing where another worker has it by now."""
        with self.base.writing():
            changed = self.base.execute(
                "UPDATE jobs SET state = 'done', error = NULL, seconds = ?, versions = ?, shared = ?, costs = ? "
                "WHERE job = ? AND state = 'running' AND owner = ?",
                (seconds, versions, json.dumps(shared or {}), json.dumps(costs or {}), job.name, owner),
            )
            if changed.rowcount and rows:
                self.base.executemany(
                    "INSERT INTO rows VALUES (:trial, :chip, :age_s, :samples, :score, :loss, :scores)",
                    [{**row, "trial": int(job.name), "scores": json.dumps(row["scores"])} for row in rows],
                )

    def fail(self, owner: str, error: str, *, name: str | None = None) -> None:
        """Note that what a worker had did not work out (or one job of it), and with it what needs that."""
        with self.base.writing():
            which = "state = 'running' AND owner = ?" + (" AND job = ?" if name else "")
            lost = self.base.execute(f"SELECT job FROM jobs WHERE {which}", (owner, name)[: 1 + bool(name)]).fetchall()
            for row in lost:
                self._give_up(row["job"], error)

    def prune(self, name: str, reason: str) -> None:
        """Note that a training is given up as hopeless, and with it what needs it: no failure, and no result."""
        with self.base.writing():
            self._give_up(name, reason, "pruned")

    def note_epoch(self, job: Job, epoch: int, value: float) -> tuple[float, list[float]]:
        """Note how well a training does after an epoch; its best so far, and that of each other of its kind as far on."""
        with self.base.writing():
            self.base.execute(
                "INSERT INTO epochs VALUES (?, ?, ?) ON CONFLICT (job, epoch) DO UPDATE SET value = excluded.value",
                (job.name, epoch, value),
            )
        found = self.rows(
            "SELECT e.job, MAX(e.value) AS best, MAX(e.epoch) AS last FROM epochs e JOIN jobs j ON j.job = e.job "
            "WHERE j.kind = ? AND e.epoch <= ? GROUP BY e.job, j.place ORDER BY j.place", job.kind, epoch,
        )  # fmt: skip
        mine = next(float(row["best"]) for row in found if row["job"] == job.name)
        return mine, [float(row["best"]) for row in found if row["job"] != job.name and row["last"] == epoch]

    def recover(self) -> int:
        """Open again what workers had that are no more; how many jobs."""
        with self.base.told():
            owners = self.base.execute("SELECT DISTINCT owner FROM jobs WHERE state = 'running'").fetchall()
        gone = [row["owner"] for row in owners if not self.base.alive(row["owner"])]
        return sum(self.release(owner) for owner in gone)

    def release(self, owner: str) -> int:
        """Open again what a worker had; a job that has lost several processes is given up."""
        with self.base.writing():
            had = "state = 'running' AND owner = ?"
            for row in self.base.execute(
                f"SELECT job FROM jobs WHERE {had} AND claims >= {_CLAIMS}", (owner,)
            ).fetchall():
                self._give_up(row["job"], f"{_CLAIMS} processes died over it")
            return self.base.execute(f"UPDATE jobs SET state = 'open', owner = NULL WHERE {had}", (owner,)).rowcount

    def retry(self) -> int:
        """Open what failed, but for points that have no configuration: those can never be measured; how many jobs."""
        with self.base.writing():
            return self.base.execute(
                "UPDATE jobs SET state = 'open', error = NULL, claims = 0 WHERE state = 'failed' AND config <> '{}'"
            ).rowcount

    def held(self, owner: str) -> tuple[str, float] | None:
        """The job that a worker has, and for how many seconds."""
        found = self.rows("SELECT job, begun FROM jobs WHERE state = 'running' AND owner = ?", owner)
        return (found[0]["job"], time.time() - found[0]["begun"]) if found else None

    def begun(self, owner: str) -> int:
        """How many jobs a worker has begun, those that it has done among them."""
        return int(self.rows("SELECT COUNT(*) AS n FROM jobs WHERE owner = ?", owner)[0]["n"])

    def piece(self, key: str) -> bytes | None:
        """The file of trained weights that the database holds."""
        found = self.rows("SELECT content FROM pieces WHERE key = ?", key)
        return bytes(found[0]["content"]) if found else None

    def keep_piece(self, key: str, content: bytes) -> None:
        """Let the database hold a file of trained weights."""
        with self.base.writing():
            self.base.execute("INSERT INTO pieces VALUES (?, ?) ON CONFLICT DO NOTHING", (key, content))

    def needs(self, job: Job) -> list[str]:
        """Trainings whose weights a job reads: that which it needs, and what that needs."""
        found, needs = [], job.needs
        while needs is not None:
            found.append(needs)
            needs = self.rows("SELECT needs FROM jobs WHERE job = ?", needs)[0]["needs"]
        return found

    def close(self) -> None:
        """Let go of the file."""
        self.base.close()

    def _give_up(self, job: str, error: str, state: str = "failed") -> None:
        ended = "UPDATE jobs SET state = ?, owner = NULL, error = ? WHERE job = ? AND state <> 'done'"
        self.base.execute(ended, (state, error, job))
        for row in self.base.execute("SELECT job FROM jobs WHERE needs = ? AND state = 'open'", (job,)).fetchall():
            self._give_up(row["job"], _passed_on(error, state), state)


def _passed_on(error: str, state: str) -> str:
    """The reason of what needed a training that is given up."""
    return (
        f"its training failed: {error}"
        if state == "failed"
        else f"its training was {error.removeprefix('its training was ')}"
    )


def _insert(base: Any, jobs: Sequence[Job], trials: Sequence[dict[str, Any]]) -> None:
    """Add jobs behind those that there are, each once, and trials."""
    place = base.execute("SELECT COALESCE(MAX(place) + 1, 0) AS n FROM jobs").fetchone()["n"]
    base.executemany(
        "INSERT INTO jobs (job, kind, place, needs, team, config) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(j.name, j.kind, place + i, j.needs, j.team, json.dumps(j.config)) for i, j in enumerate(jobs)],
    )
    base.executemany("INSERT INTO trials VALUES (:trial, :point, :seed, :digest, :factors)", trials)

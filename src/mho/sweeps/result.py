"""`SweepResult`: what is stored of a sweep."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from mho._optional import require
from mho.errors import BadInput
from mho.store.csv_file import write_csv
from mho.sweeps.ledger import Ledger
from mho.sweeps.plan import Plan
from mho.sweeps.postgres import Address, is_url
from mho.tasks import Score, Task


class SweepResult:
    """The rows of a sweep, and what follows from them.

    In pandas without `mho`: ``pd.read_sql("SELECT * FROM results", sqlite3.connect("out/sweep.sqlite"))``.

    Args:
        place: The sweep's folder, finished or not, or the URL of its ledger.

    Attributes:
        plan: What is swept.
        ledger: Where it is stored.
        folder: Where exports go: the sweep's; of a URL, one of the sweep's name, here.

    Raises:
        BadInput: There is no sweep.
        BadResults: It is damaged.
    """

    def __init__(self, place: str | Path) -> None:
        url = str(place) if is_url(place) else None
        self.folder = Path(place if url is None else Address(url).name)
        self.ledger = Ledger(self.folder, url)
        self.plan = Plan.parse(self.ledger.meta("plan"), where=self.ledger.base.where)

    @property
    def place(self) -> str:
        """Where it is stored, for people: no password."""
        return str(self.folder) if self.ledger.url is None else self.ledger.base.where

    @property
    def score(self) -> Score:
        """What was measured."""
        return Task.of(self.plan.task).headline

    @cached_property
    def trials(self) -> list[dict[str, Any]]:
        """A dict for each trial: trial, point, seed, factors, state, seconds, versions, shared, costs, error."""
        found = self.ledger.rows(
            "SELECT t.*, j.state, j.seconds, j.versions, j.shared, j.costs, j.error FROM trials t "
            "JOIN jobs j ON j.job = CAST(t.trial AS TEXT) ORDER BY t.trial"
        )
        return [
            {**dict(row), **{key: json.loads(row[key] or "{}") for key in ("factors", "shared", "costs")}}
            for row in found
        ]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A dict for each trial, chip (-1: the digital network) and age: its numbers, and a column for each factor."""
        found = []
        for each in self.ledger.rows("SELECT * FROM results ORDER BY trial, chip, age_s"):
            row = dict(each)
            found.append({**row, **{f"scores.{k}": v for k, v in json.loads(row.pop("scores")).items()}})
        for row in found:
            row.pop("scores", None)
        return found

    def counts(self) -> dict[str, int]:
        """Trials by state: open, running, done, failed, and pruned where there are such."""
        return self.ledger.counts()

    def trainings(self) -> int:
        """Trainings that trials share."""
        return sum(sum(self.ledger.counts(kind).values()) for kind in ("pretraining", "training"))

    def to_csv(self, path: str | Path) -> Path:
        """Write the rows as CSV.

        Raises:
            BadInput: Nothing is measured yet, or the file cannot be written.
        """
        return write_csv(self._some(), path)

    def to_parquet(self, path: str | Path) -> Path:
        """Write the rows as Parquet.

        Raises:
            BadInput: Nothing is measured yet, or the file cannot be written.
            MissingExtra: pandas or pyarrow is not installed.
        """
        require("pyarrow", extra="tables", for_what="Parquet")
        pandas = require("pandas", extra="tables", for_what="Parquet")
        try:
            pandas.DataFrame(self._some()).to_parquet(path, index=False)
        except OSError as error:
            raise BadInput(f"cannot be written: {error.strerror}", "give another path", path=str(path)) from error
        return Path(path)

    def _some(self) -> list[dict[str, Any]]:
        if not self.rows:
            raise BadInput("no trial is measured yet", "run the sweep", path=self.place)
        return self.rows

    def __str__(self) -> str:
        from mho.sweeps.summary import summary

        return summary(self)

"""The tables of a sweep's ledger."""

from __future__ import annotations

from collections.abc import Iterable

VERSION = 2
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE jobs (
  job TEXT PRIMARY KEY,                 -- a trial's number, or the key of a training that trials share
  kind TEXT NOT NULL,                   -- trial, pretraining, training
  place INTEGER NOT NULL,               -- order in which jobs are begun
  needs TEXT,                           -- the job that must be done before
  team INTEGER NOT NULL DEFAULT 0,      -- trials of one team share the most: best done by one worker
  config TEXT NOT NULL,                 -- everything that decides the numbers, as JSON
  state TEXT NOT NULL DEFAULT 'open',   -- open, running, done, failed, pruned
  owner TEXT, begun REAL, claims INTEGER NOT NULL DEFAULT 0,
  seconds REAL, versions TEXT, shared TEXT, error TEXT,
  costs TEXT                            -- by name, as JSON
);
CREATE INDEX jobs_state ON jobs (state, kind, place);
CREATE INDEX jobs_team ON jobs (state, kind, team, place);
CREATE TABLE trials (
  trial INTEGER PRIMARY KEY, point INTEGER NOT NULL, seed INTEGER NOT NULL,
  digest TEXT NOT NULL UNIQUE,          -- of the configuration
  factors TEXT NOT NULL                 -- level by factor, as JSON
);
CREATE TABLE epochs (
  job TEXT NOT NULL, epoch INTEGER NOT NULL,
  value REAL NOT NULL,                  -- of a training after so many epochs; more is better
  PRIMARY KEY (job, epoch)
) WITHOUT ROWID;
CREATE TABLE rows (
  trial INTEGER NOT NULL, chip INTEGER NOT NULL, age_s REAL NOT NULL, samples INTEGER NOT NULL,
  score REAL NOT NULL, loss REAL, scores TEXT NOT NULL,
  PRIMARY KEY (trial, chip, age_s)
) WITHOUT ROWID;
"""


def view(
    factors: Iterable[str], costs: Iterable[str] = (), read: str = "json_extract({column}, '$.\"{name}\"')"
) -> str:
    """The view `results`: a row for each trial, chip (-1: the digital network) and age; factors and costs have columns.

    Args:
        factors: Paths.
        costs: Names.
        read: How the database reads a value of JSON by its name.
    """

    def quoted(name: str) -> str:
        return name.replace("'", "''")

    def columns(column: str, names: Iterable[str]) -> str:
        return "".join(f', {read.format(column=column, name=quoted(name))} AS "{name}"' for name in names)

    costly = columns("j.costs", costs)
    more = " JOIN jobs j ON j.job = CAST(t.trial AS TEXT)" if costly else ""
    return (
        f"CREATE VIEW results AS SELECT r.trial, t.point, t.seed{columns('t.factors', factors)}, r.chip, r.age_s, r.samples, "
        f"r.score, r.loss{costly}, r.scores FROM rows r JOIN trials t ON t.trial = r.trial{more}"
    )

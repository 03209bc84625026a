"""`perform`: do one job of a sweep, a training or a trial, whatever engine has it; and what is noted of it."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mho import __version__
from mho.errors import BadResults, MhoError
from mho.store.lock import check_free
from mho.sweeps.config import Config
from mho.sweeps.costs import costs_of
from mho.sweeps.evaluate import Row, evaluate
from mho.sweeps.ledger import Job, Ledger
from mho.sweeps.piece import path_of
from mho.sweeps.pruning import Pruned
from mho.sweeps.workshop import Workshop, store

VERSIONS = f"mho {__version__}, torch {torch.__version__}, python {platform.python_version()}"


@dataclass(frozen=True)
class Done:
    """What became of a job.

    Attributes:
        seconds: That it took.
        versions: Of the code that did it.
        rows: Of a trial.
        costs: Of a trial, by name.
        shared: How many things of each kind were asked for, and found.
        error: Why it failed, or None.
        pruned: Why a training was given up, or None.
    """

    seconds: float
    versions: str = VERSIONS
    rows: Sequence[Row] = ()
    costs: dict[str, float] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    pruned: str | None = None

    def note(self, job: Job, owner: str, ledger: Ledger) -> None:
        """Write it into the ledger."""
        if self.pruned is not None:
            ledger.prune(job.name, self.pruned)
        elif self.error is not None:
            ledger.fail(owner, self.error, name=job.name)
        else:
            ledger.finish(job, owner, seconds=self.seconds, versions=self.versions, rows=self.rows, shared=self.shared,
                          costs=self.costs)  # fmt: skip


def perform(job: Job, workshop: Workshop, loggers: Sequence[Any] = ()) -> Done:
    """Do a job; what goes wrong with it is told, not raised.

    Args:
        job: What to do.
        workshop: Makes what it needs, and holds the folder for trained weights.
        loggers: Of `mho.fit`, for a training.
    """
    begun = time.monotonic()
    workshop.begin()
    asked, there = workshop.asked.copy(), workshop.found.copy()
    costs: dict[str, float] = {}
    try:
        rows = run(job, workshop, loggers)
        if job.kind == "trial":
            config = Config.parse(job.config)
            costs = costs_of(workshop.converted(config), config.costs)
    except KeyboardInterrupt:
        raise
    except Pruned as reason:
        shutil.rmtree(_unfinished(job, workshop), ignore_errors=True)
        return Done(time.monotonic() - begun, pruned=str(reason))
    except Exception as error:  # of a user's network, or of a setting: the sweep goes on
        text = str(error) if isinstance(error, MhoError) else f"{type(error).__name__}: {error}"
        return Done(time.monotonic() - begun, error=text)
    shared = {f"{kind} asked": workshop.asked[kind] - asked[kind] for kind in workshop.asked}
    shared |= {f"{kind} found": workshop.found[kind] - there[kind] for kind in workshop.found}
    return Done(time.monotonic() - begun, rows=rows, costs=costs, shared=shared)


def run(job: Job, workshop: Workshop, loggers: Sequence[Any] = ()) -> list[Row]:
    """Train and store the weights, or measure and return rows."""
    config = Config.parse(job.config)
    if job.kind == "trial":
        return evaluate(config, workshop)
    if not path_of(workshop.folder, job.name).exists():
        unfinished = _unfinished(job, workshop)
        train = workshop.pretrain if job.kind == "pretraining" else workshop.train
        try:
            net = train(config, out=unfinished, loggers=loggers)
        except BadResults:  # damaged, or left by other code than this: it is of no use to anybody
            check_free(unfinished)
            shutil.rmtree(unfinished)
            net = train(config, out=unfinished, loggers=loggers)
        store(workshop.folder, job.name, net)
        shutil.rmtree(unfinished, ignore_errors=True)
    return []


def _unfinished(job: Job, workshop: Workshop) -> Path:
    """The folder in which a training that was killed goes on."""
    return path_of(workshop.folder, job.name).with_suffix(".fit")

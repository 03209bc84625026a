"""A worker: a process that does one job of a sweep after the other. ``python -m mho.sweeps.worker FOLDER NAME``."""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

import torch

from mho.errors import MhoError
from mho.sweeps.choose import choose
from mho.sweeps.config import Config
from mho.sweeps.engine import LEDGER, STUCK
from mho.sweeps.ledger import Job, Ledger
from mho.sweeps.memory import watch
from mho.sweeps.perform import perform
from mho.sweeps.plan import Plan
from mho.sweeps.pruning import Watch
from mho.sweeps.share import bring, share
from mho.sweeps.workshop import Workshop
from mho.tasks import Task

_PAUSE_S = 0.2


def work(folder: Path, name: str, url: str | None = None) -> None:
    """Do jobs until there is none left that could become ready.

    Args:
        folder: The sweep's.
        name: Of this worker.
        url: Of a ledger that is not in the folder.
    """
    ledger, workshop = Ledger(folder, url), Workshop(folder)
    with ledger.base.owning(name):
        team = None
        while True:
            job = ledger.claim(name, team)
            if job is not None:
                team = job.team if job.kind == "trial" else team
                bring(job, ledger)
                done = perform(job, workshop, watches(job, ledger))
                share(job, ledger)
                done.note(job, name, ledger)
            elif not ledger.recover() and not choose(ledger):
                left = ledger.counts("%")
                if not left["open"] and not left["running"]:
                    break
                time.sleep(_PAUSE_S)  # others have what this one waits for


def watches(job: Job, ledger: Ledger) -> list[Watch]:
    """What ends a training where it is hopeless, if the sweep is to do so."""
    if job.kind == "trial" or not (ledger.meta("plan") or {}).get("pruning"):
        return []
    plan = Plan.parse(ledger.meta("plan"))
    stage = getattr(Config.parse(job.config), job.kind)
    assert plan.pruning is not None
    return [Watch(plan.pruning, Task.of(plan.task).headline, stage.epochs, partial(ledger.note_epoch, job))]


def _end_with(parent: int) -> None:
    """End this process where the one that started it has ended: nobody would watch over it."""
    while os.getppid() == parent:
        time.sleep(_PAUSE_S)
    os._exit(1)


def _exceeded(folder: Path, url: str | None, name: str, reason: str) -> None:
    """End this process, which holds too much: what it is at has failed, unless something before it may be the cause."""
    ledger = Ledger(folder, url)  # of this thread's own
    if ledger.begun(name) > 1:
        ledger.release(name)  # another process tries it anew
    else:
        ledger.fail(name, reason)
    os._exit(0)


def main(folder: str, name: str, parent: str, memory: str = "") -> None:
    """What ``python -m`` runs."""
    torch.set_num_threads(1)
    url = os.environ.get(LEDGER)
    if memory:
        watch(int(memory), partial(_exceeded, Path(folder), url, name))
    threading.Thread(target=_end_with, args=(int(parent),), daemon=True).start()
    try:
        work(Path(folder), name, url)
    except MhoError as error:  # of the ledger itself, as on a full disk: no fault of what it was at
        print(f"{error.problem}", file=sys.stderr)  # noqa: T201
        sys.exit(STUCK)


if __name__ == "__main__":
    main(*sys.argv[1:])

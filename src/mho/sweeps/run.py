"""`sweep`: run a sweep, or go on with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mho._optional import require
from mho.arguments import whole
from mho.errors import BadResults, WrongSetting
from mho.hardware.label import differences
from mho.progress import Progress, check_progress, telling
from mho.store.files import writable
from mho.store.runs import RUN
from mho.sweeps import engine as local
from mho.sweeps import ray_engine
from mho.sweeps.jobs import jobs_of
from mho.sweeps.ledger import FILE, Ledger
from mho.sweeps.memory import check_memory
from mho.sweeps.plan import Plan
from mho.sweeps.postgres import Address
from mho.sweeps.preview import Preview, preview, read_contents
from mho.sweeps.result import SweepResult
from mho.sweeps.workshop import Workshop
from mho.units import duration

_RESULT = ("confidence",)
"""Keys of a plan that change no trial."""


def sweep(
    source: Plan | Mapping[str, Any] | str | Path,
    out: str | Path,
    *,
    workers: int = 1,
    engine: str = "local",
    address: str | None = None,
    time_limit: str | float | None = None,
    memory_limit: str | float | None = None,
    retry: bool = False,
    ledger: str | None = None,
    show: Callable[[str], object] = lambda _: None,
    progress: Progress = None,
) -> SweepResult:
    """Measure a network over the levels of factors: of its hardware, training, calibration, or of itself.

    Every factor is first proven to act (`mho.sweeps.preview`). Trials then run in worker processes, one thread each, that take
    them from the ledger in `out`; what `kill -9` ends loses the trials in flight. The same call goes on where it was, and
    several processes may work on one folder at once. A trial that fails is recorded with its error, and the sweep goes on.

    Chips are paired: chip i of `chip_seed` has the same cells in every trial. The numbers are those of `mho.drift`.

    Args:
        source: A YAML file, or a mapping of its keys (docs/sweep.md).
        out: Folder with the ledger (`sweep.sqlite`) and trained weights.
        ledger: URL of a PostgreSQL database that is to hold the ledger instead, and the weights, too, so that workers on other
            machines (each with an `out` of its own) share the trials: ``postgresql://USER@HOST/DATABASE#SWEEP``.
        workers: Processes, at most one a core. Results do not depend on it.
        engine: "local": processes of this machine; "ray": of a Ray cluster, which needs no common file system.
        address: Of the cluster, HOST:PORT; None: RAY_ADDRESS, or the one that runs here.
        time_limit: Of a trial or a training, as "10 min" or in seconds; what takes longer is ended and recorded as failed.
        memory_limit: Of a worker's process, as "4 GB" or in bytes; a trial or a training that takes more is recorded as failed.
        retry: Try again what failed before.
        show: Is given the text of the preview, before anything runs.
        progress: True for a bar, or told of the trials (`mho.progress.Step`).

    Raises:
        BadInput: Files that cannot be read, a folder that cannot be written.
        BadResults: `out` holds another sweep, or a damaged one; data or weights have changed since it began.
        WrongSetting: What is wrong with the file, or a factor that does not act: all of it at once.
        MissingExtra: The engine, the ledger or the design needs a package that is not installed.
    """
    plan = Plan.read(source)
    limit_s, memory = duration(time_limit, "time_limit"), check_memory(memory_limit)
    work = _engine(plan, engine, workers, address, limit_s, memory)
    check_progress(progress)
    if ledger is not None:
        Address(ledger)
    folder = writable(out)
    if folder is None or not callable(show):
        name, value = ("out", out) if folder is None else ("show", show)
        raise WrongSetting(f"{name} = {value!r}", "give a folder, and a callable of a text or nothing", path=name)
    if (folder / RUN).exists():
        raise BadResults("it holds a run of mho drift", "give another out", path=str(folder))
    if ledger is not None and (folder / FILE).exists():
        raise BadResults("it holds the ledger of a sweep itself", "give another out, or no ledger", path=str(folder))
    if Ledger.exists(folder, ledger):
        kept = Ledger(folder, ledger)
        _refuse_another(kept, plan)
        show(str(kept.meta("preview")))
    else:
        looked = preview(plan, progress=progress)
        show(looked.text(workers))
        kept = _begin(folder, looked, ledger)
        _refuse_another(kept, plan)
    if retry:
        kept.retry()
    with telling(progress, "sweep", "trials") as told:

        def tell() -> None:
            counts = kept.counts()
            lost = "".join(f"{counts[state]} {state}, " for state in ("failed", "pruned") if counts.get(state))
            now = f"{lost}{kept.counts('%')['running']} under way"
            told(sum(counts.values()) - counts["open"] - counts["running"], sum(counts.values()), known=now)

        tell()
        work(kept, tell=tell)
        tell()
    kept.close()
    return SweepResult(ledger or folder)


def _engine(
    plan: Plan, engine: str, workers: int, address: str | None, limit_s: float | None, memory: int | None
) -> Callable[..., None]:
    """What does the jobs of a ledger.

    Raises:
        WrongSetting: No such engine, or what it cannot do.
    """
    if engine not in ("local", "ray"):
        raise WrongSetting(f"unknown engine {engine!r}", "one of local, ray", path="engine")
    if engine == "local":
        if address is not None:
            raise WrongSetting("an address is Ray's", "say engine='ray' (--engine ray)", path="address")
        return partial(local.run, workers=local.check_workers(workers), limit_s=limit_s, memory=memory)
    if memory is not None:
        raise WrongSetting("Ray watches over memory itself", "leave memory_limit out", path="memory_limit")
    if plan.pruning is not None:
        raise WrongSetting("pruning is not done on Ray", "leave it out, or take the engine local", path="pruning")
    require("ray", extra="ray", for_what="the engine 'ray'")
    return partial(ray_engine.run, workers=whole(workers, "workers"), address=address, limit_s=limit_s)


def _begin(folder: Path, looked: Preview, url: str | None = None) -> Ledger:
    plan, contents = looked.plan, looked.trials[0].config.contents
    meta = {
        "plan": plan.as_dict(), "contents": contents, "preview": looked.text(), "trials": plan.total * len(plan.seeds),
    }  # fmt: skip
    trials = [trial.columns() for trial in looked.trials]
    return Ledger.create(folder, meta, jobs_of(looked.trials), trials, list(plan.factors), plan.costs, url)


def _refuse_another(ledger: Ledger, plan: Plan) -> None:
    """Refuse a folder with another sweep, and data that have changed.

    Raises:
        BadResults: It is so.
    """
    here = str(ledger.folder) if ledger.url is None else ledger.base.where
    if other := differences(plan.as_dict(), ledger.meta("plan"), without=_RESULT):
        found = "; ".join(f"{key} is {value!r} there" for key, value in other[:6])
        raise BadResults(f"it holds another sweep: {found}", ledger.base.another, path=here)
    before, now = ledger.meta("contents"), read_contents(plan, Workshop(ledger.folder))
    if changed := [name for name, digest in now.items() if before.get(name) != digest]:
        raise BadResults(
            f"{', '.join(changed)} gives other content than when the sweep began",
            "restore it, or give another out; data that shuffle or draw anew each time cannot be swept over: shuffle=False",
            path=here,
        )

"""The engine on a Ray cluster. This process alone writes the ledger; jobs and trained weights go to the nodes and come back."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mho._optional import require
from mho.errors import BadInput, WrongSetting
from mho.sweeps.choose import choose
from mho.sweeps.engine import THREADS
from mho.sweeps.ledger import Job, Ledger
from mho.sweeps.owner import new_name
from mho.sweeps.piece import path_of, write_file
from mho.sweeps.share import bring, share
from mho.units import show_time

_PAUSE_S = 0.2
_ANSWER_S = 10.0
_VARIABLES = ("MHO_DATA",)
"""Of the environment, that nodes are given, too."""


class Remote:
    """What works on a node: a workshop in a folder of its own there."""

    def __init__(self) -> None:
        import torch

        from mho.sweeps.workshop import Workshop

        torch.set_num_threads(1)
        self.folder = tempfile.TemporaryDirectory(prefix="mho-sweep-")
        self.workshop = Workshop(Path(self.folder.name))

    def perform(self, job: Job, pieces: dict[str, Any]) -> tuple[Any, bytes | None]:
        """Do a job.

        Args:
            job: What to do.
            pieces: Trained weights that it needs, as files' contents in Ray's store.

        Returns:
            What became of it, and the weights that a training has left.
        """
        from mho.sweeps.perform import perform

        ray: Any = require("ray", extra="ray", for_what="the engine 'ray'")
        for key, content in pieces.items():
            path = path_of(self.workshop.folder, key)
            if not path.exists():
                write_file(path, ray.get(content))
        done, file = perform(job, self.workshop), path_of(self.workshop.folder, job.name)
        trained = job.kind != "trial" and file.exists()
        return done, file.read_bytes() if trained else None


@dataclass(eq=False)
class _Actor:
    handle: Any
    job: Job | None = None
    begun: float = 0.0
    team: int | None = None


def run(
    ledger: Ledger, *, workers: int, address: str | None = None, limit_s: float | None = None,
    tell: Callable[[], object] = lambda: None,
) -> None:  # fmt: skip
    """Do every job that is open.

    Args:
        ledger: The sweep's.
        workers: Processes on the cluster, one core each.
        address: Of the cluster; None: the environment's RAY_ADDRESS, or the one that runs on this machine.
        limit_s: Seconds after which a job is ended and recorded as failed; None: never.
        tell: Called now and then.

    Raises:
        BadInput: There is no cluster.
        MissingExtra: Ray is not installed.
        WrongSetting: It has fewer cores.
    """
    with _cluster(address, workers) as ray, ledger.base.owning(name := new_name()):
        ledger.recover()
        make = ray.remote(num_cpus=1, max_restarts=0)(Remote).remote
        actors: list[_Actor] = []
        under_way: dict[Any, _Actor] = {}
        stored: dict[str, Any] = {}
        try:
            while True:
                actors += [_Actor(make()) for _ in range(workers - len(actors))]
                idle = [actor for actor in actors if actor.job is None]
                while idle and (job := ledger.claim(name, idle[-1].team)) is not None:
                    actor = idle.pop()
                    actor.job, actor.begun = job, time.monotonic()
                    actor.team = job.team if job.kind == "trial" else actor.team
                    bring(job, ledger)
                    pieces = {key: _put(ray, ledger.folder, key, stored) for key in ledger.needs(job)}
                    under_way[actor.handle.perform.remote(job, pieces)] = actor
                tell()
                if idle and choose(ledger, workers):
                    continue
                if not under_way:
                    left = ledger.counts("%")
                    if not left["open"] and not left["running"]:
                        return
                    time.sleep(_PAUSE_S)  # others have what is left
                    ledger.recover()
                    continue
                ready, _ = ray.wait(list(under_way), timeout=_PAUSE_S)
                for reference in ready:
                    _take(ray, ledger, name, reference, under_way.pop(reference), actors)
                for reference, actor in list(under_way.items()):
                    if limit_s is not None and time.monotonic() - actor.begun > limit_s:
                        del under_way[reference]
                        _lose(ray, ledger, name, actor, actors, f"not done within {show_time(limit_s)}, the limit")
        finally:
            for actor in actors:
                ray.kill(actor.handle)
            ledger.release(name)


def _take(ray: Any, ledger: Ledger, name: str, reference: Any, actor: _Actor, actors: list[_Actor]) -> None:
    """Write down what an actor has done, or that it is gone."""
    job = actor.job
    assert job is not None
    try:
        done, piece = ray.get(reference)
    except ray.exceptions.RayError as error:
        words = str(error).strip().splitlines()
        _lose(ray, ledger, name, actor, actors, f"its process is gone: {words[0] if words else type(error).__name__}")
        return
    if piece is not None:
        write_file(path_of(ledger.folder, job.name), piece)
        share(job, ledger)
    actor.job = None
    done.note(job, name, ledger)


def _lose(ray: Any, ledger: Ledger, name: str, actor: _Actor, actors: list[_Actor], error: str) -> None:
    assert actor.job is not None
    ray.kill(actor.handle)
    actors.remove(actor)
    ledger.fail(name, error, name=actor.job.name)


def _put(ray: Any, folder: Path, key: str, stored: dict[str, Any]) -> Any:
    """Weights in Ray's store, put there once."""
    if key not in stored:
        stored[key] = ray.put(path_of(folder, key).read_bytes())
    return stored[key]


def _reach(address: str) -> None:
    """Refuse an address at which nobody answers; Ray itself goes on asking for minutes.

    Raises:
        OSError: Nobody does.
        ValueError: It is no address.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in address:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()


@contextmanager
def _cluster(address: str | None, workers: int) -> Iterator[Any]:
    """Ray, connected to a cluster; left again where this call has connected."""
    ray: Any = require("ray", extra="ray", for_what="the engine 'ray'")
    ours = not ray.is_initialized()
    if ours:
        given = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        path = os.pathsep.join(part or str(Path.cwd()) for part in sys.path)
        environment = {"env_vars": {**dict.fromkeys(THREADS, "1"), **given, "PYTHONPATH": path}}
        where = address or os.environ.get("RAY_ADDRESS", "auto")
        try:
            _reach(where)
            ray.init(address=where, runtime_env=environment, log_to_driver=False, logging_level="ERROR")
        except Exception as error:  # Ray has many, some of its C++ side
            text = (str(error).strip().splitlines() or [type(error).__name__])[0]
            remedy = "start one (ray start --head), or give its address: --address HOST:PORT, or RAY_ADDRESS"
            raise BadInput(f"there is no Ray cluster: {text}", remedy, path=where) from error
    try:
        cores = int(ray.cluster_resources().get("CPU", 0))
        if workers > cores:
            raise WrongSetting(
                f"{workers} workers on a cluster of {cores} cores", f"give {cores} at most", path="workers"
            )
        yield ray
    finally:
        if ours:
            ray.shutdown()

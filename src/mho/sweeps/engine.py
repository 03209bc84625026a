"""The engine: worker processes on this machine, watched over until every job is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mho.arguments import whole
from mho.errors import BadInput, WrongSetting
from mho.sweeps.ledger import Ledger
from mho.sweeps.owner import FOLDER, new_name
from mho.units import show_time

LEDGER = "MHO_LEDGER"
"""In a worker's environment, where not everybody sees it: the URL of a ledger that is not in the sweep's folder."""
STUCK = 75
"""Status of a worker that cannot go on, for a reason that is not in the job that it has."""
_PAUSE_S = 0.05
_SHARE = 0.004
"""Of its time that the process that watches may spend on looking; in a ledger of many trials a look takes long."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What keeps a worker at one thread."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_workers(workers: Any) -> int:
    """The number of worker processes, one thread each.

    Raises:
        WrongSetting: More than there are cores: they would slow each other down many times over.
    """
    found = whole(workers, "workers")
    if found > cores():
        raise WrongSetting(f"{found} workers on {cores()} cores", f"give {cores()} at most", path="workers")
    return found


@dataclass(eq=False)
class Worker:
    """A process that works on a sweep, and ends itself where it holds more than `memory` bytes."""

    folder: Path
    memory: int | None = None
    url: str | None = None
    name: str = field(default_factory=new_name)

    def __post_init__(self) -> None:
        # Not multiprocessing: its children import the user's script again, which then would need a guard.
        environment = {**os.environ, **dict.fromkeys(THREADS, "1")}
        environment.pop(LEDGER, None)
        environment |= {LEDGER: self.url} if self.url else {}
        environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        self.said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the process)
        command = [sys.executable, "-m", "mho.sweeps.worker", str(self.folder), self.name, str(os.getpid())]
        command += [str(self.memory)] if self.memory else []
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said,
            start_new_session=True,  # Ctrl-C is for the process that watches
        )  # fmt: skip

    def end(self) -> None:
        """Kill it; nothing that is stored is lost."""
        self.process.kill()
        self.process.wait()
        self.said.close()
        (self.folder / FOLDER / self.name).unlink(missing_ok=True)

    def cause(self) -> str:
        """Why it ended, in words."""
        code = self.process.returncode
        if code < 0:
            name = signal.Signals(-code).name
            return f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        words = self.last_words()
        return f"its process ended with status {code}" + (f": {words}" if words else "")

    def last_words(self) -> str:
        """The last line that it has printed."""
        self.said.seek(0)
        return next(reversed(self.said.read().decode(errors="replace").strip().splitlines()), "")


def run(
    ledger: Ledger,
    *,
    workers: int,
    limit_s: float | None = None,
    memory: int | None = None,
    tell: Callable[[], object] = lambda: None,
) -> None:
    """Do every job that is open.

    Args:
        ledger: The sweep's.
        workers: Processes.
        limit_s: Seconds after which a job is ended and recorded as failed; None: never.
        memory: Bytes that a worker may hold; a job in which it takes more is recorded as failed; None: any.
        tell: Called now and then.

    Raises:
        WrongSetting: Workers end at once, before any of them takes a job.
        BadInput: The ledger cannot be written, as on a full disk.
    """
    ledger.recover()
    if not _left(ledger):
        return
    pool: list[Worker] = []
    looked = 0.0
    idle = 0  # workers that ended without ever having had a job, one after the other
    try:
        while left := _left(ledger):
            for worker in [w for w in pool if w.process.poll() is not None]:
                worker.end()
                pool.remove(worker)
            pool += [Worker(ledger.folder, memory, ledger.url) for _ in range(min(workers, left) - len(pool))]
            time.sleep(max(_PAUSE_S, looked / _SHARE))
            begun = time.process_time()
            for worker in pool:
                held = ledger.held(worker.name)
                if held and limit_s is not None and held[1] > limit_s:
                    worker.end()
                    ledger.fail(worker.name, f"not done within {show_time(limit_s)}, the limit", name=held[0])
                    ledger.release(worker.name)
                elif worker.process.poll() == STUCK:
                    remedy = "make room, or see who holds it; the same command goes on"
                    raise BadInput(f"a worker cannot go on: {worker.last_words()}", remedy, path=ledger.base.where)
                elif worker.process.poll() is not None and worker.process.returncode:
                    idle = 0 if held else idle + 1
                    ledger.fail(worker.name, worker.cause())
                    if idle > workers:
                        raise WrongSetting(f"no worker starts: {worker.cause()}", "run one by hand to see why")
                elif held:
                    idle = 0
            tell()
            looked = time.process_time() - begun
    finally:
        for worker in pool:
            worker.end()
            with suppress(BadInput):  # on a full disk: whoever goes on opens again what the worker had
                ledger.release(worker.name)


def _left(ledger: Ledger) -> int:
    """Jobs that are open or running, here or elsewhere."""
    counts = ledger.counts("%")
    return counts["open"] + counts["running"]

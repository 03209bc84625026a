"""The same job for many chips, on one process or several, with results in order."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

import torch

from mho.errors import WrongSetting

T = TypeVar("T")
Item = TypeVar("Item")

_job: Callable[[Any], object] | None = None


def in_order(job: Callable[[Item], T], items: Sequence[Item], workers: int) -> Generator[T, None, None]:
    """``job(i)`` for each item, in the order of `items`, whoever finishes first.

    With several workers the job is written once to a temporary file that each process reads; every process computes
    with one thread, since two busy pools on the same cores slow each other down many times over. Closing the iterator
    abandons what has not begun; an interruption (Ctrl-C) ends the processes at once.

    Args:
        job: Picklable when `workers` > 1.
        items: What to call it with.
        workers: Number of processes; 1 computes here.

    Raises:
        WrongSetting: A process was killed, or could not start.
    """
    if workers == 1:
        for item in items:
            yield job(item)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "job.pt"
        torch.save(job, path)
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (str(path),))
        try:
            waiting: deque[Future[T]] = deque()
            for item in items:
                waiting.append(pool.submit(_run, item))  # type: ignore[arg-type]
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise WrongSetting(
                f"one of {workers} worker processes ended before it answered",
                "in a script, call it below \"if __name__ == '__main__':\" (each worker runs the script's top level); where "
                "memory ran out, take fewer, or workers=1",
                path="workers",
            ) from error
        except KeyboardInterrupt:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(path: str) -> None:
    global _job
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the process that waits for this one
    torch.set_num_threads(1)
    # The file was written by the parent process a moment ago, in a directory of its own.
    _job = torch.load(path, weights_only=False)


def _run(item: Any) -> object:
    assert _job is not None
    return _job(item)

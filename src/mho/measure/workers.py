"""The same job for many chips, on one process or several, with results in order."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")

_job: Callable[[int], object] | None = None


def in_order(job: Callable[[int], T], items: Sequence[int], workers: int) -> Generator[T, None, None]:
    """``job(i)`` for each item, in the order of `items`, whoever finishes first.

    With several workers the job is written once to a temporary file that each process reads; every process computes
    with one thread, since two busy pools on the same cores slow each other down many times over. Closing the iterator
    abandons what has not begun.

    Args:
        job: Picklable when `workers` > 1.
        items: What to call it with.
        workers: Number of processes; 1 computes here.
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
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(path: str) -> None:
    global _job
    torch.set_num_threads(1)
    # The file was written by the parent process a moment ago, in a directory of its own.
    _job = torch.load(path, weights_only=False)


def _run(item: int) -> object:
    assert _job is not None
    return _job(item)

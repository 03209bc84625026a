"""What `advise` is asked for, checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mho.advice.effort import Effort
from mho.advice.remedies import table
from mho.advice.remedy import Remedy
from mho.arguments import many, whole
from mho.calibration import check_ranges_file
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.progress import Progress, check_progress
from mho.statistics.intervals import check_confidence
from mho.store.files import writable
from mho.store.lock import check_free
from mho.tasks import Named, Score, Task
from mho.units import ages, duration, share

TIMES = ("1 day", "1 month", "1 year")


@dataclass(frozen=True)
class Asked:
    """The arguments of `mho.advise`, checked and in one form each; made by `of`, which takes them as `advise` does.

    Attributes:
        hw: The hardware.
        budget: What may be lost.
        times_s: Ages in seconds, increasing.
        effort: How much is spent.
        remedies: What is tried, cheapest first.
        chips: Chips to confirm on.
        holdout: Share of the data that is reported on.
        confidence: Of all intervals of the finalists together.
        task: What is scored, or None for what the data says.
        out: Folder, or None.
        workers: Processes.
        max_seconds: Or None.
        ranges: File of `mho.calibration.save_ranges`, or None.
    """

    hw: Hardware
    budget: float
    times_s: tuple[float, ...]
    effort: Effort
    remedies: tuple[Remedy, ...]
    chips: int
    holdout: float
    confidence: float
    task: Task | None
    out: Path | None
    workers: int
    max_seconds: float | None
    ranges: Path | None

    @classmethod
    def of(
        cls,
        hw: Hardware | str | Path,
        *,
        budget: float | str = 0.01,
        times: str | float | Iterable[str | float] = TIMES,
        effort: str = "normal",
        remedies: Sequence[str | Remedy] | str | None = None,
        chips: int | None = None,
        holdout: float | str = 0.5,
        confidence: float | str = 0.95,
        task: Named | None = None,
        out: str | Path | None = None,
        workers: int = 1,
        max_seconds: str | float | None = None,
        ranges: str | Path | None = None,
        progress: Progress = None,
        score: Score | None = None,
    ) -> Asked:
        """The arguments of `advise`, and the score of data that has a task of its own.

        Raises:
            WrongSetting: A bad argument, named by the message.
            BadInput: A folder that cannot be written, a file that cannot be read.
        """
        spent = Effort.of(effort)
        scored = None if task is None else Task.of(task)
        held_out = share(holdout, "holdout")
        if not 0 < held_out < 1:
            raise WrongSetting(f"holdout = {holdout}", "a share between 0 and 1", path="holdout")
        check_progress(progress)
        remedy = "an interval needs two chips at least"
        return cls(
            hw=Hardware.of(hw),
            budget=(score or (scored or Task.of("classes")).headline).check_budget(budget),
            times_s=ages(times),
            effort=spent,
            remedies=tuple(table(effort, None if remedies is None else _remedies(remedies))),
            chips=spent.confirmed if chips is None else whole(chips, "chips", least=2, remedy=remedy),
            holdout=held_out,
            confidence=check_confidence(confidence),
            task=scored,
            workers=whole(workers, "workers"),
            max_seconds=duration(max_seconds, "max_seconds"),
            ranges=None if ranges is None else check_ranges_file(ranges),
            out=check_free(writable(out)),
        )


def _remedies(chosen: Any) -> tuple[Any, ...]:
    """Names and remedies; a text holds several names, separated by semicolons."""
    found = many(chosen.split(";") if isinstance(chosen, str) else chosen, "remedies")
    for one in found:
        if not isinstance(one, (str, Remedy)):
            raise WrongSetting(f"{one!r} is no remedy", "give names or objects of mho.advice.Remedy", path="remedies")
    return tuple(
        one.strip() if isinstance(one, str) else one for one in found if not isinstance(one, str) or one.strip()
    )

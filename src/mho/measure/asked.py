"""What a run of `drift` is asked for, checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mho.arguments import many, whole
from mho.errors import WrongSetting
from mho.measure.shared import Images
from mho.recalibration import Recalibration
from mho.statistics.intervals import check_confidence
from mho.store.files import writable
from mho.store.lock import check_free
from mho.tasks import Named, Score, Task
from mho.units import ages, duration

TIMES = ("1 h", "1 day", "1 month", "6 months", "1 year")


@dataclass(frozen=True)
class Asked:
    """The arguments of `mho.drift`, checked and in one form each; made by `of`, which takes them as `drift` does.

    Attributes:
        times_s: Ages in seconds, increasing.
        chips: Their number, or "auto".
        images: How many of the images a chip sees.
        half_width: Asked for, in percentage points or the score's unit; None: all chips are measured.
        max_chips: Most chips of an automatic run.
        max_seconds: No chip is begun later, or None.
        confidence: Of every interval.
        recalibrate: What each chip goes through at each age.
        refresh_s: Interval of programming anew, or None.
        workers: Processes.
        task: What is scored, or None for what the data says.
        out: Folder for rows, or None.
    """

    times_s: tuple[float, ...]
    chips: int | Literal["auto"]
    images: Images
    half_width: float | None
    max_chips: int
    max_seconds: float | None
    confidence: float
    recalibrate: tuple[Recalibration, ...]
    refresh_s: float | None
    workers: int
    task: Task | None
    out: Path | None

    @classmethod
    def of(
        cls,
        *,
        times: str | float | Iterable[str | float] = TIMES,
        chips: int | str = "auto",
        images: Images = "all",
        ci: float | None = None,
        max_chips: int = 100,
        max_seconds: str | float | None = None,
        confidence: float | str = 0.95,
        recalibrate: Recalibration | Sequence[Recalibration] = (),
        refresh: str | float | None = None,
        workers: int = 1,
        task: Named | None = None,
        out: str | Path | None = None,
        score: Score | None = None,
        budget: float | str | None = None,
    ) -> Asked:
        """The arguments of `drift`, and the score of data that has a task of its own, and a budget for a report.

        Raises:
            WrongSetting: A bad argument, named by the message.
            BadInput: The folder cannot be written.
        """
        scored = None if task is None else Task.of(task)
        headline = score or (scored or Task.of("classes")).headline
        if chips != "auto":
            chips = whole(chips, "chips", remedy="give a whole number >= 1, or 'auto'")
        if images not in ("all", "auto"):
            whole(
                images, "images", least=2, remedy="give 'all', 'auto', or a divisor of the number of images from 2 on"
            )
        if budget is not None:
            headline.check_budget(budget)
        return cls(
            times_s=ages(times),
            chips=chips,  # type: ignore[arg-type]
            images=images,
            half_width=_half_width(ci, headline) if chips == "auto" else None,
            max_chips=whole(max_chips, "max_chips"),
            max_seconds=duration(max_seconds, "max_seconds"),
            confidence=check_confidence(confidence),
            recalibrate=_recalibrations(recalibrate),
            refresh_s=duration(refresh, "refresh"),
            workers=whole(workers, "workers"),
            task=scored,
            out=check_free(writable(out)),
        )


def _half_width(ci: Any, score: Score) -> float:
    if ci is None and score.share:
        return 0.5
    if isinstance(ci, (bool, str)) or not isinstance(ci, (int, float)) or not ci > 0:
        unit = "percentage points" if score.share else f"the unit of {score.label}{score.differs}"
        raise WrongSetting(f"ci = {ci!r}", f"the half-width asked for is a positive number, in {unit}", path="ci")
    return float(ci)


def _recalibrations(given: Any) -> tuple[Recalibration, ...]:
    found = (given,) if isinstance(given, Recalibration) else many(given, "recalibrate")
    for r in found:
        if not isinstance(r, Recalibration):
            raise WrongSetting(
                f"{r!r} is no recalibration",
                "give objects such as RecalibrateNorms(batches); one of your own derives from Recalibration",
                path="recalibrate",
            )
    return found

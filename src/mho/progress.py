"""How far a piece of work is: what `progress=` is told, and what people see of it.

Every function that may take longer than two seconds takes ``progress``: None or False for silence, True for a bar (plain
lines where there is no terminal), or a callable that is given a `Step` each time something is done.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from mho.errors import WrongSetting
from mho.units import show_time

QUIET_S = 2.0
"""Work that is done sooner prints no line."""
_BETWEEN_S, _BETWEEN_SHARE = 5.0, 0.1
"""Least time between two lines, and as a share of the time so far: a long run prints dozens, not thousands."""


class Step:
    """How far a piece of work is.

    Attributes:
        work: What is being done: "drift".
        done: How much of it, in `unit`; a fraction where a part is under way.
        total: How much there is, as far as it is known, or None.
        unit: "chips".
        left_s: Seconds that the rest will take at the pace so far, or None.
        known: What is known so far, in words.
        result: What is known so far, as the object that the function returns or is made of, or None.
    """

    def __init__(
        self, work: str, done: float, total: float | None, unit: str, left_s: float | None = None,
        known: str | Callable[[], str] = "", result: Callable[[], Any] | None = None,
    ) -> None:  # fmt: skip
        self.work, self.done, self.total, self.unit, self.left_s = work, done, total, unit, left_s
        self._known, self._result = known, result

    @property
    def share(self) -> float | None:
        """The share of the work that is done, or None where nobody knows how much there is."""
        return None if not self.total else min(1.0, self.done / self.total)

    @cached_property
    def known(self) -> str:
        """What is known so far, in words."""
        return self._known() if callable(self._known) else self._known

    @cached_property
    def result(self) -> Any:
        """What is known so far, as an object, or None."""
        return None if self._result is None else self._result()

    @property
    def amount(self) -> str:
        """``'3 of 8 chips (38 %)'``."""
        whole = math.floor(self.done + 1e-9)
        if self.total is None:
            return f"{whole} {self.unit}"
        return f"{whole} of {math.ceil(self.total)} {self.unit} ({100 * (self.share or 0.0):.0f} %)"

    @property
    def left(self) -> str:
        """``'about 40 s left'``, or nothing."""
        return "" if self.left_s is None or self.share == 1 else f"about {show_time(max(1.0, round(self.left_s)))} left"

    def __str__(self) -> str:
        return ", ".join(part for part in (f"{self.work}: {self.amount}", self.known, self.left) if part)


Progress = bool | Callable[[Step], object] | None
"""What arguments called `progress` take."""


class Meter:
    """Tells how far some work is; made by `telling`. Call it with what is done."""

    def __init__(self, tell: Callable[[Step], object], work: str, unit: str) -> None:
        self.tell, self.work, self.unit = tell, work, unit
        self._begun: tuple[float, float] | None = None
        self.last: Step | None = None

    def __call__(
        self, done: float, total: float | None = None, *, known: str | Callable[[], str] = "",
        result: Callable[[], Any] | None = None, work: str | None = None,
    ) -> None:  # fmt: skip
        """Tell it.

        Args:
            done: How much, in the unit; the first call says what was there before.
            total: How much there is, or None.
            known: What is known so far, in words, or what says so when it is asked.
            result: Gives what is known so far, when it is asked.
            work: What is being done now, where it is another part of the work.
        """
        now = time.monotonic()
        if self._begun is None:
            self._begun = now, done
        begun, first = self._begun
        left = (now - begun) * (total - done) / (done - first) if total is not None and done > first else None
        self.last = Step(work or self.work, done, total, self.unit, left, known, result)
        self.tell(self.last)


_open: list[Meter] = []
_interrupted: list[Step] = []


def interrupted() -> Step | None:
    """Where the outermost work stood that an exception ended last."""
    return _interrupted[-1] if _interrupted else None


@contextmanager
def telling(progress: Progress, work: str, unit: str) -> Iterator[Meter]:
    """For the duration of a piece of work: what tells how far it is.

    Args:
        progress: What the caller of a public function gave.
        work: What is being done.
        unit: Of what is done, in the plural.

    Raises:
        WrongSetting: `progress` is none of what it may be.
    """
    check_progress(progress)
    with _shown(progress) as tell:
        meter = Meter(tell, work, unit)
        _open.append(meter)
        try:
            yield meter
        except BaseException:
            if len(_open) == 1 and meter.last is not None:
                _interrupted[:] = [meter.last]
            raise
        finally:
            _open.remove(meter)


def check_progress(progress: Progress) -> None:
    """Refuse what is neither a truth value, a callable nor None.

    Raises:
        WrongSetting: It is none of them.
    """
    if progress is not None and not isinstance(progress, bool) and not callable(progress):
        raise WrongSetting(
            f"progress = {progress!r}", "give True for a bar, or a callable of one Step", path="progress"
        )


@contextmanager
def _shown(progress: Progress) -> Iterator[Callable[[Step], object]]:
    if not progress:
        yield lambda _: None
    elif callable(progress):
        yield progress
    elif sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        lines = _Lines()
        try:
            yield lines
        finally:
            lines.end()


@contextmanager
def _bar() -> Iterator[Callable[[Step], object]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    texts = {name: TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("work", "amount", "left", "known")}
    columns = (
        texts["work"],
        BarColumn(bar_width=16),
        texts["amount"],
        TimeElapsedColumn(),
        texts["left"],
        texts["known"],
    )
    with Progress(*columns, console=Console(stderr=True, emoji=False)) as bar:
        task = bar.add_task("", total=None, work="", amount="", left="", known="")

        def tell(step: Step) -> None:
            bar.update(
                task, work=step.work, completed=step.done, total=step.total, amount=step.amount, left=step.left,
                known=step.known,
            )  # fmt: skip

        yield tell


class _Lines:
    """The same as plain lines, where nobody sees a bar move."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.next, self.said = QUIET_S, False
        self.unsaid: Step | None = None

    def __call__(self, step: Step) -> None:
        elapsed = time.monotonic() - self.begun
        if elapsed < self.next:
            self.unsaid = step
            return
        self.next = elapsed + max(_BETWEEN_S, _BETWEEN_SHARE * elapsed)
        self._say(step)

    def _say(self, step: Step) -> None:
        print(step, file=sys.stderr, flush=True)  # noqa: T201
        self.unsaid, self.said = None, True

    def end(self) -> None:
        """The last step, where there have been lines before it."""
        if self.said and self.unsaid is not None:
            self._say(self.unsaid)

"""A progress bar that shows what is known so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mho.units import show_time

if TYPE_CHECKING:
    from mho.measure.monte_carlo import Known


@contextmanager
def drift_bar() -> Iterator[Callable[[Known], None]]:
    """Shows chips, the accuracy at the last age, and the widest interval so far."""
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=16), MofNCompleteColumn(), TextColumn("chips"), TimeElapsedColumn(),
        TextColumn("{task.fields[known]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("drift", total=None, known="measuring the digital network")

        def show(known: Known) -> None:
            last = known.result.summary()[-1]
            done = len(known.result.chips)
            text = f"{100 * last.mean:.2f} % after {show_time(last.age_s)}"
            if done > 1:
                text += f", all ages within ±{100 * known.result.half_width():.2f}"
            total = done if known.reached else known.wanted
            bar.update(task, total=total, completed=done, known=text)

        yield show

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
    """Shows chips, the score at the last age, and the widest interval so far."""
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=16), MofNCompleteColumn(), TextColumn("chips"), TimeElapsedColumn(),
        TextColumn("{task.fields[known]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("drift", total=None, known="measuring the digital network")

        def show(known: Known) -> None:
            result, score = known.result, known.result.score
            mean, done = float(result.scores[:, -1].mean()), len(result.chips)
            text = f"{score.label} {score.show(mean, 2)} after {show_time(result.ages_s[-1])}"
            if done > 1:
                text += f", all ages within ±{(100 if score.share else 1) * result.half_width():.3g}"
            total = done if known.reached else known.wanted
            bar.update(task, total=total, completed=done, known=text)

        yield show

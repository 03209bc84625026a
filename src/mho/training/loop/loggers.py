"""Where the numbers of a training go while it runs: a file, a service, the terminal."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mho._optional import require
from mho.errors import WrongSetting

COLUMNS = ("loss", "lr", "epoch", "epoch_loss", "epoch_accuracy", "epoch_lr", "epoch_seconds")
"""What is logged: the first three every few steps, the others, and `epoch`, at an epoch's end."""


class Logger(Protocol):
    """Anything that takes numbers."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Take some of `COLUMNS` after an optimiser step."""


class _Csv:
    def __init__(self, directory: Path, step: int) -> None:
        (directory / "csv").mkdir(exist_ok=True)
        # A file for each start: steps after the last checkpoint are done, and logged, again.
        self.file = (directory / "csv" / f"from_step_{step}.csv").open("w", newline="")
        self.writer = csv.DictWriter(self.file, ("step", *COLUMNS))
        self.writer.writeheader()

    def log(self, step: int, values: dict[str, float]) -> None:
        self.writer.writerow({"step": step, **values})
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class _TensorBoard:
    def __init__(self, directory: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(directory / "tensorboard"), purge_step=step)

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    def __init__(self, directory: Path, step: int) -> None:
        import wandb

        self.run: Any = wandb.init(project="mho", name=directory.name, dir=str(directory))

    def log(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def close(self) -> None:
        self.run.finish()


class _MlFlow:
    def __init__(self, directory: Path, step: int) -> None:
        from mlflow import MlflowClient

        self.client: Any = MlflowClient((directory / "mlflow").absolute().as_uri())
        found = self.client.get_experiment_by_name("mho")
        experiment = found.experiment_id if found else self.client.create_experiment("mho")
        self.run = self.client.create_run(experiment, run_name=directory.name).info.run_id

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.client.log_metric(self.run, name, value, step=step)

    def close(self) -> None:
        self.client.set_terminated(self.run)


class _Bar:
    """Steps, what was logged last, and the time that is left."""

    def __init__(self, step: int, steps: int) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=16), MofNCompleteColumn(), TextColumn("steps"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[known]}"), console=Console(stderr=True),
        )  # fmt: skip
        self.task = self.bar.add_task("fit", total=steps, completed=step, known="")
        self.values: dict[str, float] = {}
        self.bar.start()

    def log(self, step: int, values: dict[str, float]) -> None:
        self.values |= values
        shown = [name for name in ("epoch", "loss", "epoch_accuracy") if name in self.values]
        known = ", ".join(f"{name.removeprefix('epoch_')} {self.values[name]:.4g}" for name in shown)
        self.bar.update(self.task, completed=step, known=known)

    def close(self) -> None:
        self.bar.stop()


LOGGERS: dict[str, Any] = {"csv": _Csv, "tensorboard": _TensorBoard, "wandb": _Wandb, "mlflow": _MlFlow}


def check_loggers(wanted: Sequence[str | Logger], out: object) -> None:
    """Refuse what `logging` could not do.

    Args:
        wanted: Names, or objects with `log(step, values)`.
        out: The folder of the training, or None.

    Raises:
        WrongSetting: An unknown name, an object without `log`, or there is no folder to write to.
        MissingExtra: The package of a logger is not installed.
    """
    for logger in wanted:
        if logger not in LOGGERS if isinstance(logger, str) else not hasattr(logger, "log"):
            remedy = f"valid are {', '.join(LOGGERS)}, and objects with log(step, values)"
            raise WrongSetting(f"unknown logger {logger!r}", remedy, path="loggers")
        if isinstance(logger, str):
            if out is None:
                raise WrongSetting(f"logger {logger!r} has nowhere to write", "give out=DIR", path="loggers")
            if logger != "csv":
                require(logger, extra=logger, for_what=f"the logger {logger!r}")


@contextmanager
def logging(
    wanted: Sequence[str | Logger], directory: Path | None, *, step: int, steps: int, progress: bool
) -> Iterator[list[Logger]]:
    """Loggers that are closed at the end; those given as objects are their owner's to close.

    Args:
        wanted: Names, or objects with `log(step, values)`.
        directory: Of the training; what a logger writes goes into a folder of its name.
        step: Optimiser steps done.
        steps: Optimiser steps in all.
        progress: Show a bar, where there is a terminal.
    """
    with ExitStack() as opened:
        ours: list[Any] = []
        for name in (name for name in wanted if isinstance(name, str)):
            assert directory is not None
            ours.append(LOGGERS[name](directory, step))
            opened.callback(ours[-1].close)
        if progress and Console(stderr=True).is_terminal:
            ours.append(_Bar(step, steps))
            opened.callback(ours[-1].close)
        yield [*ours, *(logger for logger in wanted if not isinstance(logger, str))]

"""Where the numbers of a training go while it runs: a file, a service, the terminal."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mho._optional import require
from mho.errors import WrongSetting
from mho.progress import Meter, Progress, telling

Log = Callable[[int, dict[str, float]], object]
"""Takes numbers by name after a step."""
COLUMNS = ("loss", "lr", "epoch", "epoch_loss", "epoch_score", "epoch_lr", "epoch_seconds")
"""The first three are logged every few steps, the others, and `epoch`, at the end of an epoch."""


@contextmanager
def _csv(folder: Path, step: int) -> Iterator[Log]:
    folder.mkdir(exist_ok=True)
    # A file for each start: the steps after the last checkpoint are done, and logged, again.
    with (folder / f"from_step_{step}.csv").open("w", newline="", buffering=1) as file:
        writer = csv.DictWriter(file, ("step", *COLUMNS))
        writer.writeheader()
        yield lambda step, values: writer.writerow({"step": step, **values})


@contextmanager
def _tensorboard(folder: Path, step: int) -> Iterator[Log]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=step) as writer:  # type: ignore[no-untyped-call]
        yield lambda step, values: [writer.add_scalar(k, v, step) for k, v in values.items()]


@contextmanager
def _wandb(folder: Path, step: int) -> Iterator[Log]:
    wandb: Any = require("wandb", extra="wandb", for_what="the logger 'wandb'")  # writes into a folder of its name
    with wandb.init(project="mho", name=folder.parent.name, dir=str(folder.parent)) as run:
        yield lambda step, values: run.log(values, step=step)


@contextmanager
def _mlflow(folder: Path, step: int) -> Iterator[Log]:
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow 3 asks to say so; a data base needs more packages
    uri = os.environ.get("MLFLOW_TRACKING_URI", folder.absolute().as_uri())
    client: Any = require("mlflow", extra="mlflow", for_what="the logger 'mlflow'").MlflowClient(uri)
    found = client.get_experiment_by_name("mho")
    experiment = found.experiment_id if found else client.create_experiment("mho")
    run = client.create_run(experiment, run_name=folder.parent.name).info.run_id
    try:
        yield lambda step, values: [client.log_metric(run, k, v, step=step) for k, v in values.items()]
    finally:
        client.set_terminated(run)


@contextmanager
def _told(told: Meter, step: int, steps: int) -> Iterator[Log]:
    """Steps, and what was logged last."""
    last = dict[str, float]()
    told(step, steps)

    def log(step: int, values: dict[str, float]) -> None:
        last.update(values)
        shown = [name for name in ("epoch", "loss", "epoch_score") if name in last]
        told(step, steps, known=", ".join(f"{name.removeprefix('epoch_')} {last[name]:.4g}" for name in shown))

    yield log


LOGGERS: dict[str, Callable[[Path, int], AbstractContextManager[Log]]] = {
    "csv": _csv, "tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow,
}  # fmt: skip


def check_loggers(wanted: Iterable[Any], out: Any) -> None:
    """Refuse what `logging` could not do.

    Args:
        wanted: Names, or objects with ``log(step, values)``.
        out: The folder of the training, or None.

    Raises:
        WrongSetting: An unknown name, an object without `log`, or there is no folder to write to.
        MissingExtra: The package of a logger is not installed.
    """
    for logger in wanted:
        if not (logger in LOGGERS if isinstance(logger, str) else callable(getattr(logger, "log", None))):
            remedy = f"valid are {', '.join(LOGGERS)}, and objects with log(step, values)"
            raise WrongSetting(f"unknown logger {logger!r}", remedy, path="loggers")
        if isinstance(logger, str) and out is None:
            raise WrongSetting(f"logger {logger!r} has nowhere to write", "give out=DIR", path="loggers")
        if isinstance(logger, str) and logger != "csv":
            require(logger, extra=logger, for_what=f"the logger {logger!r}")


@contextmanager
def logging(
    wanted: Sequence[Any], out: Path | None, *, step: int, steps: int, progress: Progress
) -> Iterator[list[Log]]:
    """The loggers, for the duration of a training; objects that were given are their owner's to close.

    Args:
        wanted: Names, or objects with ``log(step, values)``.
        out: The folder of the training; a logger writes into a folder of its name in it.
        step: Optimiser steps done.
        steps: Optimiser steps in all.
        progress: True for a bar, or told of the steps (`mho.progress.Step`).
    """
    with ExitStack() as opened:
        logs = [logger.log for logger in wanted if not isinstance(logger, str)]
        for name in wanted:
            if isinstance(name, str) and out is not None:
                logs.append(opened.enter_context(LOGGERS[name](out / name, step)))
        if progress:
            told = opened.enter_context(telling(progress, "fit", "steps"))
            logs.append(opened.enter_context(_told(told, step, steps)))
        yield logs

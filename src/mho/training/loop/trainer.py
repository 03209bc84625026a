"""Lightning's trainer, its loggers and a progress bar; imports Lightning, like `mho.training.loop.lightning`."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.strategies import Strategy
from pytorch_lightning.utilities.rank_zero import LightningDeprecationWarning  # type: ignore[attr-defined]
from pytorch_lightning.utilities.warnings import PossibleUserWarning  # type: ignore[attr-defined]
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mho._optional import require
from mho.errors import WrongSetting
from mho.training.loop.lightning import Trained

LOGGERS = ("csv", "tensorboard", "wandb", "mlflow")


def make_trainer(
    trained: Trained, *, precision: str, accumulate: int, devices: int, strategy: Any, loggers: Sequence[str | Logger],
    progress: bool, device: torch.device,
) -> pl.Trainer:  # fmt: skip
    """A trainer for the epochs that are left, which writes nothing by itself.

    Args:
        trained: The network in training.
        precision: As `fit` takes it.
        accumulate: Parts in an optimiser step.
        devices: Processes.
        strategy: ``"auto"``, ``"ddp"``, or a strategy of Lightning's.
        loggers: Loggers, or their names.
        progress: Show a bar, where there is a terminal.
        device: Where the network lies.
    """
    alone = devices == 1 and not isinstance(strategy, Strategy)
    index = [device.index or 0] if device.type == "cuda" and alone else devices
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=index,
        strategy="ddp" if devices > 1 and strategy == "auto" else strategy,
        precision={"32": "32-true"}.get(precision, precision),  # type: ignore[arg-type]
        accumulate_grad_batches=accumulate,
        max_epochs=trained.epochs - trained.state.epoch,
        limit_val_batches=None if trained.val is not None else 0,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        logger=make_loggers(loggers, trained),
        callbacks=[Bar()] if progress and Console(stderr=True).is_terminal else None,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def make_loggers(wanted: Sequence[str | Logger], trained: Trained) -> list[Logger]:
    """Loggers by their names; what they write goes into a folder of their name.

    Raises:
        WrongSetting: An unknown name, or there is no folder to write to.
        MissingExtra: The package of a logger is not installed.
    """
    made: list[Logger] = []
    for logger in wanted:
        if isinstance(logger, Logger):
            made.append(logger)
            continue
        if logger not in LOGGERS:
            raise WrongSetting(f"unknown logger {logger!r}", f"valid are {', '.join(LOGGERS)}", path="loggers")
        if trained.folder is None:
            raise WrongSetting(f"logger {logger!r} has nowhere to write", "give out=DIR", path="loggers")
        what, directory = f"the logger {logger!r}", trained.folder.directory
        if logger == "csv":
            made.append(CSVLogger(directory, name="csv", version=f"from_step_{trained.state.step}"))
        elif logger == "tensorboard":
            require("tensorboard", extra="tensorboard", for_what=what)
            made.append(TensorBoardLogger(directory, name="tensorboard", version="", log_graph=False))
        elif logger == "wandb":
            require("wandb", extra="wandb", for_what=what)
            made.append(WandbLogger(name=directory.name, save_dir=directory, project="mho"))
        else:
            require("mlflow", extra="mlflow", for_what=what)
            uri = (Path(directory) / "mlflow").absolute().as_uri()
            made.append(MLFlowLogger(experiment_name="mho", run_name=directory.name, tracking_uri=uri))
    return made


class Bar(pl.Callback):
    """Steps, loss, the last accuracy on the validation set, and the time that is left."""

    def __init__(self) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=16), MofNCompleteColumn(), TextColumn("steps"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[known]}"), console=Console(stderr=True),
        )  # fmt: skip
        self.task: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin."""
        if trainer.is_global_zero:
            assert isinstance(pl_module, Trained)
            total = pl_module.loader.steps * pl_module.epochs
            self.task = self.bar.add_task("fit", total=total, completed=pl_module.state.step, known="")
            self.bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on; the numbers are fetched from the device no more often than they are drawn."""
        if self.task is None or batch_idx % 10:
            return
        assert isinstance(pl_module, Trained)
        state = pl_module.state
        known = f"epoch {state.epoch + 1}/{pl_module.epochs}, loss {float(outputs['loss']):.3g}"
        if state.history and state.history[-1]["accuracy"] is not None:
            known += f", {100 * state.history[-1]['accuracy']:.2f} % on val"
        self.bar.update(self.task, completed=state.step, known=known)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End."""
        if self.task is not None:
            assert isinstance(pl_module, Trained)
            self.bar.update(self.task, completed=pl_module.state.step)
            self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """End."""
        self.bar.stop()


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's hints are silenced, torch's generators are restored, and Ctrl-C stays an interruption."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "lightning")]
    loggers += [logging.getLogger(f"{logger.name}.utilities.rank_zero") for logger in loggers]
    levels = [logger.level for logger in loggers]
    main = threading.current_thread() is threading.main_thread()
    on_interrupt = signal.getsignal(signal.SIGINT) if main else None
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            for name in ("pytorch_lightning", "lightning_fabric", "lightning_utilities", "torchmetrics"):
                warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
            warnings.filterwarnings("ignore", category=LightningDeprecationWarning)
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    except SystemExit as end:
        # Lightning answers Ctrl-C with sys.exit and leaves the signal ignored.
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if main and on_interrupt is not None:
            signal.signal(signal.SIGINT, on_interrupt)


def world(devices: int) -> tuple[int, int]:
    """Rank of this process and number of processes, as torchrun or Lightning's own launcher tell it.

    Raises:
        WrongSetting: torchrun started another number of processes.
    """
    processes = int(os.environ.get("WORLD_SIZE", devices))
    if processes != devices:
        raise WrongSetting(
            f"devices = {devices}, but there are {processes} processes",
            f"torchrun --nproc-per-node {devices}, or devices={processes}",
            path="devices",
        )
    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"
    return (int(rank) if devices > 1 else 0), processes

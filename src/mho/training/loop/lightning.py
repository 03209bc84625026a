"""The adapter to PyTorch Lightning. Importing this module imports Lightning, so that only `fit` does, when it is called."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from mho.errors import BadInput
from mho.rng import key
from mho.training.loop.checkpoints import Folder, load_checkpoint
from mho.training.loop.loader import InOrder, Loader, Part
from mho.training.loop.losses import IGNORED, Task

_LOG_EVERY = 50
"""Optimiser steps between two lines of the loggers."""

Row = dict[str, float | int | None]


class OutOfTime(Exception):
    """`max_seconds` are over, and the position is saved."""


@dataclass
class State:
    """Where training stands, between two optimiser steps.

    Attributes:
        epoch: Epochs done.
        part: Parts of the current epoch done.
        step: Optimiser steps done.
        loss: Sum of the losses of the current epoch's samples.
        count: Their number.
        seconds: Time spent in the current epoch.
        history: A row for each epoch done.
        best: Best accuracy so far.
        best_epoch: Its epoch.
        stopped: Why training ended, empty while it has not.
    """

    epoch: int = 0
    part: int = 0
    step: int = 0
    loss: float = 0.0
    count: int = 0
    seconds: float = 0.0
    history: list[Row] = field(default_factory=list)
    best: float | None = None
    best_epoch: int | None = None
    stopped: str = ""


class Trained(pl.LightningModule):
    """A network in training, for Lightning's loops; it knows its position and saves it.

    Args:
        net: The network.
        loss: From (output, inputs, labels) to the mean loss.
        optimizer: Of its parameters.
        rate: The learning rate as a share of each group's first one, by step.
        session: Of hardware-aware training, or None.
        loader: The data.
        val: Validation data of this process, or None.
        task: For the accuracy.
        seed: Root of the address of the noise of products.
        folder: Where to save, or None.
        save_every: Seconds between two checkpoints within an epoch.
        epochs: Passes over the data.
        max_seconds: Seconds after which to stop.
        early_stop: Epochs without improvement after which to stop.
    """

    def __init__(
        self, net: nn.Module, *, loss: Callable[[Tensor, Tensor, Tensor | None], Tensor], optimizer: torch.optim.Optimizer,
        rate: Callable[[int], float], session: Any, loader: Loader, val: InOrder | None, task: Task, seed: int,
        folder: Folder | None, save_every: float, epochs: int, max_seconds: float | None, early_stop: int | None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.net, self.loss, self.optimizer, self.rate, self.session = net, loss, optimizer, rate, session
        self.loader, self.val, self.task, self.seed, self.folder = loader, val, task, seed, folder
        self.save_every, self.epochs, self.max_seconds, self.early_stop = save_every, epochs, max_seconds, early_stop
        self.state = State()
        self.best_weights: dict[str, Tensor] | None = None
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.losses = torch.zeros((), dtype=torch.float64)
        self.right = torch.zeros(2, dtype=torch.float64)
        self._restored: dict[str, Any] | None = None
        self._unseen: tuple[int, Tensor] | None = None
        self._begun = self._saved = self._epoch_begun = 0.0

    # What Lightning asks for.

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser; the rate is set before every step."""
        return self.optimizer

    def train_dataloader(self) -> Loader:
        """The rest of the current epoch."""
        return self.loader.start(self.state.epoch, self.state.part)

    def val_dataloader(self) -> Any:
        """The validation set."""
        return [] if self.val is None else self.val

    def on_train_start(self) -> None:
        """Take up the stored state, once everything is where it is going to be."""
        now = time.monotonic()
        self._begun = self._saved = self._epoch_begun = now
        self.losses = self.losses.to(self.device)
        if (stored := self._restored) is not None:
            self.optimizer.load_state_dict(stored["optimizer"])
            if stored["precision"]:
                self.trainer.precision_plugin.load_state_dict(stored["precision"])
            self._epoch_begun = now - self.state.seconds
            self._restored = None
        elif self.folder is not None:
            self.save()
        if self.trainer.global_rank == 0:
            self.losses += self.state.loss
        self.optimizer.zero_grad()

    def training_step(self, part: Part, index: int) -> Tensor:
        """The loss of a part."""
        state = self.state
        _seed(self.device, key("fit", "products", self.seed, state.epoch, part.place, self.trainer.global_rank))
        output = self.net(part.inputs)
        if not part.weight:
            return output.float().sum() * 0.0
        loss = self.loss(output, part.inputs, part.labels)
        self.losses += loss.detach() * part.counted
        if self.trainer.world_size == 1:
            self._watch(loss.detach())
        return loss if part.weight == 1.0 else loss * part.weight

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        """A step at this step's learning rate, then one of hardware-aware training."""
        for group, first in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = first * self.rate(self.state.step)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.session is not None:
            self.session.step()

    def on_train_batch_end(self, outputs: Any, batch: Part, batch_idx: int) -> None:
        """Count; save and stop between two optimiser steps."""
        state, loader = self.state, self.loader
        state.part += 1
        if state.part % loader.accumulate and state.part < loader.parts:
            return
        state.step += 1
        if self.trainer.loggers and state.step % _LOG_EVERY == 0:
            self._log({"loss": float(outputs["loss"]), "lr": self.optimizer.param_groups[0]["lr"]})
        now = time.monotonic()
        over = self.max_seconds is not None and now - self._begun >= self.max_seconds
        due = self.folder is not None and now - self._saved >= self.save_every
        over, due = self._agreed(over, due)
        if state.part == loader.parts:
            return
        if over or due:
            self.save()
        if over:
            raise OutOfTime

    def on_validation_epoch_start(self) -> None:
        """Count anew."""
        self.right = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, part: Part, index: int) -> None:
        """Right answers of a batch; the noise of products is the same in every epoch."""
        assert part.labels is not None
        _seed(self.device, key("fit", "validation", self.seed, part.place))
        output, labels = self.net(part.inputs), part.labels.flatten()
        if self.task == "classes":
            predicted = output.flatten(0, -2).argmax(-1)
        else:
            predicted = (output.flatten() > (0.5 if self.task == "probability" else 0.0)).to(labels.dtype)
        counted = labels != IGNORED
        self.right += torch.stack([((predicted == labels) & counted).sum(), counted.sum()])

    def on_train_epoch_end(self) -> None:
        """A row of the history, the best weights, a checkpoint."""
        state = self.state
        total = self._summed(self.losses)
        accuracy = None
        if self.val is not None:
            right, counted = self._summed(self.right).tolist()
            accuracy = right / counted
        seconds = time.monotonic() - self._epoch_begun
        rate = float(self.optimizer.param_groups[0]["lr"])
        loss = float(total) / self.loader.total
        self._require_finite(loss)
        state.history.append({"epoch": state.epoch, "loss": loss, "accuracy": accuracy, "lr": rate, "seconds": seconds})
        self._log({k: v for k, v in state.history[-1].items() if v is not None and k != "epoch"}, epoch=True)
        if accuracy is not None and (state.best is None or accuracy > state.best):
            state.best, state.best_epoch = accuracy, state.epoch
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.net.state_dict().items()}
            if self.folder is not None and self.trainer.is_global_zero:
                self._require_finite(loss)
                best = {"state_dict": self.best_weights, "epoch": state.epoch, "accuracy": accuracy}
                self.folder.save(self.folder.best, best)
        state.epoch, state.part, state.seconds, state.loss = state.epoch + 1, 0, 0.0, 0.0
        self.losses.zero_()
        self._epoch_begun = time.monotonic()
        since = state.epoch - 1 - (state.epoch - 1 if state.best_epoch is None else state.best_epoch)
        if self.early_stop is not None and since >= self.early_stop:
            state.stopped = f"no improvement over {self.early_stop} epochs"
            self.trainer.should_stop = True
        if state.epoch == self.epochs and not state.stopped:
            state.stopped = "all epochs done"
        if self.folder is not None:
            self.save()
        over = self.max_seconds is not None and time.monotonic() - self._begun >= self.max_seconds
        if not state.stopped and self._agreed(over, False)[0]:
            raise OutOfTime

    # The state.

    def restore(self, stored: dict[str, Any]) -> None:
        """Take up a checkpoint: weights and counters now, the optimiser's state when training starts."""
        assert self.folder is not None
        self.net.load_state_dict(stored["net"])
        self.state = State(**stored["state"])
        if self.session is not None:
            self.session.load_state_dict(stored["session"])
        if self.state.best is not None:
            self.best_weights = load_checkpoint(self.folder.best)["state_dict"]
        self._restored = stored

    def save(self) -> None:
        """Write the last checkpoint; every process has to call it."""
        if self.folder is None:
            return
        self._require_seen()
        state = self.state
        total = float(self._summed(self.losses))
        if not self.trainer.is_global_zero:
            self.losses.zero_()
            self._saved = time.monotonic()
            return
        self.losses.fill_(total)
        state.loss, state.seconds = total, time.monotonic() - self._epoch_begun
        bad = [k for k, v in self.net.named_parameters() if not bool(torch.isfinite(v).all())]
        if bad:
            raise self._not_finite(f"the weights of {bad[0]} are not finite", state.step)
        self.folder.save(
            self.folder.last,
            {
                "net": self.net.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "precision": self.trainer.precision_plugin.state_dict(),
                "session": None if self.session is None else self.session.state_dict(),
                "state": {**vars(state)},
            },
        )
        self._saved = time.monotonic()

    # Agreement of the processes, and losses that are not finite.

    def _summed(self, values: Tensor) -> Tensor:
        if self.trainer.world_size > 1:
            values = values.clone()
            torch.distributed.all_reduce(values)
        return values

    def _agreed(self, *flags: bool) -> tuple[bool, ...]:
        """What the first process says; and all of them notice a loss that is not finite in any."""
        if self.trainer.world_size == 1:
            return flags
        said = torch.tensor([float(f and self.trainer.is_global_zero) for f in flags], dtype=torch.float64)
        all_ = torch.cat([said.to(self.device), self.losses.reshape(1)])
        torch.distributed.all_reduce(all_)
        *agreed, loss = all_.tolist()
        self._require_finite(loss)
        return tuple(bool(flag) for flag in agreed)

    def _watch(self, loss: Tensor) -> None:
        """Look at a loss: at once on the CPU, one step late elsewhere, so that the host need not wait for the device."""
        if loss.device.type != "cpu":
            loss, self._unseen = self._unseen, (self.state.step, loss)  # type: ignore[assignment]
            if loss is not None:
                self._see(*loss)
        else:
            self._see(self.state.step, loss)

    def _require_seen(self) -> None:
        if self._unseen is not None:
            self._see(*self._unseen)
            self._unseen = None

    def _see(self, step: int, loss: Tensor) -> None:
        value = float(loss)
        if not math.isfinite(value):
            raise self._not_finite(f"the loss is {value}", step)

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise self._not_finite(f"the loss is {loss}", self.state.step)

    def _not_finite(self, problem: str, step: int) -> BadInput:
        kept = ""
        if self.folder is not None and self.folder.last.exists():
            kept = f"; the last good checkpoint is {self.folder.last}"
        return BadInput(f"{problem} in epoch {self.state.epoch}, step {step}{kept}", "lower lr, or check the data")

    def _log(self, values: dict[str, Any], *, epoch: bool = False) -> None:
        for logger in self.trainer.loggers:
            names = {(f"epoch_{k}" if epoch else k): v for k, v in values.items()}
            logger.log_metrics({**names, "epoch": self.state.epoch}, step=self.state.step)
            if epoch:
                logger.save()


def _seed(device: torch.device, seed: int) -> None:
    """Seed torch's generators that a network on this device reads.

    torch.manual_seed would write down a stack trace at every call where CUDA has not been used.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)

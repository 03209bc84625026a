"""The loop itself: steps, epochs, checkpoints, and the way back into any of them."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mho.errors import NotFinite
from mho.nn.calling import call
from mho.rng import key, seed
from mho.tasks import Task
from mho.tasks.items import take, tensors_of
from mho.training.loop.checkpoints import Folder, load_checkpoint
from mho.training.loop.loader import Loader, Part, Samples, moved
from mho.training.loop.loggers import Log
from mho.training.loop.loss import Loss
from mho.training.loop.processes import Processes

_ALL = "all epochs done"
_EVERY = 10
"""Steps between two lines of the loggers, and between two looks at the loss where looking would wait for the device."""


@dataclass
class State:
    """Where training stands, between two optimiser steps."""

    epoch: int = 0  # epochs done
    part: int = 0  # parts of the current epoch done
    step: int = 0  # optimiser steps done
    loss: float = 0.0  # sum of the losses of the current epoch's samples
    seconds: float = 0.0  # time spent in the current epoch
    history: list[dict[str, float | int | None]] = field(default_factory=list)  # a line for each epoch done
    best: float | None = None  # worth of the best score so far
    best_epoch: int | None = None  # its epoch
    stopped: str = ""  # why training ended, empty while it has not


@dataclass(eq=False)
class Run:
    """A network in training; it knows its position and saves it."""

    net: nn.Module
    loss: Loss
    task: Task  # its headline is the score on `val`
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]  # the learning rate as a share of each group's first one, by step
    session: Any  # of hardware-aware training, or None
    loader: Loader
    val: Samples | None
    processes: Processes
    precision: str
    seed: int  # root of the address of the noise of products
    folder: Folder | None  # where to save
    save_every: float  # seconds between two checkpoints within an epoch
    epochs: int
    max_seconds: float | None  # after which to stop
    early_stop: int | None  # epochs without improvement after which to stop

    def __post_init__(self) -> None:
        self.device, self.state, self.logs = self.processes.device, State(), list[Log]()
        self.best_weights: dict[str, Tensor] | None = None
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.losses = torch.zeros((), dtype=torch.float64, device=self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "16-mixed")
        kind = torch.float16 if self.precision == "16-mixed" else torch.bfloat16
        # Without its cache: what was cast first under no_grad, say for a converter's range, would lose its gradient.
        self.autocast = torch.autocast(self.device.type, kind, enabled=self.precision != "32", cache_enabled=False)

    def train(self, logs: list[Log]) -> None:
        """Go on until training ends or its time is over, which leaves `State.stopped` empty."""
        state, loader, self.logs = self.state, self.loader, logs
        self._begun = self._saved = time.monotonic()
        self._epoch_begun = self._begun - state.seconds
        module = self.processes.parallel(self.net.train())
        self.optimizer.zero_grad()
        if not state.step:
            self.save()
        while not state.stopped:
            for part in loader.epoch(state.epoch, state.part):
                state.part += 1
                last = state.part % loader.accumulate == 0 or state.part == loader.parts
                with contextlib.nullcontext() if last or module is self.net else module.no_sync():  # type: ignore[operator]
                    loss = self._learn(module, part)
                if last and self._step(loss):
                    self.processes.align(self.net)
                    return

    def _learn(self, module: nn.Module, part: Part) -> Tensor:
        """Add the gradient of a part."""
        seed(self.device, key("fit", "products", self.seed, self.state.epoch, part.place, self.processes.rank))
        inputs, targets = moved((part.inputs, part.targets), self.device)
        with self.autocast:
            output = call(module, inputs)
            if part.weight:
                loss = self.loss(output, inputs, targets)
            else:  # nothing counts here: a gradient of 0, for which the other processes wait
                loss = torch.stack([y.float().sum() for y in tensors_of(output)]).sum() * 0.0
        self.losses += loss.detach() * part.counted
        self.scaler.scale(loss * part.weight / self.loader.accumulate).backward()
        return loss.detach()

    def _step(self, loss: Tensor) -> bool:
        """An optimiser step, and what is due after it; whether time is over."""
        state = self.state
        for group, first in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = first * self.rate(state.step)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.session is not None:
            self.session.step()
        state.step += 1
        if self.logs and state.step % _EVERY == 0:
            self._log({"loss": float(loss), "lr": self.optimizer.param_groups[0]["lr"], "epoch": state.epoch})
        if state.part == self.loader.parts:
            self._end_epoch()
        now = time.monotonic()
        over: float = self.max_seconds is not None and now - self._begun >= self.max_seconds
        due: float = self.folder is not None and now - self._saved >= self.save_every
        if self.processes.world > 1 or self.device.type == "cpu" or state.step % _EVERY == 0:
            over, due, _ = self._agree(over, due)
        if (over or due) and state.part:
            self.save()
        return bool(over)

    def _end_epoch(self) -> None:
        """A line of the history, the best weights, a checkpoint."""
        state, worth, score = self.state, None, None
        self.processes.align(self.net)
        loss = self._agree()[0] / self.loader.total
        if self.val is not None:
            worth = self._validate(self.val)
            score = self.task.headline.shown(worth)
        row: dict[str, float | int | None] = {
            "epoch": state.epoch, "loss": loss, "score": score, "lr": float(self.optimizer.param_groups[0]["lr"]),
            "seconds": time.monotonic() - self._epoch_begun,
        }  # fmt: skip
        state.history.append(row)
        numbers = {f"epoch_{k}": float(v) for k, v in row.items() if k != "epoch" and v is not None}
        self._log({**numbers, "epoch": state.epoch})
        if worth is not None and worth > (-math.inf if state.best is None else state.best):
            state.best, state.best_epoch = worth, state.epoch
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.net.state_dict().items()}
            if self.folder is not None and self.processes.first:
                best = {"state_dict": self.best_weights, "epoch": state.epoch, "score": score}
                self.folder.save(self.folder.best, best)
        state.epoch, state.part = state.epoch + 1, 0
        if state.epoch == self.epochs:
            state.stopped = _ALL
        waited = 0 if state.best_epoch is None else state.epoch - 1 - state.best_epoch
        if self.early_stop is not None and waited >= self.early_stop:
            state.stopped = f"no improvement over {self.early_stop} epochs"
        self.losses.zero_()
        self._epoch_begun = time.monotonic()
        self.save()

    @torch.no_grad()
    def _validate(self, val: Samples) -> float:
        """Worth of the score on the validation set; the noise of products is the same in every epoch."""
        self.net.eval()
        headline, size = self.task.headline, self.loader.batch
        found = torch.zeros(2, dtype=torch.float64, device=self.device)
        for place in range(self.processes.rank, -(-len(val) // size), self.processes.world):
            part = take((val.inputs, val.targets), slice(place * size, (place + 1) * size))
            inputs, targets = moved(part, self.device)
            seed(self.device, key("fit", "validation", self.seed, place))
            with self.autocast:
                output = call(self.net, inputs)
            scores = self.task.scores(output, targets)[headline.name]
            found += torch.stack([scores.double().sum(), found.new_tensor(len(scores))])
        self.net.train()
        total, counted = self.processes.sum(found).tolist()
        return float(headline.worth(total / counted))

    def _log(self, values: dict[str, float]) -> None:
        for log in self.logs:
            log(self.state.step, values)

    def restore(self, stored: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        self.net.load_state_dict(stored["net"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.scaler.load_state_dict(stored["scaler"])
        self.state = State(**stored["state"])
        if self.state.stopped == _ALL and self.state.epoch < self.epochs:
            self.state.stopped = ""
        self.losses.fill_(self.state.loss if self.processes.first else 0.0)
        if self.session is not None:
            self.session.load_state_dict(stored["session"])
        if self.state.best is not None and self.folder is not None:
            self.best_weights = load_checkpoint(self.folder.best)["state_dict"]

    def save(self) -> None:
        """Write the last checkpoint, where there is a folder; every process has to call it."""
        if self.folder is None:
            return
        state = self.state
        (state.loss,) = self._agree()
        state.seconds, self._saved = time.monotonic() - self._epoch_begun, time.monotonic()
        # As after `restore`: the first process has the sum, so that stopping here changes no digit of it.
        self.losses.fill_(state.loss if self.processes.first else 0.0)
        if not self.processes.first:
            return
        for name, parameter in self.net.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise self._not_finite(f"the weights of {name} are not finite")
        stored = {
            "net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict(),
            "session": None if self.session is None else self.session.state_dict(), "state": {**vars(state)},
        }  # fmt: skip
        self.folder.save(self.folder.last, stored)

    def _agree(self, *flags: float) -> list[float]:
        """What the first process says, and the sum of all losses, which ends all processes where it is not finite."""
        said = torch.tensor([f * self.processes.first for f in flags], dtype=torch.float64, device=self.device)
        found: list[float] = self.processes.sum(torch.cat([said, self.losses[None]])).tolist()
        if not math.isfinite(found[-1]):
            raise self._not_finite(f"the loss is {found[-1]}")
        return found

    def _not_finite(self, problem: str) -> NotFinite:
        kept = self.folder is not None and self.folder.last.exists()
        problem += f" in epoch {self.state.epoch}, after step {self.state.step}"
        problem += f"; the last good checkpoint is {self.folder.last}" if self.folder is not None and kept else ""
        return NotFinite(problem, "lower lr, or check the data")

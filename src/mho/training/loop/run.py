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

from mho.errors import BadInput
from mho.rng import key
from mho.tasks import Task
from mho.training.loop.checkpoints import Folder, load_checkpoint
from mho.training.loop.loader import Loader, Part, Samples, each
from mho.training.loop.loggers import Logger
from mho.training.loop.processes import Processes

_EVERY = 10
"""Steps between two lines of the loggers, and between two looks at the loss where looking would wait for the device."""

Loss = Callable[[Any, Tensor, Any], Tensor]
"""From (output, inputs, targets) to the mean loss."""


@dataclass
class State:
    """Where training stands, between two optimiser steps.

    Attributes:
        epoch: Epochs done.
        part: Parts of the current epoch done.
        step: Optimiser steps done.
        loss: Sum of the losses of the current epoch's samples.
        seconds: Time spent in the current epoch.
        history: A line for each epoch done.
        best: Worth of the best score so far.
        best_epoch: Its epoch.
        stopped: Why training ended, empty while it has not.
    """

    epoch: int = 0
    part: int = 0
    step: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, float | int | None]] = field(default_factory=list)
    best: float | None = None
    best_epoch: int | None = None
    stopped: str = ""


class Run:
    """A network in training; it knows its position and saves it.

    Args:
        net: The network.
        loss: What is minimised.
        task: Whose headline is the score on `val`.
        optimizer: Of its parameters.
        rate: The learning rate as a share of each group's first one, by step.
        session: Of hardware-aware training, or None.
        loader: The data.
        val: Validation data, or None.
        processes: That train together.
        precision: As `fit` takes it.
        seed: Root of the address of the noise of products.
        folder: Where to save, or None.
        save_every: Seconds between two checkpoints within an epoch.
        epochs: Passes over the data.
        max_seconds: Seconds after which to stop.
        early_stop: Epochs without improvement after which to stop.
    """

    def __init__(
        self, net: nn.Module, *, loss: Loss, task: Task, optimizer: torch.optim.Optimizer,
        rate: Callable[[int], float], session: Any, loader: Loader, val: Samples | None, processes: Processes, precision: str,
        seed: int, folder: Folder | None, save_every: float, epochs: int, max_seconds: float | None, early_stop: int | None,
    ) -> None:  # fmt: skip
        self.net, self.loss, self.task, self.optimizer, self.rate, self.session = net, loss, task, optimizer, rate, session
        self.loader, self.val, self.processes, self.seed, self.folder = loader, val, processes, seed, folder
        self.save_every, self.epochs, self.max_seconds, self.early_stop = save_every, epochs, max_seconds, early_stop
        self.device, self.state, self.loggers = processes.device, State(), list[Logger]()
        self.best_weights: dict[str, Tensor] | None = None
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.losses = torch.zeros((), dtype=torch.float64, device=self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "16-mixed")
        kind = torch.float16 if precision == "16-mixed" else torch.bfloat16
        # Without its cache: what was cast first under no_grad, say for a converter's range, would lose its gradient.
        self.autocast = torch.autocast(self.device.type, kind, enabled=precision != "32", cache_enabled=False)
        self._begun = self._saved = self._epoch_begun = time.monotonic()

    def train(self, loggers: list[Logger]) -> None:
        """Go on until training ends or its time is over, which leaves `State.stopped` empty."""
        state, loader = self.state, self.loader
        self.loggers = loggers if self.processes.first else []
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
        """The gradient of a part."""
        _seed(self.device, key("fit", "products", self.seed, self.state.epoch, part.place, self.processes.rank))
        inputs, targets = part.inputs.to(self.device), each(part.targets, self._here)
        with self.autocast:
            output = module(inputs)
            # A part in which nothing counts has the gradient 0, which other processes wait for.
            loss = self.loss(output, inputs, targets) if part.weight else _nothing(output)
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
        if self.loggers and state.step % _EVERY == 0:
            self._log({"loss": float(loss), "lr": self.optimizer.param_groups[0]["lr"], "epoch": state.epoch})
        if state.part == self.loader.parts:
            self._end_epoch()
        now = time.monotonic()
        over = self.max_seconds is not None and now - self._begun >= self.max_seconds
        due = self.folder is not None and now - self._saved >= self.save_every
        over, due = self._agree(over, due)
        if (over or due) and state.part:
            self.save()
        return over

    def _end_epoch(self) -> None:
        """A line of the history, the best weights, a checkpoint."""
        state = self.state
        self.processes.align(self.net)
        loss = self._finite() / self.loader.total
        worth = None if self.val is None else self._validate(self.val)
        score = None if worth is None else self.task.headline.shown(worth)
        row: dict[str, float | int | None] = {
            "epoch": state.epoch, "loss": loss, "score": score, "lr": float(self.optimizer.param_groups[0]["lr"]),
            "seconds": time.monotonic() - self._epoch_begun,
        }  # fmt: skip
        state.history.append(row)
        numbers = {f"epoch_{k}": float(v) for k, v in row.items() if k != "epoch" and v is not None}
        self._log({**numbers, "epoch": state.epoch})
        if worth is not None and (state.best is None or worth > state.best):
            state.best, state.best_epoch = worth, state.epoch
            self.best_weights = {k: v.detach().cpu().clone() for k, v in self.net.state_dict().items()}
            if self.folder is not None and self.processes.first:
                self.folder.save(self.folder.best, {"state_dict": self.best_weights, "epoch": state.epoch, "score": score})
        if state.best_epoch is not None and self.early_stop is not None:
            if state.epoch - state.best_epoch >= self.early_stop:
                state.stopped = f"no improvement over {self.early_stop} epochs"
        state.epoch, state.part = state.epoch + 1, 0
        if state.epoch == self.epochs and not state.stopped:
            state.stopped = "all epochs done"
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
            inputs, targets = val.take(slice(place * size, (place + 1) * size))
            _seed(self.device, key("fit", "validation", self.seed, place))
            with self.autocast:
                output = self.net(inputs.to(self.device))
            scores = self.task.scores(output, each(targets, self._here))[headline.name]
            found += torch.stack([scores.double().sum(), found.new_tensor(len(scores))])
        self.net.train()
        total, counted = self.processes.sum(found).tolist()
        return float(headline.worth(total / counted))

    def _here(self, target: Tensor) -> Tensor:
        return target.to(self.device)

    def _log(self, values: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.log(self.state.step, values)

    # The state.

    def restore(self, stored: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        assert self.folder is not None
        self.net.load_state_dict(stored["net"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.scaler.load_state_dict(stored["scaler"])
        self.state = State(**stored["state"])
        self.losses += self.state.loss if self.processes.first else 0.0
        if self.session is not None:
            self.session.load_state_dict(stored["session"])
        if self.state.best is not None:
            self.best_weights = load_checkpoint(self.folder.best)["state_dict"]

    def save(self) -> None:
        """Write the last checkpoint, where there is a folder; every process has to call it."""
        if self.folder is None:
            return
        state = self.state
        state.loss, state.seconds = self._finite(), time.monotonic() - self._epoch_begun
        self._saved = time.monotonic()
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

    def _agree(self, *flags: bool) -> tuple[bool, ...]:
        """What the first process says. All of them end where a loss is not finite in any."""
        if self.processes.world == 1:
            if self.device.type == "cpu" or self.state.step % _EVERY == 0:
                self._finite()
            return flags
        said = torch.tensor([f and self.processes.first for f in flags], dtype=torch.float64, device=self.device)
        agreed = self.processes.sum(torch.cat([said, self.losses[None]])).tolist()
        self._finite(agreed.pop())
        return tuple(bool(flag) for flag in agreed)

    def _finite(self, loss: float | None = None) -> float:
        """The sum of the losses of all processes, if it is a number."""
        loss = float(self.processes.sum(self.losses)) if loss is None else loss
        if not math.isfinite(loss):
            raise self._not_finite(f"the loss is {loss}")
        return loss

    def _not_finite(self, problem: str) -> BadInput:
        kept = ""
        if self.folder is not None and self.folder.last.exists():
            kept = f"; the last good checkpoint is {self.folder.last}"
        problem += f" in epoch {self.state.epoch}, after step {self.state.step}{kept}"
        return BadInput(problem, "lower lr, or check the data")


def _seed(device: torch.device, seed: int) -> None:
    """Seed torch's generators that a network on this device reads.

    torch.manual_seed would write down a stack trace at every call where CUDA has not been used.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)


def _nothing(output: Any) -> Tensor:
    """0, with a gradient for everything."""
    parts = output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else [output]
    return torch.stack([part.float().sum() * 0.0 for part in parts]).sum()

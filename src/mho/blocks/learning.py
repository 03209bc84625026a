"""The loop of `learn` itself: steps, epochs, checkpoints, and the way back into any of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mho.blocks.chips import RandomChips
from mho.blocks.step import PolicyStep
from mho.errors import NotFinite
from mho.models.block_drop import BlockDrop
from mho.nn.norm import single_samples_refused
from mho.progress import Meter
from mho.rng import key, reads
from mho.training.loop.checkpoints import Folder
from mho.training.loop.loader import Augment

_KEPT = ("reward", "baseline", "right", "greedy")
"""What is remembered of a step until its epoch ends."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch found, mean over its samples.

    Attributes:
        reward: Of the blocks that were drawn.
        baseline: Of the likeliest blocks.
        accuracy: Share of right answers with the blocks that were drawn.
        blocks: Number of the likeliest blocks.
        policies: Distinct choices among the likeliest blocks of all samples.
        free: Blocks that the curriculum let be dropped.
    """

    reward: float
    baseline: float
    accuracy: float
    blocks: float
    policies: int
    free: int


@dataclass(eq=False)
class Learning:
    """A policy that learns; it knows its position and saves it."""

    net: BlockDrop
    inputs: Any
    targets: Any
    step: Callable[[Tensor, Tensor, BlockDrop | None, int], PolicyStep]  # of inputs, labels, judge, free blocks
    optimizer: torch.optim.Optimizer
    session: Any  # of hardware-aware training, or None
    chips: RandomChips | None
    ramp: int  # epochs of the curriculum
    augment: Augment | None
    epochs: int
    batch: int
    seed: int
    folder: Folder | None
    save_every: float  # seconds between two checkpoints

    def __post_init__(self) -> None:
        self.steps = math.ceil(len(self.targets) / self.batch)
        self.done, self.saved = 0, time.monotonic()
        self.history: list[Epoch] = []
        self.found: list[dict[str, Tensor]] = []
        self.drawn = torch.Generator()  # of the order of an epoch, and of what augments it
        self.judge: BlockDrop | None = None

    def run(self, told: Meter) -> None:
        """Go on until all epochs are done."""
        if not self.done:
            self.save()
        with single_samples_refused(f"give another batch than {self.batch}, or one sample less"):
            while self.done < self.epochs * self.steps:
                self._epoch(told)
        self.save()

    def _epoch(self, told: Meter) -> None:
        """The rest of an epoch."""
        epoch, first = divmod(self.done, self.steps)
        blocks = len(self.net.droppable)
        free = blocks if epoch >= self.ramp else math.ceil(blocks * (epoch + 1) / self.ramp)
        stopped = self.drawn.get_state()
        self.drawn.manual_seed(key("policy", self.seed, epoch))
        order = torch.randperm(len(self.targets), generator=self.drawn).split(self.batch)
        if first:
            self.drawn.set_state(stopped)
        for rows in order[first:]:
            step = self._step(rows, free)
            self.found.append({name: getattr(step, name) for name in _KEPT})
            if self.done % self.steps == 0:
                self.history.append(self._mean(free))
                self.found = []
            told(self.done, self.epochs * self.steps, known=_known(self.history))
            self._save_if_due()

    def _step(self, rows: Tensor, free: int) -> PolicyStep:
        x, y = self.inputs[rows], self.targets[rows]
        x = x if self.augment is None else self.augment(x, self.drawn)
        if self.chips is not None and self.done % self.chips.every == 0:
            self.judge = self.chips.at(self.net, self.done)
        with reads("policy", self.seed, self.done):
            step = self.step(x, y, self.judge, free)
        if not bool(step.loss.isfinite()):
            raise NotFinite(f"the loss is {float(step.loss)} at step {self.done}", "give a lower lr", path="lr")
        self.optimizer.zero_grad()
        step.loss.backward()
        self.optimizer.step()
        if self.session is not None:
            self.session.step()
        self.done += 1
        return step

    def _mean(self, free: int) -> Epoch:
        found = {name: torch.cat([each[name] for each in self.found]) for name in _KEPT}
        reward, baseline, right = (float(found[name].float().mean()) for name in _KEPT[:3])
        blocks = float(found["greedy"].sum(1).float().mean())
        return Epoch(reward, baseline, right, blocks, len(found["greedy"].unique(dim=0)), free)

    def _save_if_due(self) -> None:
        """Save, where it is time; not while a chip judges, which the network may have left behind since it was programmed."""
        if self.chips is not None and self.done % self.chips.every:
            return
        if time.monotonic() - self.saved >= self.save_every:
            self.save()

    def save(self) -> None:
        """Write the last checkpoint, where there is a folder."""
        if self.folder is None:
            return
        self.saved = time.monotonic()
        self.folder.save(self.folder.last, {
            "net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "done": self.done,
            "session": None if self.session is None else self.session.state_dict(), "found": self.found,
            "history": [asdict(epoch) for epoch in self.history], "drawn": self.drawn.get_state(),
        })  # fmt: skip

    def restore(self, stored: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        self.net.load_state_dict(stored["net"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.drawn.set_state(stored["drawn"])
        self.done, self.found = stored["done"], stored["found"]
        self.history = [Epoch(**epoch) for epoch in stored["history"]]
        if self.session is not None:
            self.session.load_state_dict(stored["session"])


def _known(history: list[Epoch]) -> str:
    if not history:
        return "first epoch"
    last = history[-1]
    return (
        f"reward {last.reward:.3f}, {last.blocks:.1f} blocks in {last.policies} policies, {100 * last.accuracy:.1f} %"
    )

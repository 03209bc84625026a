"""`Probability`, `Logit`: is it there or not, from one output and a threshold."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.errors import BadInput, WrongSetting
from mho.tasks.parts import answer
from mho.tasks.score import ACCURACY, Score
from mho.tasks.task import IGNORED, Scored, Task, no_tensor, whole_labels

_ROUNDING = 1e-4
"""How far a probability may lie outside [0, 1]."""


@dataclass(frozen=True)
class Binary(Task):
    """One output a label, for class 1, and labels 0 or 1, `IGNORED` where nothing counts.

    Scores: accuracy (right or wrong: class 1 is the answer above the threshold), and loss, the binary cross-entropy in nats,
    which no threshold changes.
    """

    scale: ClassVar[Literal["logits", "probabilities"]]

    headline: ClassVar[Score] = ACCURACY

    def targets(self, target: Any, *, path: str = "data", training: bool = False) -> Tensor:
        """See `Task`: int64, or float32 where training may have soft labels in [0, 1]."""
        soft = torch.as_tensor(target)
        y = soft.float() if training and soft.is_floating_point() else whole_labels(target, path)
        counted = y[y != IGNORED]
        if counted.numel() and not (float(counted.min()) >= 0 and float(counted.max()) <= 1):
            raise BadInput(
                f"labels run from {float(counted.min()):g} to {float(counted.max()):g}",
                f"labels of a binary task are 0 and 1, or {IGNORED} to skip",
                path=path,
            )
        return y

    def counts(self, target: Tensor) -> Tensor:
        """See `Task`."""
        return (target != IGNORED)[:, None].flatten(1).sum(1)

    @abstractmethod
    def logit(self, output: Tensor) -> Tensor:
        """The output as log p/(1 - p)."""

    @abstractmethod
    def positive(self, output: Tensor) -> Tensor:
        """Whether the answer is class 1."""

    @abstractmethod
    def cross_entropy(self, output: Tensor, target: Tensor) -> Tensor:
        """One value a label; labels are float32."""

    def score(self, output: Any, target: Tensor) -> Scored:
        """See `Task`."""
        y, labels = _counted(output, target)
        positive, right = self.positive(y), labels.bool()
        scores = {"accuracy": (positive == right) & ~y.isnan(), "loss": self.cross_entropy(y, labels.float())}
        return Scored(scores, positive.long(), right.long())

    def loss(self, output: Any, target: Tensor) -> Tensor:
        """See `Task`; without a look at the values, which a GPU would have to be waited for."""
        y, labels = _flat(output, target)
        counted = labels != IGNORED
        with torch.autocast(y.device.type, enabled=False):
            each = self.cross_entropy(y, labels.float().clamp(0, 1))
            return torch.where(counted, each, 0.0).sum() / counted.sum()

    def logits(self, output: Any, target: Tensor) -> tuple[Tensor, Tensor]:
        """See `Task`: the scores of class 0 are zeros."""
        y, labels = _counted(output, target)
        z = self.logit(y)
        return torch.stack([torch.zeros_like(z), z], -1), labels.long()

    def labels(self, target: Tensor) -> Tensor:
        """See `Task`."""
        return target[target != IGNORED].long()


@dataclass(frozen=True)
class Probability(Binary):
    """The output is the probability of class 1, after a sigmoid.

    Attributes:
        threshold: Class 1 is the answer above it, in (0, 1).
    """

    kind: ClassVar[str] = "probability"
    scale: ClassVar[Literal["logits", "probabilities"]] = "probabilities"
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise WrongSetting(
                f"threshold {self.threshold}", "a probability lies between 0 and 1", path="task.threshold"
            )

    def score(self, output: Any, target: Tensor) -> Scored:
        """See `Task`; outputs that are no probabilities are refused."""
        if isinstance(output, Tensor) and output.numel():
            low, high = map(float, torch.aminmax(output.detach().float()))
            if low < -_ROUNDING or high > 1 + _ROUNDING:
                raise WrongSetting(
                    f"the network's outputs run from {low:.4g} to {high:.4g}; a probability lies in [0, 1]",
                    "for an output before the sigmoid say task='logit'", path="task",
                )  # fmt: skip
        return super().score(output, target)

    def logit(self, output: Tensor) -> Tensor:
        """See `Binary`; probabilities nearer than 1e-7 to 0 or 1 count as that near."""
        return torch.logit(output, eps=1e-7)

    def positive(self, output: Tensor) -> Tensor:
        """See `Binary`."""
        return output > self.threshold

    def cross_entropy(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Binary`; logarithms are never below -100."""
        # torch refuses a batch with one number outside [0, 1], which rounding may leave; NaN has to stay visible.
        each = F.binary_cross_entropy(output.nan_to_num(0.5).clamp(0, 1), target, reduction="none")
        return torch.where(output.isnan(), output, each)


@dataclass(frozen=True)
class Logit(Binary):
    """The output is log p/(1 - p) of the probability p of class 1, before a sigmoid.

    Attributes:
        threshold: Class 1 is the answer above it; 0 is a probability of 1/2.
    """

    kind: ClassVar[str] = "logit"
    scale: ClassVar[Literal["logits", "probabilities"]] = "logits"
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise WrongSetting(f"threshold {self.threshold}", "a logit is a finite number", path="task.threshold")

    def logit(self, output: Tensor) -> Tensor:
        """See `Binary`."""
        return output

    def positive(self, output: Tensor) -> Tensor:
        """See `Binary`."""
        return output > self.threshold

    def cross_entropy(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Binary`."""
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")


def _flat(output: Any, target: Tensor) -> tuple[Tensor, Tensor]:
    y = answer(output)
    if not isinstance(y, Tensor):
        raise no_tensor(y)
    if y.numel() != target.numel():
        raise BadInput(f"outputs {tuple(y.shape)} do not go with labels {tuple(target.shape)}", "one output a label")
    return y.float().flatten(), target.flatten().to(y.device)


def _counted(output: Any, target: Tensor) -> tuple[Tensor, Tensor]:
    y, labels = _flat(output, target)
    counted = labels != IGNORED
    return (y, labels) if bool(counted.all()) else (y[counted], labels[counted])

"""`Exits`: a network with exits, each of which scores the same classes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.errors import BadInput, WrongSetting
from mho.rng import Stream
from mho.tasks.classes import Classes
from mho.tasks.score import ACCURACY, Score
from mho.tasks.task import Scored, Task
from mho.units import share

WEIGHTS = ("equal", "branchynet", "rising", "falling")
_LAST = 0.3
"""Weight of the last exit, the first having 1 (BranchyNet, arXiv:1709.01686, on AlexNet)."""


@dataclass(frozen=True)
class Exits(Task):
    """A dict of class scores (N, C) by the exit's name, from the first to the last (`mho.models.multi_exit`), and class numbers.

    The headline is the accuracy of one exit, and what is counted by class is that exit's. Scores beside it: for each exit
    ``exit1.accuracy`` and ``exit1.loss``, its cross-entropy in nats. "loss" is the joint loss
    Σ w (CE(exit, labels)), with weights w that sum to 1. With distillation (T, s) each exit but the last has
    (1 - s) · CE(exit, labels) + s · T² · KL(softmax(last / T) ‖ softmax(exit / T)) instead, the last held constant.

    Attributes:
        result: Name of the exit whose accuracy is the headline; None: the last.
        weights: ``"equal"``; ``"rising"`` 1, 2, …, K; ``"falling"`` K, …, 1; ``"branchynet"`` from 1 at the first exit to 0.3 at
            the last, in equal steps; or one number an exit, none negative.
        distillation: (temperature, share of the last exit's answers), or None.

    Raises:
        WrongSetting: An unknown word, weights that are negative or all 0, a temperature or share outside its range.
    """

    kind: ClassVar[str] = "exits"
    result: str | None = None
    weights: str | tuple[float, ...] = "equal"
    distillation: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        given = self.weights
        if isinstance(given, str):
            wrong = given not in WEIGHTS
        else:
            wrong = not isinstance(given, Sequence) or not all(
                isinstance(w, (int, float)) and 0 <= w < 1e9 for w in given
            )
            wrong = wrong or not sum(given)
        if wrong:
            remedy = f"one of {', '.join(WEIGHTS)}, or a number an exit, none negative, not all 0"
            raise WrongSetting(f"weights {given!r}", remedy, path="task.weights")
        if not isinstance(given, str):
            object.__setattr__(self, "weights", tuple(map(float, given)))
        if self.distillation is not None:
            pair = self.distillation
            if (
                not isinstance(pair, (tuple, list))
                or len(pair) != 2
                or not isinstance(pair[0], numbers.Real)
                or not 0 < pair[0] < math.inf
                or not 0 <= share(pair[1], "task.distillation") <= 1
            ):
                remedy = "give (temperature above 0, share in 0 … 1), as in (4.0, 0.5)"
                raise WrongSetting(f"distillation = {pair!r}", remedy, path="task.distillation")
            object.__setattr__(self, "distillation", (float(pair[0]), share(pair[1], "share")))

    @property
    def headline(self) -> Score:
        """Accuracy of the exit `result`, or of the last."""
        return ACCURACY if self.result is None else Score("accuracy", label=f"accuracy of {self.result}")

    def shares(self, exits: int) -> tuple[float, ...]:
        """Weights of so many exits, which sum to 1.

        Raises:
            WrongSetting: `weights` are for another number of exits.
        """
        numbers = range(exits)
        by_name = {
            "equal": [1.0] * exits, "rising": [n + 1.0 for n in numbers], "falling": [float(exits - n) for n in numbers],
            "branchynet": [1 - (1 - _LAST) * n / max(1, exits - 1) for n in numbers],
        }  # fmt: skip
        found = by_name[self.weights] if isinstance(self.weights, str) else list(self.weights)
        if len(found) != exits:
            problem = f"{len(found)} weights for {exits} exits"
            raise WrongSetting(problem, "give one number for each exit, the last one too", path="task.weights")
        return tuple(w / sum(found) for w in found)

    def targets(self, target: Any, *, path: str = "data", training: bool = False) -> Tensor:
        """See `Task`: class numbers as int64."""
        return _CLASSES.targets(target, path=path, training=training)

    def counts(self, target: Tensor) -> Tensor:
        """See `Task`."""
        return _CLASSES.counts(target)

    def labels(self, target: Tensor) -> Tensor | None:
        """See `Task`."""
        return _CLASSES.labels(target)

    def logits(self, output: Any, target: Tensor) -> tuple[Tensor, Tensor]:
        """See `Task`: those of the exit `result`."""
        named = by_exit(output)
        return _CLASSES.logits(named[self._result(named)], target)

    def score(self, output: Any, target: Tensor) -> Scored:
        """See `Task`."""
        named = by_exit(output)
        found = {name: _CLASSES.score(scores, target) for name, scores in named.items()}
        chosen = found[self._result(named)]
        scores = {f"{name}.{key}": value for name, each in found.items() for key, value in each.scores.items()}
        parts = self._losses(named, {name: each.scores["loss"] for name, each in found.items()}, target)
        joint = torch.stack([w * part for w, part in zip(self.shares(len(parts)), parts, strict=True)]).sum(0)
        return chosen._replace(scores={"accuracy": chosen.scores["accuracy"], **scores, "loss": joint})

    def own_loss(self, output: Any, target: Tensor, draw: Stream) -> Tensor:
        """See `Task`: drawn for each exit; the root of a weight makes the covariance that of the weighted loss."""
        named = by_exit(output)
        parts = zip(self.shares(len(named)), named.items(), strict=True)
        return torch.stack([w**0.5 * _CLASSES.own_loss(y, target, draw / name) for w, (name, y) in parts]).sum()

    def _losses(self, named: Mapping[str, Tensor], plain: Mapping[str, Tensor], target: Tensor) -> list[Tensor]:
        """Loss of each sample at each exit."""
        if self.distillation is None:
            return list(plain.values())
        temperature, of_last = self.distillation
        *early, last = named
        teacher = F.log_softmax(_CLASSES.logits(named[last], target)[0].detach().float() / temperature, -1)
        found = []
        for name in early:
            student = F.log_softmax(_CLASSES.logits(named[name], target)[0].float() / temperature, -1)
            apart = F.kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
            found.append((1 - of_last) * plain[name] + of_last * temperature**2 * apart)
        return [*found, plain[last]]

    def _result(self, named: Mapping[str, Tensor]) -> str:
        name = self.result or next(reversed(list(named)))
        if name not in named:
            raise WrongSetting(f"there is no exit '{name}'", f"exits are {', '.join(named)}", path="task.result")
        return name


_CLASSES = Classes()


def by_exit(output: Any) -> dict[str, Tensor]:
    """The scores of each exit by name; those of a tuple are called exit1, exit2, …

    Raises:
        BadInput: The output is something else.
    """
    if isinstance(output, (tuple, list)):
        output = {f"exit{i + 1}": part for i, part in enumerate(output)}
    if not isinstance(output, Mapping) or not output or not all(isinstance(part, Tensor) for part in output.values()):
        raise BadInput(
            f"the network answers with a {type(output).__name__}, not with the scores of exits",
            "give it exits: mho.models.multi_exit(net, [...], example=x)", path="task",
        )  # fmt: skip
    return dict(output)


def last_exit(output: Any) -> Any:
    """The scores of the last exit, the headline where nothing else is told; the output itself where it has no exits."""
    if isinstance(output, Mapping) and output and list(output) == [f"exit{i + 1}" for i in range(len(output))]:
        return list(output.values())[-1]
    return output

"""`Classes`: one class of C for each sample, from a score for each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from mho.errors import BadInput, WrongSetting
from mho.tasks.parts import answer
from mho.tasks.score import ACCURACY, Score
from mho.tasks.task import IGNORED, Scored, Task, no_tensor, whole_labels


@dataclass(frozen=True)
class Classes(Task):
    """Scores (…, C) before a softmax, and class numbers (…), `IGNORED` where nothing counts.

    Scores: accuracy (right or wrong: the largest score is the answer), and loss, the cross-entropy in nats.
    """

    kind: ClassVar[str] = "classes"

    headline: ClassVar[Score] = ACCURACY

    def targets(self, target: Any, *, path: str = "data", training: bool = False) -> Tensor:
        """See `Task`: class numbers as int64."""
        return whole_labels(target, path)

    def counts(self, target: Tensor) -> Tensor:
        """See `Task`."""
        return (target != IGNORED)[:, None].flatten(1).sum(1)

    def logits(self, output: Any, target: Tensor) -> tuple[Tensor, Tensor]:
        """See `Task`: without the ignored positions."""
        y = _score_a_class(output, target)
        scores, labels = y.flatten(0, -2), target.flatten().to(y.device)
        counted = labels != IGNORED
        if not bool(counted.all()):
            scores, labels = scores[counted], labels[counted]
        if len(labels) and int(labels.max()) >= scores.shape[-1]:
            raise BadInput(
                f"label {int(labels.max())}, but the network has {scores.shape[-1]} outputs",
                f"labels run from 0 to {scores.shape[-1] - 1}: check the data or the network's last layer",
                path="data",
            )
        return scores, labels

    def score(self, output: Any, target: Tensor) -> Scored:
        """See `Task`."""
        scores, labels = self.logits(output, target)
        predicted = scores.argmax(-1)
        loss = F.cross_entropy(scores.float(), labels, reduction="none")
        return Scored({"accuracy": (predicted == labels) & ~scores.isnan().any(-1), "loss": loss}, predicted, labels)

    def loss(self, output: Any, target: Tensor) -> Tensor:
        """See `Task`; without a look at the values, which a GPU would have to be waited for."""
        scores = _score_a_class(output, target).float().flatten(0, -2)
        return F.cross_entropy(scores, target.flatten().long(), ignore_index=IGNORED)

    def labels(self, target: Tensor) -> Tensor | None:
        """See `Task`."""
        return target[target != IGNORED]


def _score_a_class(output: Any, target: Tensor) -> Tensor:
    y = answer(output)
    if not isinstance(y, Tensor):
        raise no_tensor(y)
    if y.dim() < 2 or y.shape[-1] == 1:
        raise WrongSetting(
            f"the network's output has shape {tuple(y.shape)}, which is not a score a class",
            "for one output of class 1 say task='probability' (after a sigmoid) or task='logit'",
            path="task",
        )
    if y.shape[:-1] != target.shape:
        raise BadInput(
            f"outputs {tuple(y.shape)} do not go with labels {tuple(target.shape)}",
            "outputs are (…, classes), labels (…)",
        )
    return y

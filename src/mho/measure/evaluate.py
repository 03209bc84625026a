"""One pass of a network over the test data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mho.errors import BadInput, WrongSetting
from mho.rng import reads
from mho.store import DataInfo, Measurement

Task = Literal["classes", "probability", "logit"]
IGNORED = -100
"""Label of positions that do not count (padding of language data)."""


@dataclass(frozen=True)
class TestData:
    """Batches held in memory in a fixed order, so that every chip sees the same samples.

    Attributes:
        batches: (inputs, labels) pairs.
        info: Name, digest and label counts.
    """

    __test__ = False
    batches: tuple[tuple[Any, Tensor], ...]
    info: DataInfo

    @classmethod
    def of(cls, batches: Iterable[Any], *, name: str | None = None) -> TestData:
        """Hold the batches of any iterable (a DataLoader, a `mho.data` set, a list).

        Raises:
            BadInput: No samples, a batch without labels, negative labels, or inputs and labels of different lengths.
        """
        if isinstance(batches, TestData):
            return batches
        held: list[tuple[Any, Tensor]] = []
        sha = hashlib.sha256()
        for i, batch in enumerate(batches):
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise BadInput(f"batch {i} is not a pair", "give batches of (inputs, labels)", path="data")
            x, y = batch[0], torch.as_tensor(batch[1])
            if isinstance(x, Tensor) and len(x) != len(y):
                raise BadInput(f"batch {i} has {len(x)} inputs and {len(y)} labels", "one label an input", path="data")
            if y.is_floating_point() and bool((y != y.round()).any()):
                raise BadInput(
                    f"batch {i} has labels that are not whole numbers",
                    "labels are class numbers",
                    path="data",
                )
            y = y.long()
            if bool(((y < 0) & (y != IGNORED)).any()):
                raise BadInput(
                    f"batch {i} has the label {int(y.min())}",
                    f"labels are 0 … classes - 1, or {IGNORED} to skip",
                    path="data",
                )
            for part in (x, y):
                if isinstance(part, Tensor):
                    sha.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
            held.append((x, y))
        labels = torch.cat([y.flatten() for _, y in held]) if held else torch.empty(0)
        labels = labels[labels != IGNORED].long()
        if not len(labels):
            raise BadInput(
                "the data holds no labelled sample",
                "give at least one batch of (inputs, labels)",
                path="data",
            )
        counts = torch.bincount(labels)
        names = tuple(getattr(batches, "classes", ()))
        if len(names) < len(counts):
            names = tuple(str(i) for i in range(len(counts)))
        counts = torch.bincount(labels, minlength=len(names))
        listed = len(names) <= MAX_LISTED_CLASSES
        info = DataInfo(
            str(name or getattr(batches, "name", type(batches).__name__)),
            len(labels),
            sha.hexdigest()[:12],
            names if listed else (),
            tuple(counts.tolist()) if listed else (),
        )
        return cls(tuple(held), info)


MAX_LISTED_CLASSES = 1000
"""With more classes than this (a vocabulary), counts by class are not kept."""


@torch.no_grad()
def measure(
    model: nn.Module,
    data: TestData,
    *,
    chip: int,
    age_s: float,
    address: Sequence[int | str],
    task: Task = "classes",
) -> Measurement:
    """Accuracy and loss of a network on the test data.

    Args:
        model: The network; put into eval mode.
        data: The test data.
        chip: Number of the chip, for the record; -1 for the digital network.
        age_s: Its age, for the record.
        address: Address of the noise of products; batch i reads from ``(*address, i)``.
        task: What the output means: scores of classes (…, C), or one probability (threshold 0.5) or logit (threshold 0)
            of class 1.

    Raises:
        BadInput: A label that the network has no output for, or an output of the wrong shape.
        WrongSetting: `task` does not fit the output.
    """
    model.eval()
    corrects, predictions, labels, loss = [], [], [], 0.0
    for i, (x, y) in enumerate(data.batches):
        with reads(*address, i):
            output = model(x)
        scores, target = _scores(output, y, task)
        predicted = scores.argmax(-1)
        loss += float(F.cross_entropy(scores.float(), target, reduction="sum"))
        corrects.append(predicted == target)
        predictions.append(predicted)
        labels.append(target)
    correct, predicted, label = torch.cat(corrects), torch.cat(predictions), torch.cat(labels)
    by_class: dict[str, Any] = {}
    if data.info.classes:
        classes = max(len(data.info.classes), int(predicted.max()) + 1)
        if classes == len(data.info.classes):
            by_class["predicted"] = tuple(torch.bincount(predicted, minlength=classes).tolist())
            by_class["correct_by_class"] = tuple(torch.bincount(label[correct], minlength=classes).tolist())
    return Measurement(
        chip=chip,
        age_s=age_s,
        samples=len(correct),
        correct=correct.numpy(),
        loss=loss / len(correct),
        **by_class,
    )


def accuracy(model: nn.Module | Callable[[Tensor], Tensor], batches: Iterable[Any], *, seed: int = 0) -> float:
    """Share of right answers of a classifier; noise of products is drawn from `seed`.

    Args:
        model: Inputs to class scores (…, C).
        batches: Pairs (inputs, labels).
        seed: Root of the address of the noise.
    """
    module = model if isinstance(model, nn.Module) else _Function(model)
    return measure(module, TestData.of(batches), chip=-1, age_s=0.0, address=("accuracy", seed)).accuracy


class _Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _scores(output: Any, y: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """Scores (samples, classes) and labels (samples,) without the ignored positions."""
    if not isinstance(output, Tensor):
        raise BadInput(
            f"the network returns a {type(output).__name__}",
            "wrap it so that it returns the tensor of class scores",
        )
    if task != "classes":
        z = output.float().flatten()
        z = torch.logit(z, eps=1e-7) if task == "probability" else z
        output = torch.stack([torch.zeros_like(z), z], -1)
        y = y.flatten()
    elif output.dim() < 2 or output.shape[-1] == 1:
        raise WrongSetting(
            f"the network's output has shape {tuple(output.shape)}, which is not a score a class",
            "for one output of class 1 say task='probability' (after a sigmoid) or task='logit'",
        )
    if output.shape[:-1] != y.shape:
        raise BadInput(
            f"outputs {tuple(output.shape)} do not go with labels {tuple(y.shape)}",
            "outputs are (…, classes), labels (…)",
        )
    scores, target = output.flatten(0, -2), y.flatten().to(output.device)
    counted = target != IGNORED
    if not bool(counted.all()):
        scores, target = scores[counted], target[counted]
    if len(target) and int(target.max()) >= scores.shape[-1]:
        raise BadInput(
            f"label {int(target.max())}, but the network has {scores.shape[-1]} outputs",
            f"labels run from 0 to {scores.shape[-1] - 1}: check the data or the network's last layer",
            path="data",
        )
    return scores, target

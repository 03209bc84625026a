"""One pass of a network over the test data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mho.errors import BadInput
from mho.measure.test_data import TestData
from mho.nn.modes import evaluating
from mho.rng import reads
from mho.store import Measurement
from mho.tasks import Named, Scored


@torch.no_grad()
def measure(
    model: nn.Module,
    data: TestData,
    *,
    chip: int,
    age_s: float,
    address: Sequence[int | str],
    task: Named | None = None,
) -> Measurement:
    """The scores of a network on the test data.

    Args:
        model: The network; in eval mode for the pass.
        data: The test data, with its task.
        chip: Number of the chip, for the record; -1 for the digital network.
        age_s: Its age, for the record.
        address: Address of the noise of products; batch i reads from ``(*address, i)``.
        task: Another task than that of `data`: a name or a `mho.tasks.Task`.

    Raises:
        BadInput: A label that the network has no output for, or an output of the wrong shape.
        WrongSetting: The task does not fit the output.
    """
    if task is not None:
        data = TestData.of(data, task=task)
    found: list[Scored] = []
    with evaluating(model):
        for i, (x, y) in enumerate(data.batches):
            with reads(*address, i):
                output = model(x)
            found.append(data.task.score(output, y))
    score, samples = data.task.headline, data.info.samples
    means: dict[str, float] = {}
    values: NDArray[Any] = np.empty(0)
    for name in found[0].scores:
        each = torch.cat([scored.scores[name] for scored in found]).cpu()
        if len(each) != samples:
            raise BadInput(
                f"{len(each)} values of '{name}' for {samples} samples", "check the task", path=data.task.kind
            )
        if name == score.name:
            values = each.numpy() if each.dtype == torch.bool else score.finite(each.float().numpy())
        means[name] = float(each.double().mean())
    return Measurement(
        chip=chip, age_s=age_s, samples=samples, values=values, loss=means.pop("loss"), score=score.name,
        scores={name: mean for name, mean in means.items() if name != score.name}, **_by_class(found, data.info.classes),
    )  # fmt: skip


def _by_class(found: Sequence[Scored], listed: Sequence[str]) -> dict[str, Any]:
    """Counts of answers and of right answers; nothing where classes are not listed, or the network has others."""
    predicted = [scored.predicted for scored in found if scored.predicted is not None]
    labels = [scored.labels for scored in found if scored.labels is not None]
    if not listed or not predicted:
        return {}
    answer, label, classes = torch.cat(predicted), torch.cat(labels), len(listed)
    if int(answer.max()) >= classes:
        return {}
    return {
        "predicted": torch.bincount(answer, minlength=classes).tolist(),
        "correct_by_class": torch.bincount(label[answer == label], minlength=classes).tolist(),
    }


def accuracy(
    model: nn.Module | Callable[[Tensor], Tensor], batches: Iterable[Any], *, seed: int = 0, task: Named | None = None
) -> float:
    """Share of right answers; noise of products is drawn from `seed`.

    Args:
        model: Inputs to outputs; for the task "classes" to class scores (…, C).
        batches: Pairs (inputs, labels).
        seed: Root of the address of the noise.
        task: A name or a `mho.tasks.Task` whose headline is an accuracy; "classes" by default.

    Raises:
        WrongSetting: The headline of the task is something else.
    """
    module = model if isinstance(model, nn.Module) else _Function(model)
    data = TestData.of(batches, task=task)
    return measure(module, data, chip=-1, age_s=0.0, address=("accuracy", seed)).accuracy


class _Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

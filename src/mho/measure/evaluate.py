"""One pass of a network over the test data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mho.arguments import network, whole
from mho.errors import BadInput
from mho.measure.test_data import TestData
from mho.nn.calling import call
from mho.nn.modes import evaluating
from mho.rng import reads
from mho.store import Measurement
from mho.tasks import Named
from mho.units import show_time


@torch.no_grad()
def measure(model: nn.Module, data: TestData, *, chip: int, age_s: float, address: Sequence[int | str]) -> Measurement:
    """The scores of a network on the test data.

    Args:
        model: The network; in eval mode for the pass.
        data: The test data, with its task.
        chip: Number of the chip, for the record; -1 for the digital network.
        age_s: Its age, for the record.
        address: Address of the noise of products; batch i reads from ``(*address, i)``.

    Raises:
        BadInput: A label that the network has no output for, an output of the wrong shape, or a score that is not finite.
        WrongSetting: The task does not fit the output.
    """
    columns: dict[str, list[Tensor]] = {}
    answers: list[tuple[Tensor, Tensor]] = []
    with evaluating(model):
        for i, (x, y) in enumerate(data.batches):
            with reads(*address, i):
                output = call(model, x)
            scored = data.task.score(output, y)
            for name, each in scored.scores.items():
                columns.setdefault(name, []).append(each)
            if scored.predicted is not None and scored.labels is not None:
                answers.append((scored.predicted, scored.labels))
    score, samples = data.task.headline, data.info.samples
    scores: dict[str, float] = {}
    by_class: dict[str, Any] = {}
    values: NDArray[Any] = np.empty(0)
    for name, parts in columns.items():
        joined = torch.cat(parts).cpu()
        _finite(joined, name, chip, age_s)
        if len(joined) != samples:
            raise BadInput(
                f"{len(joined)} values of '{name}' for {samples} samples", "check the task", path=data.task.kind
            )
        if name != score.name:
            scores[name] = float(joined.double().mean())
        else:
            values = joined.numpy() if joined.dtype == torch.bool else joined.float().numpy()
    loss = float(values.mean(dtype=np.float64)) if score.name == "loss" else scores.pop("loss")
    if answers and (listed := len(data.info.classes)):
        predicted, labels = map(torch.cat, zip(*answers, strict=True))
        if int(predicted.max()) < listed:  # else some answer is a class that the data does not list
            by_class["predicted"] = torch.bincount(predicted, minlength=listed).tolist()
        by_class["correct_by_class"] = torch.bincount(labels[predicted == labels], minlength=listed).tolist()
    return Measurement(chip, age_s, samples, values, loss, **by_class, score=score.name, scores=scores)


def _finite(values: Tensor, name: str, chip: int, age_s: float) -> None:
    """Raises BadInput for a score that is not finite: a mean over samples would hide which one it is."""
    wrong = (~torch.isfinite(values)).nonzero()
    if len(wrong):
        where = "the digital network" if chip < 0 else f"chip {chip} after {show_time(age_s)}"
        raise BadInput(
            f"sample {int(wrong[0])} has the {name} {float(values[wrong[0, 0]]):g} on {where}, {len(wrong)} of "
            f"{len(values)} are not finite",
            "check the weights, the inputs' preparation and the dtype: outputs must be finite",
            path="data",
        )


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
    seed = whole(seed, "seed", least=0)
    if not callable(model):
        network(model, "model")
    module = model if isinstance(model, nn.Module) else _Function(model)
    data = TestData.of(batches, task=task)
    return measure(module, data, chip=-1, age_s=0.0, address=("accuracy", seed)).accuracy


class _Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

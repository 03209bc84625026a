"""`Regression`: numbers, and how far from them a network answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mho.errors import BadInput, WrongSetting
from mho.rng import Stream
from mho.tasks.parts import answer
from mho.tasks.score import Score
from mho.tasks.task import Scored, Task, no_tensor


@dataclass(frozen=True)
class Regression(Task):
    """Outputs and targets of one shape (items, …), or (items, 1) and (items,); an item is a sample.

    Scores: *absolute error*, the mean of |output - target| over a sample's numbers, in the target's unit; *loss*, the mean of
    their squares; and with a tolerance *within*, whether every number of a sample is that near to its target.

    Without a tolerance the headline is the absolute error: its mean over samples has no bound, a budget is in the target's
    unit, and one sample can ruin a chip. With a tolerance the headline is the share within it, in [0, 1], and a budget is
    in points, as for a classifier.

    Attributes:
        tolerance: Largest error of a number that is right, in the target's unit, or None.
        unit: The target's unit, for reports.
    """

    kind: ClassVar[str] = "regression"
    tolerance: float | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        if self.tolerance is not None and not 0 < self.tolerance < float("inf"):
            raise WrongSetting(f"tolerance {self.tolerance}", "a positive number, or None", path="task.tolerance")

    @property
    def headline(self) -> Score:
        """Absolute error, or the share within the tolerance."""
        if self.tolerance is None:
            return Score("absolute error", "error", unit=self.unit)
        unit = f" {self.unit}" if self.unit else ""
        return Score("within", label=f"share within {self.tolerance:g}{unit}")

    def targets(self, target: Any, *, path: str = "data", training: bool = False) -> Tensor:
        """See `Task`: finite numbers, as float32."""
        y = torch.as_tensor(target).float()
        if not bool(torch.isfinite(y).all()):
            raise BadInput("there are targets that are not finite", "leave those samples out", path=path)
        return y

    def constant_score(self, targets: Sequence[Tensor]) -> float:
        """See `Task`: the median of each number, which has the least absolute error; also where a tolerance counts."""
        y = torch.cat([target.flatten(1) if target.dim() > 1 else target[:, None] for target in targets]).float()
        error = (y - y.median(0).values).abs()
        return float(error.mean() if self.tolerance is None else (error.amax(1) <= self.tolerance).float().mean())

    def score(self, output: Any, target: Tensor) -> Scored:
        """See `Task`."""
        difference = _difference(output, target)
        error = difference.abs()
        found = {"absolute error": error.mean(1), "loss": difference.square().mean(1)}
        if self.tolerance is not None:
            found["within"] = error.amax(1) <= self.tolerance
        return Scored(found)

    def own_loss(self, output: Any, target: Tensor, draw: Stream) -> Tensor:
        """See `Task`: targets are normal around the output, with variance 1/2 over a sample's m numbers.

        The loss of a sample is |e|²/m, its Gauss-Newton matrix 2 JᵀJ/m; with e = ε/√2·√m drawn, the gradient 2 Jᵀe/m has
        that covariance.
        """
        y = _tensor(output)
        flat = y[:, None].flatten(1).float()
        m = flat.shape[1]
        noise = draw.normal("target", tuple(flat.shape), like=flat) * (m / 2) ** 0.5
        return (flat - (flat.detach() + noise)).square().sum() / m


def _difference(output: Any, target: Tensor) -> Tensor:
    """Output less target, (items, numbers)."""
    y = _tensor(output)
    squeezed = y.squeeze(-1) if y.dim() == target.dim() + 1 and y.shape[-1] == 1 else y
    if squeezed.shape != target.shape or not y.dim():
        raise BadInput(
            f"outputs {tuple(y.shape)} do not go with targets {tuple(target.shape)}", "give both the same shape"
        )
    return (squeezed.float() - target.to(y.device))[:, None].flatten(1)


def _tensor(output: Any) -> Tensor:
    y = answer(output)
    if not isinstance(y, Tensor):
        raise no_tensor(output)
    return y

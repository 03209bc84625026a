"""`Several`: a network with several outputs, each with a task of its own (heads, exits)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from mho.errors import BadInput, WrongSetting
from mho.rng import Stream
from mho.tasks.score import Score
from mho.tasks.task import Named, Scored, Task


@dataclass(frozen=True)
class Several(Task):
    """Named parts of the output, each scored by a task.

    The network returns a dict with these names, or a tuple or list in this order. Targets are a dict or a tuple likewise, or
    one tensor, which is then the target of every part (the exits of a network). All parts count the same samples.

    Scores are called ``part.score``. The headline is that of the part `result`, or, where none is named, the mean of the
    parts' headlines by weight, which must have one form then; "loss" is the mean of their losses by weight.

    Attributes:
        parts: Name to task, or name of a task.
        result: The part whose headline is the result, or None.
        weights: Weight of each part in the loss and in a mean headline; equal by default. Their sum does not matter.

    Raises:
        WrongSetting: No parts, an unknown part, weights that are not positive, or headlines of several forms.

    Example:
        >>> task = Several({"early": "classes", "final": "classes"}, result="final")
        >>> task.headline.name
        'final.accuracy'
    """

    kind: ClassVar[str] = "several"
    parts: Mapping[str, Named]
    result: str | None = None
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        tasks = {name: Task.of(task) for name, task in dict(self.parts).items()}
        object.__setattr__(self, "parts", tasks)
        if not tasks:
            raise WrongSetting("there are no parts", "name the outputs and their tasks", path="task.parts")
        unknown = [n for n in (*(self.weights or {}), self.result) if n is not None and n not in tasks]
        if unknown:
            raise WrongSetting(f"there is no part '{unknown[0]}'", f"parts are {', '.join(tasks)}", path="task")
        given = dict.fromkeys(tasks, 1.0) if self.weights is None else dict(self.weights)
        if set(given) != set(tasks) or not all(0 < w < math.inf for w in given.values()):
            raise WrongSetting(f"weights {given}", "one positive number for every part", path="task.weights")
        forms = {task.headline.form for task in tasks.values()}
        if self.result is None and len(forms) > 1:
            raise WrongSetting(
                f"headlines {', '.join(t.headline.label for t in tasks.values())} have no common mean",
                f"name the part that counts: result='{next(iter(tasks))}'",
                path="task.result",
            )
        object.__setattr__(self, "weights", None if self.weights is None else given)

    @property
    def _tasks(self) -> dict[str, Task]:
        return self.parts  # type: ignore[return-value]

    @property
    def _shares(self) -> dict[str, float]:
        """Weights that sum to 1."""
        weights = self.weights or dict.fromkeys(self.parts, 1.0)
        return {name: weights[name] / sum(weights.values()) for name in self.parts}

    @property
    def headline(self) -> Score:
        """Of the part `result`, or the mean."""
        if self.result is not None:
            score = self._tasks[self.result].headline
            return replace(score, name=f"{self.result}.{score.name}", label=f"{score.label} of '{self.result}'")
        first = next(iter(self._tasks.values())).headline
        return Score("mean", first.form, f"mean {first.label} of {' and '.join(self.parts)}", first.unit)

    def targets(self, target: Any, *, path: str = "data", training: bool = False) -> dict[str, Any]:
        """See `Task`: a dict with the parts' names."""
        given = dict.fromkeys(self.parts, target) if isinstance(target, Tensor) else self._named(target, "targets")
        found = {
            name: task.targets(given[name], path=f"{path}.{name}", training=training)
            for name, task in self._tasks.items()
        }
        counts = [task.counts(found[name]) for name, task in self._tasks.items()]
        if any(not torch.equal(c, counts[0]) for c in counts):
            raise BadInput("the parts do not count the same samples", "give every part a target a sample", path=path)
        return found

    def counts(self, target: dict[str, Any]) -> Tensor:
        """See `Task`."""
        name, task = next(iter(self._tasks.items()))
        return task.counts(target[name])

    def score(self, output: Any, target: dict[str, Any]) -> Scored:
        """See `Task`; classes are those of the part `result`."""
        outputs, shares = self._named(output, "outputs"), self._shares
        all_ = {name: task.score(outputs[name], target[name]) for name, task in self._tasks.items()}
        found = {name: scored.scores for name, scored in all_.items()}
        named = {f"{part}.{name}": value for part, scores in found.items() for name, value in scores.items()}
        if self.result is None:
            tops = [shares[part] * found[part][task.headline.name].float() for part, task in self._tasks.items()]
            named["mean"] = torch.stack(tops).sum(0)
        named["loss"] = torch.stack([shares[part] * scores["loss"] for part, scores in found.items()]).sum(0)
        return Scored(named) if self.result is None else all_[self.result]._replace(scores=named)

    def loss(self, output: Any, target: dict[str, Any]) -> Tensor:
        """See `Task`."""
        outputs, shares = self._named(output, "outputs"), self._shares
        return torch.stack([shares[n] * t.loss(outputs[n], target[n]) for n, t in self._tasks.items()]).sum()

    def logits(self, output: Any, target: dict[str, Any]) -> tuple[Tensor, Tensor] | None:
        """See `Task`: those of the part `result`."""
        name = self.result
        return None if name is None else self._tasks[name].logits(self._named(output, "outputs")[name], target[name])

    def labels(self, target: dict[str, Any]) -> Tensor | None:
        """See `Task`: those of the part `result`."""
        return None if self.result is None else self._tasks[self.result].labels(target[self.result])

    def constant_score(self, targets: Sequence[dict[str, Any]]) -> float | None:
        """See `Task`: that of the part `result`, or the mean by weight where every part has one."""
        names = self.parts if self.result is None else [self.result]
        found = {name: self._tasks[name].constant_score([target[name] for target in targets]) for name in names}
        if any(value is None for value in found.values()):
            return None
        shares = self._shares if self.result is None else {self.result: 1.0}
        return sum(shares[name] * value for name, value in found.items() if value is not None)

    def own_loss(self, output: Any, target: dict[str, Any], draw: Stream) -> Tensor:
        """See `Task`: drawn for each part; the root of a weight makes the covariance that of the weighted loss."""
        outputs, shares = self._named(output, "outputs"), self._shares
        return torch.stack(
            [shares[n] ** 0.5 * t.own_loss(outputs[n], target[n], draw / n) for n, t in self._tasks.items()]
        ).sum()

    def record(self) -> dict[str, Any]:
        """See `Task`."""
        return {**super().record(), "parts": {name: task.record() for name, task in self._tasks.items()}}

    def _named(self, given: Any, what: str) -> Mapping[str, Any]:
        """By part."""
        if isinstance(given, (tuple, list)) and len(given) == len(self.parts):
            return dict(zip(self.parts, given, strict=True))
        if isinstance(given, Mapping) and set(self.parts) <= set(given):
            return given
        shape = f"the names {', '.join(map(str, given))}" if isinstance(given, Mapping) else type(given).__name__
        raise BadInput(
            f"{what} are a {shape} instead of the parts {', '.join(self.parts)}"
            if not isinstance(given, Mapping) else f"{what} have {shape} instead of {', '.join(self.parts)}",
            "a dict with these names, or a tuple in this order", path="task",
        )  # fmt: skip

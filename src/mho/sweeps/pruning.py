"""`Pruning`: when a training is so far behind the others that it is given up."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from mho.errors import MhoError, WrongSetting
from mho.hardware.spec import Spec
from mho.sweeps.factor import Factor
from mho.sweeps.sections import HELP, Pretraining, Training
from mho.tasks import Score

_OF_LOSS = {
    "pretraining": ("data", "augment"),
    "training": ("data", "augment", "hwa", "distillation", "hardware"),
}
"""Settings of which another level is another noise in training or another loss: losses of theirs cannot be compared."""


class Pruned(Exception):
    """A training was given up; its text says why."""


class Pruning(Spec):
    """Trainings are compared with those of the same sweep at the same epoch: by the score on `validation`, where the training
    has one, else by the training loss."""

    remedy: ClassVar[str] = HELP
    rule: Literal["median", "halving"] = "median"
    """median: one whose best value is below the median of the others' goes; halving: of those that have reached epoch
    `after`, `after` · `factor`, `after` · `factor`² …, the best 1/`factor` go on (Li et al. 2020, ASHA)."""
    after: int = Field(default=1, ge=1)
    """Epochs that every training is given."""
    least: int = Field(default=4, ge=1)
    """median: others that must have got as far before any is given up."""
    factor: int = Field(default=3, ge=2)
    """halving: one in so many goes on."""

    def mistakes(self, stages: Mapping[str, Pretraining | None], factors: Mapping[str, Factor]) -> list[MhoError]:
        """Trainings that would be compared by losses of different meaning.

        Args:
            stages: The sweep's pretraining and training, by name.
            factors: By path.
        """
        found: list[MhoError] = []
        for name, inner in _OF_LOSS.items():
            stage, swept = stages[name], factors[name].tried if name in factors else ()
            if f"{name}.validation" in factors:
                scored = all(level is not None for level in factors[f"{name}.validation"].tried)
            else:
                levels = [level.get("validation") for level in swept if isinstance(level, Mapping)]
                scored = all(levels) if levels else stage is None or stage.validation is not None
            heads = [name, *(f"{name}.{setting}" for setting in inner)]
            if isinstance(stage, Training) and stage.hardware is None and "training.hardware" not in factors:
                heads.append("hardware")
            by = [
                path for path in factors if path == name or any(f"{path}.".startswith(f"{head}.") for head in heads[1:])
            ]
            if by and not scored:
                found.append(
                    WrongSetting(
                        f"the loss of {name} means something else at other levels of {', '.join(by)}, so that it cannot say "
                        "which training is behind",
                        f"give {name} validation data: it is then compared by their score", path="pruning",
                    )
                )  # fmt: skip
        return found

    def hopeless(self, epoch: int, value: float, others: Sequence[float]) -> bool:
        """Whether a training is given up.

        Args:
            epoch: How many are done.
            value: Its best so far; more is better.
            others: Those of the other trainings after as many epochs.
        """
        if self.rule == "median":
            return epoch >= self.after and len(others) >= self.least and value < statistics.median(others)
        if epoch not in (self.after * self.factor**k for k in range(64)) or len(others) + 1 < self.factor:
            return False
        return sum(other > value for other in others) >= (len(others) + 1) // self.factor


class Watch:
    """A logger of `mho.fit` that ends a training where it is hopeless.

    Args:
        pruning: The rule.
        score: What the validation data are scored by.
        epochs: Of the training: after the last one nothing is left to be saved.
        note: Takes epochs done and a value (more is better); returns the training's best so far, and the others'.
    """

    def __init__(
        self, pruning: Pruning, score: Score, epochs: int, note: Callable[[int, float], tuple[float, list[float]]]
    ) -> None:
        self.pruning, self.score, self.epochs, self.note = pruning, score, epochs, note

    def log(self, step: int, values: dict[str, float]) -> None:
        """Look at the numbers of an epoch's end.

        Raises:
            Pruned: The training is hopeless.
        """
        if "epoch_loss" not in values:
            return
        epoch, scored = int(values["epoch"]) + 1, "epoch_score" in values
        value = self.score.worth(values["epoch_score"]) if scored else -values["epoch_loss"]
        best, others = self.note(epoch, value)
        if epoch < self.epochs and self.pruning.hopeless(epoch, best, others):
            shown = f"{self.score.label} {abs(best):.4g}" if scored else f"training loss {abs(best):.4g}"
            middle = abs(statistics.median(others))
            raise Pruned(f"pruned after epoch {epoch}: {shown}, the median of {len(others)} others is {middle:.4g}")

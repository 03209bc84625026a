"""`Task`: the base of everything that is scored, and the registry of those that are known by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from mho.errors import BadInput, WrongSetting
from mho.registry import Registry
from mho.rng import Stream
from mho.tasks.score import Score

IGNORED = -100
"""Label of positions that do not count (padding of language data)."""


class Scored(NamedTuple):
    """What a task finds in a batch, (counted samples,) each, in the order of the targets, flattened.

    Attributes:
        scores: Named values: the headline's and "loss", which is differentiable; right or wrong is bool.
        predicted: Predicted class numbers; None where they cannot be counted by class.
        labels: True class numbers, likewise.
    """

    scores: dict[str, Tensor]
    predicted: Tensor | None = None
    labels: Tensor | None = None


@dataclass(frozen=True)
class Task(ABC):
    """Turns outputs of a network and targets into named scores, one value a counted sample.

    A *sample* is what gets one value of each score: an image, a token that counts. An *item* is what has an index in a
    batch: an image, a sequence of tokens. A new task is one file: a frozen dataclass with a `kind`, whose fields are its
    options, registered in `TASKS`.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def headline(self) -> Score:
        """The score that is the result: budgets, lifetimes and yields are of its mean."""

    @abstractmethod
    def targets(self, target: Any, *, path: str = "data", training: bool = False) -> Any:
        """The targets of a batch, checked and in the dtype that the other methods take.

        Args:
            target: As the data gives them.
            path: What to call the data in messages.
            training: Soft targets (a probability of class 1) are allowed.

        Raises:
            BadInput: They cannot be targets of this task.
        """

    def counts(self, target: Any) -> Tensor:
        """Samples that count in each item of a batch, (items,)."""
        return torch.ones(len(target), dtype=torch.long)

    @abstractmethod
    def score(self, output: Any, target: Any) -> Scored:
        """Named values for each counted sample, and what was answered.

        Args:
            output: What the network returned for a batch.
            target: What `targets` returned for it.

        Raises:
            BadInput: They do not go together; the message has the shapes.
            WrongSetting: The network answers a question of another task.
        """

    def scores(self, output: Any, target: Any) -> dict[str, Tensor]:
        """The named values of `score`."""
        return self.score(output, target).scores

    def loss(self, output: Any, target: Any) -> Tensor:
        """What training minimises: the mean of "loss" over the counted samples, differentiable, in float32."""
        return self.scores(output, target)["loss"].mean()

    def logits(self, output: Any, target: Any) -> tuple[Tensor, Tensor] | None:
        """Class scores (n, C), whose cross-entropy with the labels (n,) is the loss; None where there are no classes."""
        return None

    def labels(self, target: Any) -> Tensor | None:
        """Class numbers of the counted samples (n,); None where they cannot be counted by class."""
        return None

    def constant_score(self, targets: Sequence[Any]) -> float | None:
        """Mean headline score of the best answer that is the same for every sample; None where it is not known.

        Chance, for a task whose answers are not counted by class.

        Args:
            targets: What `targets` returned for each batch.
        """
        return None

    def own_loss(self, output: Any, target: Any, draw: Stream) -> Tensor:
        """The summed loss with targets drawn from the network's own prediction, at an address.

        Its gradient has mean zero, and as covariance the Gauss-Newton matrix of the summed loss: that of the Fisher
        information for a cross-entropy.
        """
        found = self.logits(output, target)
        if found is None:
            raise WrongSetting(f"the task '{self.kind}' has no model of its targets", "overwrite own_loss", path="task")
        scores = found[0].float()
        steps = scores.detach().softmax(-1).cumsum(-1)
        u = draw.uniform("label", (len(scores), 1), like=steps)
        drawn = (steps < u).sum(-1).clamp(max=scores.shape[-1] - 1)
        return torch.nn.functional.cross_entropy(scores, drawn, reduction="sum")

    def record(self) -> dict[str, Any]:
        """Plain values that decide the scores: name, headline, and options other than the default."""
        options = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {
            f.name: options[f.name] for f in fields(self) if f.default is MISSING or options[f.name] != f.default
        }
        return {"name": self.kind, "headline": self.headline.to_json(), **changed}

    @staticmethod
    def of(task: Task | str) -> Task:
        """The task itself, or that of a name, with its default options.

        Raises:
            WrongSetting: An unknown name; the message lists those there are.
        """
        if isinstance(task, Task):
            return task
        if not isinstance(task, str):
            raise WrongSetting(
                f"{task!r} is no task", f"give a name ({', '.join(TASKS.names())}) or a Task", path="task"
            )
        found = TASKS.find(task)
        return found if isinstance(found, Task) else found()


Named = Task | str
"""What arguments called `task` take."""

TASKS: Registry[Task | Callable[[], Task]] = Registry(
    "task",
    "mho.tasks",
    {
        "classes": "mho.tasks.classes:Classes",
        "probability": "mho.tasks.binary:Probability",
        "logit": "mho.tasks.binary:Logit",
        "tokens": "mho.tasks.tokens:Tokens",
        "choices": "mho.tasks.choices:Choices",
        "regression": "mho.tasks.regression:Regression",
        "exits": "mho.tasks.exits:Exits",
    },
)


def no_tensor(output: Any) -> BadInput:
    """The error for a network that does not answer with one tensor."""
    if isinstance(output, Mapping) and output and all(str(name).startswith("exit") for name in output):
        return BadInput("the network answers with the scores of several exits", 'say so: task="exits"')
    return BadInput(
        f"the network returns a {type(output).__name__}",
        "wrap it so that it returns one tensor, or say what its parts are: mho.tasks.Several({...})",
    )


def whole_labels(target: Any, path: str) -> Tensor:
    """Class numbers as int64, with `IGNORED` where nothing counts.

    Raises:
        BadInput: Labels that are not whole numbers, or negative.
    """
    try:
        y = torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError) as error:
        found = f"the labels are a {type(target).__name__} that makes no tensor ({error})"
        raise BadInput(found, "labels are class numbers", path=path) from None
    if y.is_floating_point() and bool((y != y.round()).any()):
        raise BadInput("there are labels that are not whole numbers", "labels are class numbers", path=path)
    y = y.long()
    if bool(((y < 0) & (y != IGNORED)).any()):
        low = int(y[y != IGNORED].min())
        raise BadInput(f"there is the label {low}", f"labels are 0 … classes - 1, or {IGNORED} to skip", path=path)
    return y

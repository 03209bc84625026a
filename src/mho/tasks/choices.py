"""`Choices`: a language model picks the likeliest of several continuations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mho.errors import BadInput, WrongSetting
from mho.nn.calling import call
from mho.tasks.parts import answer
from mho.tasks.score import ACCURACY, Score
from mho.tasks.task import IGNORED, Scored, Task, no_tensor, whole_labels


@dataclass(frozen=True)
class Choices(Task):
    """Questions with several continuations each, of which one is right; the network scores the next token.

    Outputs are (questions, choices, positions, vocabulary) (`EachChoice` makes them of a network of single sequences).
    Targets are a dict of *tokens*, (questions, choices, positions): the next token of each position, `IGNORED` outside of the
    continuation; and *right*, (questions,): the number of the right choice. A choice's score is its log-likelihood.

    Scores: accuracy (the likeliest choice is the right one), and loss, the cross-entropy of a softmax over the choices' scores.

    Attributes:
        per_token: Scores are means over a continuation's tokens, so that long ones are not at a disadvantage.
    """

    kind: ClassVar[str] = "choices"
    headline: ClassVar[Score] = ACCURACY
    per_token: bool = True

    def targets(self, target: Any, *, path: str = "data", training: bool = False) -> dict[str, Tensor]:
        """See `Task`."""
        if not isinstance(target, dict) or set(target) != {"tokens", "right"}:
            raise BadInput("targets are no dict of 'tokens' and 'right'", "give both", path=path)
        tokens, right = (whole_labels(target[name], f"{path}.{name}") for name in ("tokens", "right"))
        if tokens.dim() != 3 or right.shape != tokens.shape[:1] or bool((right >= tokens.shape[1]).any()):
            raise BadInput(
                f"tokens {tuple(tokens.shape)} do not go with right {tuple(right.shape)}",
                "tokens are (questions, choices, positions), right the number of a choice (questions,)", path=path,
            )  # fmt: skip
        if not bool((tokens != IGNORED).any(-1).all()):
            raise BadInput("there is a choice without a token that counts", "give every choice one", path=path)
        return {"tokens": tokens, "right": right}

    def logits(self, output: Any, target: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """See `Task`: one score a choice."""
        scores, tokens = answer(output), target["tokens"]
        if not isinstance(scores, Tensor):
            raise no_tensor(output)
        if scores.shape[:-1] != tokens.shape:
            raise WrongSetting(
                f"outputs {tuple(scores.shape)} do not go with tokens {tuple(tokens.shape)}",
                "wrap the network, before it is converted: mho.tasks.EachChoice(model)", path="task",
            )  # fmt: skip
        tokens = tokens.to(scores.device)
        each = -F.cross_entropy(scores.float().flatten(0, -2), tokens.flatten(), ignore_index=IGNORED, reduction="none")
        total, count = each.view(tokens.shape).sum(-1), (tokens != IGNORED).sum(-1)
        return total / count if self.per_token else total, target["right"].to(scores.device)

    def score(self, output: Any, target: dict[str, Tensor]) -> Scored:
        """See `Task`."""
        scores, right = self.logits(output, target)
        chosen = scores.argmax(-1)
        loss = F.cross_entropy(scores, right, reduction="none")
        return Scored({"accuracy": (chosen == right) & ~scores.isnan().any(-1), "loss": loss})

    def counts(self, target: dict[str, Tensor]) -> Tensor:
        """See `Task`."""
        return torch.ones(len(target["right"]), dtype=torch.long)


class EachChoice(nn.Module):
    """A network that takes sequences (items, positions) takes (questions, choices, positions).

    Args:
        model: Takes a tensor, or keyword arguments that are all such tensors.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, **others: Tensor) -> Tensor:
        """Scores of every choice, (questions, choices, positions, vocabulary)."""
        shape = input_ids.shape[:2]
        if not others:
            return answer(self.model(input_ids.flatten(0, 1))).unflatten(0, shape)  # type: ignore[no-any-return]
        given = {name: value.flatten(0, 1) for name, value in {"input_ids": input_ids, **others}.items()}
        return answer(call(self.model, given)).unflatten(0, shape)  # type: ignore[no-any-return]

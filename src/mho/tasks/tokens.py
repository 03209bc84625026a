"""`Tokens`: language modelling, one next token for each position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mho.errors import WrongSetting
from mho.tasks.classes import Classes
from mho.tasks.score import ACCURACY, Score
from mho.tasks.task import Scored

PERPLEXITY = Score("loss", "perplexity", "perplexity")
"""exp of the mean cross-entropy a token; its worth is the log-likelihood in nats a token."""


@dataclass(frozen=True)
class Tokens(Classes):
    """Scores (…, positions, vocabulary) and the next tokens (…, positions), `IGNORED` where there is none (padding).

    A sample is a token that counts. Scores: loss, the cross-entropy in nats, whose mean is printed as perplexity exp(loss),
    and accuracy, whether the likeliest token is the next one. Nothing is counted by class: the classes are a vocabulary.

    Attributes:
        result: Which of the two is the headline.
    """

    kind: ClassVar[str] = "tokens"
    result: Literal["perplexity", "accuracy"] = "perplexity"

    def __post_init__(self) -> None:
        if self.result not in ("perplexity", "accuracy"):
            raise WrongSetting(f"result {self.result!r}", "'perplexity' or 'accuracy'", path="task.result")

    @property
    def headline(self) -> Score:  # type: ignore[override]
        """Perplexity, or accuracy."""
        return PERPLEXITY if self.result == "perplexity" else ACCURACY

    def labels(self, target: Tensor) -> None:
        """None: see `Task`."""

    def constant_score(self, targets: Sequence[Tensor]) -> float:
        """See `Task`: each token's frequency among the others, or the share of the most frequent one.

        A token that is there c times among N, of K different ones, has the probability c/(N - 1 + K): what the other tokens
        say of it, each counted once more (Laplace).
        """
        found = torch.cat([super(Tokens, self).labels(target).flatten().cpu() for target in targets])  # type: ignore[union-attr]
        counts = found.unique(return_counts=True)[1].double()
        n, k = len(found), len(counts)
        if self.result == "accuracy":
            return float(counts.max()) / n
        return float(-(counts * (counts / (n - 1 + k)).log()).sum() / n)

    def score(self, output: Any, target: Tensor) -> Scored:
        """See `Task`."""
        return Scored(super().score(output, target).scores)

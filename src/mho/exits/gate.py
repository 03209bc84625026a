"""`Gate`: a rule that has learned from answers how likely an exit is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mho.errors import BadInput, WrongSetting
from mho.exits.answers import Answers, check_answers
from mho.exits.rules import Probability, threshold_of

_RIDGE = 1e-3
"""Weight of the squares of the coefficients, beside the mean loss."""


@dataclass(frozen=True)
class Gate(Probability):
    """Leave where the estimated probability that this exit's answer is right is above the threshold, in [0, 1].

    At 1 nobody leaves, at 0 everybody does. P(right) is logistic in what the exit's scores show: largest probability, its
    logarithm, its lead, the entropy, and the lead of the largest score over the mean. `Gate.learn` fits one for each exit but
    the last; a class of those that `tune` takes has learned nothing, so give it what `Gate.learn` returned.

    Attributes:
        threshold: One number for every exit, or one for each but the last.
        coefficients: For each exit but the last, of the features and of 1.
        samples: Digests of the samples that it has learned from: thresholds and reports on them are refused.

    Example:
        >>> chosen = tune(calibration, Gate.learn(answers), macs=0.7)     # doctest: +SKIP
    """

    threshold: float | tuple[float, ...] = 0.5
    coefficients: tuple[tuple[float, ...], ...] = ()
    samples: frozenset[bytes] = field(default=frozenset(), repr=False)

    @classmethod
    def learn(cls, answers: Answers) -> Gate:
        """Fit by the largest likelihood, with a small ridge; deterministic.

        Args:
            answers: Of the network, or of the chip at its age, on data that take no part in the choice of thresholds.

        Raises:
            WrongSetting: These are no answers.
            BadInput: Scores that are not finite.
        """
        check_answers(answers)
        found = []
        for k in range(len(answers.names) - 1):
            x = _features(answers.scores[:, k].double())
            if not bool(x.isfinite().all()):
                raise BadInput("scores are not finite", "learn from a network that works", path=answers.names[k])
            found.append(tuple(_logistic(x, answers.right[:, k].double()).tolist()))
        return cls(coefficients=tuple(found), samples=answers.samples)

    def doubt_at(self, number: int, scores: Tensor) -> Tensor:
        """1 - P(right), (n,)."""
        weights = torch.tensor(self.coefficients[number], dtype=torch.float64, device=scores.device)
        x = _features(scores.double())
        return torch.sigmoid(-(x @ weights[:-1] + weights[-1]))

    def with_bars(self, bars: Sequence[float]) -> Gate:
        """The same gate whose samples leave exit k where their doubt is below ``bars[k]``."""
        return replace(self, threshold=tuple(map(threshold_of, bars)))

    def check(self, exits: int) -> None:
        """See `Rule`."""
        super().check(exits)
        if len(self.coefficients) != exits - 1:
            found = f"a gate of {len(self.coefficients)} exits for a network of {exits}"
            raise WrongSetting(found, "let it learn from that network: Gate.learn(answers)", path="rule")


def _features(scores: Tensor) -> Tensor:
    """What a gate looks at, (n, 5)."""
    log_p = scores.log_softmax(-1)
    p = log_p.exp()
    top = p.topk(2, -1).values
    lead = scores.amax(-1) - scores.mean(-1)
    return torch.stack([top[:, 0], log_p.amax(-1), top[:, 0] - top[:, 1], -(p * log_p).sum(-1), lead], -1)


def _logistic(x: Tensor, right: Tensor) -> Tensor:
    """Coefficients of the features and of 1."""
    mean, scale = x.mean(0), x.std(0, correction=0)
    scale = scale.where(scale > 1e-6 * (1 + mean.abs()), torch.inf)  # what is the same everywhere says nothing
    z = torch.cat([(x - mean) / scale, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    w = torch.zeros(z.shape[1], dtype=x.dtype)
    ridge = _RIDGE * torch.eye(len(w), dtype=x.dtype)
    for _ in range(50):  # Newton's method: the loss is convex
        p = torch.sigmoid(z @ w)
        gradient = z.T @ (p - right) / len(z) + ridge @ w
        step = torch.linalg.solve((z.T * (p * (1 - p))) @ z / len(z) + ridge, gradient)
        w = w - step
        if float(step.abs().max()) < 1e-10:
            break
    own = w[:-1] / scale
    return torch.cat([own, (w[-1] - own @ mean)[None]])

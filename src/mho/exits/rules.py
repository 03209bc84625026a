"""`Rule`: who leaves at an exit, from its scores alone."""

from __future__ import annotations

import math
import numbers
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mho.arguments import whole
from mho.errors import WrongSetting


class Rule(ABC):
    """A sample leaves at the first exit whose `leaves` says so, and at the last one in any case."""

    @abstractmethod
    def leaves(self, number: int, scores: Tensor) -> Tensor:
        """Who leaves at exit `number` (0, 1, …), bool (n,), from its class scores (n, C)."""

    @abstractmethod
    def check(self, exits: int) -> None:
        """Refuse a network with another number of exits, the last one counted.

        Raises:
            WrongSetting: The rule is not for so many.
        """


def check_rule(rule: Any, exits: int) -> None:
    """Refuse what is no rule for so many exits, the last one counted.

    Raises:
        WrongSetting: It is something else, or a rule for another number.
    """
    if not isinstance(rule, Rule):
        remedy = "give a rule with its threshold, such as mho.exits.Entropy(0.3)"
        raise WrongSetting(f"rule = {rule!r}", remedy, path="rule")
    rule.check(exits)


@dataclass(frozen=True)
class Fixed(Rule):
    """Every sample leaves at one exit.

    Attributes:
        exit: Its number: 0 is the first, K - 1 the last.

    Raises:
        WrongSetting: No whole number, or negative.
    """

    exit: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "exit", whole(self.exit, "exit", least=0, remedy="give its number: 0 is the first"))

    def leaves(self, number: int, scores: Tensor) -> Tensor:
        """See `Rule`."""
        return torch.full((len(scores),), number == self.exit, device=scores.device)

    def check(self, exits: int) -> None:
        """See `Rule`."""
        if self.exit >= exits:
            raise WrongSetting(f"there is no exit {self.exit}", f"exits are 0 … {exits - 1}", path="exit")


@dataclass(frozen=True)
class Sure(Rule):
    """A sample leaves where its doubt is below a bar.

    Attributes:
        threshold: One number for every exit, or one for each but the last.

    Raises:
        WrongSetting: A threshold outside its range.
    """

    threshold: float | tuple[float, ...]
    highest: ClassVar[float] = 1.0
    """Of a threshold."""

    def __post_init__(self) -> None:
        told: Any = self.threshold
        several = isinstance(told, Sequence) and not isinstance(told, str)
        given = tuple(told) if several else (told,)
        for value in given:
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not number or not 0 <= value <= self.highest or math.isinf(value):
                remedy = (
                    "give a number from 0 on" if math.isinf(self.highest) else f"thresholds lie in 0 … {self.highest:g}"
                )
                raise WrongSetting(f"threshold {value!r}", remedy, path=f"{type(self).__name__}.threshold")
        object.__setattr__(self, "threshold", tuple(map(float, given)) if several else float(told))

    @staticmethod
    @abstractmethod
    def doubt(scores: Tensor) -> Tensor:
        """How unsure class scores (n, C) are, (n,), 0 where there is no doubt at all."""

    @classmethod
    @abstractmethod
    def at(cls, bars: Sequence[float]) -> Sure:
        """The rule whose samples leave exit k where their doubt is below ``bars[k]``."""

    def doubt_at(self, number: int, scores: Tensor) -> Tensor:
        """`doubt` at exit `number`, for rules to which exits are not alike."""
        return self.doubt(scores.double())

    def with_bars(self, bars: Sequence[float]) -> Sure:
        """This rule with other thresholds; see `at`."""
        return self.at(bars)

    @abstractmethod
    def bar(self, number: int) -> float:
        """Doubt below which a sample leaves exit `number`."""

    def leaves(self, number: int, scores: Tensor) -> Tensor:
        """See `Rule`; scores that are not finite never leave."""
        return self.doubt_at(number, scores) < self.bar(number)

    def check(self, exits: int) -> None:
        """See `Rule`."""
        if isinstance(self.threshold, tuple) and len(self.threshold) != exits - 1:
            found = f"{len(self.threshold)} thresholds for {exits} exits"
            raise WrongSetting(found, f"give {exits - 1}: one for each exit but the last", path="threshold")

    def _threshold(self, number: int) -> float:
        return self.threshold[number] if isinstance(self.threshold, tuple) else self.threshold


class Entropy(Sure):
    """Leave where H = -Σ p ln p < T, in nats, p the softmax of the scores (BranchyNet, arXiv:1709.01686).

    T = 0: nobody leaves; T > ln C: everybody does, at the first exit.
    """

    highest = math.inf

    @staticmethod
    def doubt(scores: Tensor) -> Tensor:
        """H, (n,)."""
        log_p = scores.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    @classmethod
    def at(cls, bars: Sequence[float]) -> Entropy:
        """See `Sure`."""
        return cls(tuple(bars))

    def bar(self, number: int) -> float:
        """T."""
        return self._threshold(number)


class Probability(Sure):
    """Leave where the largest probability is above the threshold, in [0, 1]; at 1 nobody leaves, at 0 everybody does."""

    @staticmethod
    def doubt(scores: Tensor) -> Tensor:
        """1 - max p, (n,)."""
        return (1 - scores.softmax(-1).amax(-1)).clamp(min=0)

    @classmethod
    def at(cls, bars: Sequence[float]) -> Probability:
        """See `Sure`."""
        return cls(tuple(map(threshold_of, bars)))

    def bar(self, number: int) -> float:
        """1 - threshold; above every doubt where the threshold is 0."""
        threshold = self._threshold(number)
        return 1 - threshold if threshold else math.inf


class Margin(Probability):
    """Leave where the largest probability less the second one is above the threshold, in [0, 1]; at 1 nobody leaves, at 0
    everybody does.
    """

    @staticmethod
    def doubt(scores: Tensor) -> Tensor:
        """1 - (p₁ - p₂), (n,)."""
        top = scores.softmax(-1).topk(2, -1).values
        return 1 - (top[..., 0] - top[..., 1])


def threshold_of(bar: float) -> float:
    """The threshold in [0, 1] of those whose doubt is below a bar; 0, everybody, only where the bar is above every doubt."""
    return 0.0 if bar > 1 else min(1.0, max(1 - bar, sys.float_info.min))

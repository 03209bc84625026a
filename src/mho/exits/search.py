"""`Search`: what combinations of bars give, all of them for a few exits, a walk through them for many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from mho.exits.answers import Answers
from mho.exits.rules import Sure

_LEVELS = 33
"""Bars that are tried at each exit."""
_FEW = 2
"""Exits before the last one up to which all combinations are tried: 1089."""
_PRICES = [10 ** (-3 + k / 4) for k in range(17)]
"""Of all multiply-accumulates, as accuracy: each price has its best bars, and they are a front."""
_STARTS = 10
"""Of those, from which the walk for the budget itself begins."""
_ROUNDS = 20


class Tried(NamedTuple):
    """What bars give: accuracy, and multiply-accumulates as a share of the backbone's."""

    bars: tuple[float, ...]
    accuracy: float
    macs: float


Pick = Callable[[Sequence[Tried]], int | None]
"""The number of the best; None where there is none."""


class Search:
    """Bars of each exit, and what combinations of them give.

    With more than three exits: the same quantile of doubt at every exit, all of them; from there, at rising prices of a
    multiply-accumulate, the best bar of each exit in turn, the others held, until nothing changes; and so again for each
    budget itself, from the best of what was found.

    Args:
        answers: Of all exits.
        rule: With any bars.

    Attributes:
        bars: Of each exit, rising.
        first: From which of them on each sample leaves there, (N,) for each exit.
    """

    def __init__(self, answers: Answers, rule: Sure) -> None:
        early = len(answers.names) - 1
        self.right = answers.right.double()
        self.costs = torch.tensor(answers.macs.deciding, dtype=torch.float64)
        self.full = answers.macs.alone[-1]
        self.bars: list[list[float]] = []
        self.first: list[Tensor] = []
        for k in range(early):
            doubt = rule.doubt_at(k, answers.scores[:, k])
            # Bars as the rule gives them back: what is tried is what the rule will do.
            bars = sorted({rule.with_bars((bar,) * early).bar(k) for bar in _bars(doubt)})
            first = torch.searchsorted(torch.tensor(bars, dtype=torch.float64), doubt, right=True)
            self.bars.append(bars)
            self.first.append(first.masked_fill(doubt.isnan(), len(bars)))

    def tried(self, best: Pick) -> list[Tried]:
        """Combinations of bars, and what they give.

        Args:
            best: What the bars are for.
        """
        levels, found = self._known
        if len(self.bars) <= _FEW:
            return found
        left = list(range(len(found)))
        starts: list[tuple[int, ...]] = []
        while len(starts) < _STARTS and (number := best([found[i] for i in left])) is not None:
            starts.append(levels[left.pop(number)])
        return found + self.give(sorted({self.descend(start, best) for start in starts}))

    @cached_property
    def _known(self) -> tuple[list[tuple[int, ...]], list[Tried]]:
        """Numbers of bars, and what they give, whatever they are for."""
        if len(self.bars) <= _FEW:
            levels = list(product(*(range(len(bars)) for bars in self.bars)))
            return levels, self.give(levels)
        alike = {
            tuple(round(level * (len(bars) - 1) / (_LEVELS - 1)) for bars in self.bars) for level in range(_LEVELS)
        }
        levels = sorted(alike)
        now = levels[-1]
        for price in reversed(_PRICES):

            def worth(found: Sequence[Tried], price: float = price) -> int:
                return max(range(len(found)), key=lambda i: found[i].accuracy - price * found[i].macs)

            now = self.descend(now, worth)
            levels.append(now)
        levels = sorted(set(levels))
        return levels, self.give(levels)

    def give(self, levels: Iterable[tuple[int, ...]]) -> list[Tried]:
        """What bars of some numbers give."""
        found = []
        for which in levels:
            right, spent = self.right[:, -1], self.costs[-1].expand(len(self.right))
            for k in reversed(range(len(which))):
                leaves = self.first[k] <= which[k]
                right, spent = right.where(~leaves, self.right[:, k]), spent.where(~leaves, self.costs[k])
            found.append(self._tried(which, float(right.sum()), float(spent.sum())))
        return found

    def descend(self, levels: tuple[int, ...], best: Pick) -> tuple[int, ...]:
        """At each exit the best bar, the others held, until nothing changes."""
        now = list(levels)
        for _ in range(_ROUNDS):
            before = list(now)
            comes = [torch.ones(len(self.right), dtype=torch.bool)]
            for k, first in enumerate(self.first[:-1]):
                comes.append(comes[k] & (first > now[k]))
            right, spent = self.right[:, -1], self.costs[-1].expand(len(self.right))  # of who does not leave at exit k
            for k in reversed(range(len(now))):
                came = comes[k]
                gain = self._by_level(k, (self.right[:, k] - right) * came)
                extra = self._by_level(k, (self.costs[k] - spent) * came)
                score, cost = self._gone(now, comes, k)
                score, cost = score + float(right[came].sum()), cost + float(spent[came].sum())
                choices = [self._tried((), score + g, cost + e) for g, e in zip(gain, extra, strict=True)]
                chosen = best(choices)
                now[k] = now[k] if chosen is None else chosen
                leaves = self.first[k] <= now[k]
                right, spent = right.where(~leaves, self.right[:, k]), spent.where(~leaves, self.costs[k])
            if now == before:
                break
        return tuple(now)

    def _gone(self, levels: Sequence[int], comes: Sequence[Tensor], k: int) -> tuple[float, float]:
        """Right answers and costs of those that leave before exit k."""
        left = [(j, comes[j] & (self.first[j] <= levels[j])) for j in range(k)]
        right = sum(float(self.right[who, j].sum()) for j, who in left)
        return right, sum(float(who.sum()) * float(self.costs[j]) for j, who in left)

    def _by_level(self, k: int, values: Tensor) -> list[float]:
        """Sums of values over those that leave exit k with each of its bars."""
        count = len(self.bars[k])
        return torch.bincount(self.first[k], weights=values, minlength=count + 1).cumsum(0)[:count].tolist()

    def _tried(self, levels: tuple[int, ...], right: float, spent: float) -> Tried:
        bars = tuple(self.bars[k][level] for k, level in enumerate(levels))
        samples = len(self.right)
        return Tried(bars, right / samples, spent / samples / self.full)


def _bars(doubt: Tensor) -> list[float]:
    """Bars from 0 (nobody leaves) to above the largest doubt (everybody): doubts of samples, as many leaving from one to the
    next where no doubts are equal.
    """
    found, counts = doubt[doubt.isfinite()].unique(return_counts=True)
    if not len(found):
        return [0.0]
    below = counts.cumsum(0)[:-1]  # samples that leave with the bar at the next doubt
    wanted = torch.linspace(0, len(doubt), _LEVELS, dtype=torch.float64)[1:-1]
    places = torch.searchsorted(below.double(), wanted).clamp(max=len(below) - 1) if len(below) else wanted.long()[:0]
    return sorted({0.0, *found[1:][places].tolist(), float(found[-1]) * 1.001 + 1e-9})

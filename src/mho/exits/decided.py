"""`decide`: where each sample leaves under a rule, and what that gives and costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mho.exits.answers import Answers
from mho.exits.rules import Fixed, Rule, check_rule
from mho.statistics.intervals import Interval, wilson_interval


@dataclass(frozen=True, eq=False)
class Decided:
    """What a rule makes of the answers of all exits.

    Attributes:
        names: Of the exits.
        exits: Number of each sample's exit, (N,).
        right: Whether it is right there, bool (N,).
        labels: (N,).
        classes: Names of the classes.
        mean_macs: Multiply-accumulates of a sample, mean over the samples: exact for these.
        full_macs: Of the backbone alone.
        alone: All samples leave at one exit, and no other side classifier is asked.
    """

    names: tuple[str, ...]
    exits: Tensor
    right: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    mean_macs: float
    full_macs: int
    alone: bool = False

    @property
    def accuracy(self) -> Interval:
        """Share of right answers with Wilson's interval over samples."""
        return wilson_interval(int(self.right.sum()), len(self.right))

    @property
    def shares(self) -> dict[str, float]:
        """Share of the samples that leave at each exit."""
        counts = torch.bincount(self.exits, minlength=len(self.names)).double() / len(self.exits)
        return dict(zip(self.names, counts.tolist(), strict=True))

    @property
    def macs_share(self) -> float:
        """`mean_macs` as a share of the backbone's."""
        return self.mean_macs / self.full_macs

    def per_class(self) -> dict[str, tuple[Interval, float]]:
        """For each class that has samples its recall with Wilson's interval, and the mean number of its samples' exits from 1."""
        found = {}
        for c, name in enumerate(self.classes):
            of = self.labels == c
            if n := int(of.sum()):
                depth = float(self.exits[of].double().mean()) + 1
                found[name] = (wilson_interval(int(self.right[of].sum()), n), depth)
        return found

    def __str__(self) -> str:
        left = ", ".join(f"{name} {100 * part:.1f} %" for name, part in self.shares.items())
        a = self.accuracy
        return (
            f"accuracy {100 * a.value:.1f} % [{100 * a.low:.1f}, {100 * a.high:.1f}] with {100 * self.macs_share:.1f} % of "
            f"the multiply-accumulates; left at {left}"
        )


def decide(answers: Answers, rule: Rule) -> Decided:
    """Apply a rule to answers of all exits: the same decisions as skipping makes (`Early`).

    Raises:
        WrongSetting: It is no rule, or one for another number of exits.
    """
    count = len(answers.names)
    check_rule(rule, count)
    exits = torch.full((len(answers),), count - 1)
    for number in reversed(range(count - 1)):
        exits[rule.leaves(number, answers.scores[:, number])] = number
    alone = isinstance(rule, Fixed)
    macs = answers.macs.alone if alone else answers.macs.deciding
    right = answers.right.gather(1, exits[:, None])[:, 0]
    mean = float(torch.tensor(macs, dtype=torch.float64)[exits].mean())
    return Decided(answers.names, exits, right, answers.labels, answers.classes, mean, answers.macs.alone[-1], alone)

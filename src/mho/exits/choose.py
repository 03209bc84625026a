"""What is chosen on some samples and reported on others: thresholds for a budget, and the best exit of all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from mho.arguments import number
from mho.errors import BadInput, WrongSetting
from mho.exits.answers import Answers
from mho.exits.decided import Decided, decide
from mho.exits.gate import Gate
from mho.exits.rules import Entropy, Fixed, Rule, Sure

_TRIES = 4000
"""Combinations of thresholds that are tried."""
_LEVELS = 33


@dataclass(frozen=True, eq=False)
class Chosen:
    """A rule, and the samples on which it was chosen.

    Attributes:
        rule: What was chosen.
        seen: What it gives on those samples: too good, for it was chosen there.
        of_class: The class that counts; empty: all.
    """

    rule: Rule
    seen: Decided
    answers: Answers
    of_class: str = ""

    def report(self, answers: Answers) -> Decided:
        """What the rule gives on other samples, such as those of the test.

        Args:
            answers: Of any network with as many exits: of the same chip, or of one that has aged.

        Raises:
            BadInput: Some of the samples are those that it was chosen on.
        """
        known = self.answers.samples | (self.rule.samples if isinstance(self.rule, Gate) else frozenset())
        if shared := known & answers.samples:
            raise BadInput(
                f"{len(shared)} of {len(answers)} samples are among those on which the rule was chosen",
                "report on samples that took no part in the choice", path="answers",
            )  # fmt: skip
        return decide(_only(answers, self.of_class), self.rule)


def best_exit(answers: Answers, *, of_class: str = "") -> Chosen:
    """The exit that is right most often if every sample leaves there; of equals the first.

    Args:
        answers: Of the chip at its age, on calibration images.
        of_class: Only samples of this class count.

    Raises:
        WrongSetting: There is no such class.
        BadInput: It has no samples.
    """
    counted = _only(answers, of_class)
    best = int(counted.right.sum(0).argmax())
    return Chosen(Fixed(best), decide(counted, Fixed(best)), answers, of_class)


def tune(
    answers: Answers, rule: type[Sure] | Gate = Entropy, *, accuracy: float | None = None, macs: float | None = None
) -> Chosen:
    """Thresholds, one for each exit but the last, for an accuracy or for a budget of multiply-accumulates.

    Thresholds are tried at quantiles of each exit's doubt, all combinations of them, from nobody leaves to everybody leaves.

    Args:
        answers: On validation data, of the chip at its age.
        rule: `Entropy`, `Probability`, `Margin`, or what `Gate.learn` returned for other samples.
        accuracy: Share of right answers, in (0, 1], that is to be kept on these samples, with the fewest multiply-accumulates.
        macs: Share of the backbone's multiply-accumulates, above 0, that may be spent, for the highest accuracy.

    Raises:
        WrongSetting: Not one of the two budgets, or one outside its range.
        BadInput: No thresholds keep the budget; the message has the best there are.
            Or a gate that has learned from these samples.
    """
    if (accuracy is None) == (macs is None):
        raise WrongSetting("give one budget", "accuracy=0.9, or macs=0.5", path="accuracy, macs")
    if isinstance(rule, type) and issubclass(rule, Sure) and not issubclass(rule, Gate):
        kind = rule.at((0.0,) * (len(answers.names) - 1))
    elif isinstance(rule, Gate):
        kind = rule
        kind.with_bars((0.0,) * (len(answers.names) - 1)).check(len(answers.names))
        if shared := rule.samples & answers.samples:
            problem = f"the gate has learned from {len(shared)} of these samples"
            raise BadInput(problem, "tune it on others", path="answers")
    else:
        remedy = "give Entropy, Probability or Margin, the class; or Gate.learn(answers)"
        raise WrongSetting(f"rule = {rule!r}", remedy, path="rule")
    budget = number(macs if accuracy is None else accuracy, "budget", "give a share above 0", above=0)
    if accuracy is not None and budget > 1:
        raise WrongSetting(f"accuracy = {accuracy}", "give a share in (0, 1]", path="accuracy")
    tried = _tried(answers, kind)
    if accuracy is not None:
        kept = [each for each in tried if each[1] >= budget - 1e-12]
        best = min(kept, key=lambda each: (each[2], -each[1]), default=None)
        highest = max(each[1] for each in tried)
        remedy = f"the best thresholds reach {100 * highest:.2f} % on these samples"
    else:
        kept = [each for each in tried if each[2] <= budget * (1 + 1e-12)]
        best = max(kept, key=lambda each: (each[1], -each[2]), default=None)
        remedy = f"leaving at the first exit takes {100 * min(each[2] for each in tried):.1f} %"
    if best is None:
        what = f"accuracy {budget:g}" if macs is None else f"{100 * budget:.4g} % of the multiply-accumulates"
        raise BadInput(f"no thresholds keep {what}", remedy, path="budget")
    found = kind.with_bars(best[0])
    return Chosen(found, decide(answers, found), answers)


def _tried(answers: Answers, rule: Sure) -> list[tuple[tuple[float, ...], float, float]]:
    """Bars, accuracy and share of multiply-accumulates of every combination."""
    early = len(answers.names) - 1
    levels = max(2, min(_LEVELS, int(_TRIES ** (1 / max(1, early)))))
    doubts = [rule.doubt_at(k, answers.scores[:, k]) for k in range(early)]
    # Bars as the rule gives them back: what is tried is what the rule will do.
    places = [
        sorted({rule.with_bars((bar,) * early).bar(k) for bar in _bars(doubt, levels)})
        for k, doubt in enumerate(doubts)
    ]
    gone = [
        doubt[None] < torch.tensor(bars, dtype=torch.float64)[:, None]
        for doubt, bars in zip(doubts, places, strict=True)
    ]
    right, costs = answers.right.double(), torch.tensor(answers.macs.deciding, dtype=torch.float64)
    found = []
    for which in product(*(range(len(bars)) for bars in places)):
        left, score, spent = torch.ones(len(answers), dtype=torch.bool), 0.0, 0.0
        for k, level in enumerate(which):
            leaving = left & gone[k][level]
            score += float(right[leaving, k].sum())
            spent += float(leaving.sum()) * float(costs[k])
            left = left & ~leaving
        score += float(right[left, -1].sum())
        spent += float(left.sum()) * float(costs[-1])
        bars = tuple(places[k][level] for k, level in enumerate(which))
        found.append((bars, score / len(answers), spent / len(answers) / answers.macs.alone[-1]))
    return found


def _bars(doubt: Tensor, levels: int) -> list[float]:
    """Bars from 0 (nobody leaves) to above the largest doubt (everybody): doubts of samples, as many leaving from one to the
    next where no doubts are equal.
    """
    found, counts = doubt[doubt.isfinite()].unique(return_counts=True)
    if not len(found):
        return [0.0]
    below = counts.cumsum(0)[:-1]  # samples that leave with the bar at the next doubt
    wanted = torch.linspace(0, len(doubt), levels, dtype=torch.float64)[1:-1]
    places = torch.searchsorted(below.double(), wanted).clamp(max=len(below) - 1) if len(below) else wanted.long()[:0]
    return sorted({0.0, *found[1:][places].tolist(), float(found[-1]) * 1.001 + 1e-9})


def _only(answers: Answers, of_class: str) -> Answers:
    if not of_class:
        return answers
    if of_class not in answers.classes:
        raise WrongSetting(f"no class '{of_class}'", f"classes are {', '.join(answers.classes)}", path="of_class")
    rows = answers.labels == answers.classes.index(of_class)
    if not bool(rows.any()):
        raise BadInput(f"no sample of class '{of_class}'", "give samples of it", path="answers")
    return replace(answers, scores=answers.scores[rows], labels=answers.labels[rows])

"""What is chosen on some samples and reported on others: thresholds for a budget, and the best exit of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mho.arguments import many, number, whole
from mho.errors import BadInput, WrongSetting
from mho.exits.answers import Answers, check_answers
from mho.exits.decided import Decided, decide
from mho.exits.gate import Gate
from mho.exits.rules import Entropy, Fixed, Rule, Sure
from mho.exits.search import Search, Tried
from mho.tasks.items import shared


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
            BadInput: Some of the samples are those that it was chosen on, or they have another dtype, which hides it.
        """
        known = self.answers.samples | (self.rule.samples if isinstance(self.rule, Gate) else frozenset())
        if count := shared(known, answers.samples, "answers"):
            raise BadInput(
                f"{count} of {len(answers)} samples are among those on which the rule was chosen",
                "report on samples that took no part in the choice", path="answers",
            )  # fmt: skip
        return decide(_only(answers, self.of_class), self.rule)


def best_exit(answers: Answers, *, of_class: str | int = "") -> Chosen:
    """The exit that is right most often if every sample leaves there; of equals the first.

    Args:
        answers: Of the chip at its age, on calibration images.
        of_class: Only samples of this class count: its name, or its number; "": all.

    Raises:
        WrongSetting: There is no such class.
        BadInput: It has no samples.
    """
    check_answers(answers)
    if not isinstance(of_class, str):
        number_of = whole(of_class, "of_class", least=0, remedy="give the name of a class, or its number")
        if number_of >= len(answers.classes):
            remedy = f"classes are 0 … {len(answers.classes) - 1}: {', '.join(answers.classes)}"
            raise WrongSetting(f"no class {number_of}", remedy, path="of_class")
        of_class = answers.classes[number_of]
    counted = _only(answers, of_class)
    best = int(counted.right.sum(0).argmax())
    return Chosen(Fixed(best), decide(counted, Fixed(best)), answers, of_class)


def tune(
    answers: Answers, rule: type[Sure] | Gate = Entropy, *, accuracy: float | None = None, macs: float | None = None
) -> Chosen:
    """Thresholds, one for each exit but the last, for an accuracy or for a budget of multiply-accumulates.

    Thresholds are tried at quantiles of each exit's doubt, from nobody leaves to everybody leaves: all combinations of them for
    up to three exits; for more, exit by exit, the others held, at several prices of a multiply-accumulate.

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
    kind = _checked(answers, rule)
    return _chosen(answers, kind, Search(answers, kind), accuracy, macs)


def front(answers: Answers, rule: type[Sure] | Gate = Entropy, *, macs: Sequence[float]) -> list[Chosen]:
    """What `tune` chooses for each of several budgets of multiply-accumulates, in less time.

    Args:
        answers: As for `tune`.
        rule: As for `tune`.
        macs: Budgets, as shares of the backbone's multiply-accumulates.

    Raises:
        WrongSetting: As `tune` does.
        BadInput: As `tune` does.
    """
    kind = _checked(answers, rule)
    search = Search(answers, kind)
    return [_chosen(answers, kind, search, None, budget) for budget in many(macs, "macs")]


def _checked(answers: Answers, rule: type[Sure] | Gate) -> Sure:
    """A rule with some bars, once it is one for these answers."""
    check_answers(answers)
    if isinstance(rule, type) and issubclass(rule, Sure) and not issubclass(rule, Gate):
        return rule.at((0.0,) * (len(answers.names) - 1))
    if not isinstance(rule, Gate):
        remedy = "give Entropy, Probability or Margin, the class; or Gate.learn(answers)"
        raise WrongSetting(f"rule = {rule!r}", remedy, path="rule")
    rule.with_bars((0.0,) * (len(answers.names) - 1)).check(len(answers.names))
    if count := shared(rule.samples, answers.samples, "answers"):
        raise BadInput(f"the gate has learned from {count} of these samples", "tune it on others", path="answers")
    return rule


def _chosen(answers: Answers, kind: Sure, search: Search, accuracy: float | None, macs: float | None) -> Chosen:
    """The thresholds for a budget."""
    budget = number(macs if accuracy is None else accuracy, "budget", "give a share above 0", above=0)
    if accuracy is not None and budget > 1:
        raise WrongSetting(f"accuracy = {accuracy}", "give a share in (0, 1]", path="accuracy")
    found = search.tried(lambda some: _best(some, accuracy, macs))
    best = _best(found, accuracy, macs)
    if best is None:
        what = f"accuracy {budget:g}" if macs is None else f"{100 * budget:.4g} % of the multiply-accumulates"
        remedy = (
            f"the best thresholds reach {100 * max(each.accuracy for each in found):.2f} % on these samples"
            if macs is None else f"leaving at the first exit takes {100 * min(each.macs for each in found):.1f} %"
        )  # fmt: skip
        raise BadInput(f"no thresholds keep {what}", remedy, path="budget")
    chosen = kind.with_bars(found[best].bars)
    return Chosen(chosen, decide(answers, chosen), answers)


def _best(found: Sequence[Tried], accuracy: float | None, macs: float | None) -> int | None:
    """The number of the best that keeps a budget."""
    if accuracy is not None:
        kept = [i for i, each in enumerate(found) if each.accuracy >= accuracy - 1e-12]
        return min(kept, key=lambda i: (found[i].macs, -found[i].accuracy), default=None)
    assert macs is not None
    kept = [i for i, each in enumerate(found) if each.macs <= macs * (1 + 1e-12)]
    return max(kept, key=lambda i: (found[i].accuracy, -found[i].macs), default=None)


def _only(answers: Answers, of_class: str) -> Answers:
    if not of_class:
        return answers
    if of_class not in answers.classes:
        raise WrongSetting(f"no class '{of_class}'", f"classes are {', '.join(answers.classes)}", path="of_class")
    rows = answers.labels == answers.classes.index(of_class)
    if not bool(rows.any()):
        raise BadInput(f"no sample of class '{of_class}'", "give samples of it", path="answers")
    return replace(answers, scores=answers.scores[rows], labels=answers.labels[rows])

"""The answer in words, and what the reader should be wary of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mho.measure.summary import majority
from mho.statistics.tails import TAIL, chips_to_see, unseen
from mho.tasks.score import percent
from mho.units import show_time

if TYPE_CHECKING:
    from mho.measure.result import DriftResult


def show_age(t_s: float) -> str:
    """`show_time`, with a word for the age 0."""
    return "programming" if t_s == 0 else show_time(t_s)


def sentence(result: DriftResult, budget: float | str) -> str:
    """What holds, for how long, and for which share of the chips; or why nothing can be said.

    The yield is told at the first measured age after the mean has left the budget, and at the last age if
    it never does.
    """
    budget = result.score.check_budget(budget)
    if reason := result.at_chance(budget):
        return f"{result.subject}: {reason}."
    life = result.lifetime(budget)
    ages = result.ages_s
    subject, score, limit = result.subject, result.score, result.score.show_budget(budget)
    limit = limit if score.name == "accuracy" else f"{limit} {score.label}"
    if life.beyond:
        told = ages[-1]
        head = (
            f"{subject} keeps its {limit} budget for at least {show_time(told)}, the last age measured"
            if len(ages) > 1
            else f"{subject} is inside its {limit} budget {_moment(told)}, the only age measured"
        )
    elif life.before:
        told = ages[0]
        first = result.summary()[0]
        head = (
            f"{subject} is outside its {limit} budget from the first age measured, {_moment(told)}: "
            f"{score.bracket(first.mean, first.low, first.high)} against {score.show(result.digital_score)} digital"
        )
    else:
        told = next(t for t in ages if t >= life.t_s)
        head = f"{subject} keeps its {limit} budget for {life}"
    if result.shared:
        return f"{head}."
    inside = result.yield_at(told, budget)
    then = "then" if life.beyond or life.before else _moment(told)
    if inside.chips == 1:
        return f"{head}; one chip was measured, so nothing is known about the spread."
    verb = "is" if inside.inside == 1 else "are"
    if life.before:
        return f"{head}; {inside} of chips {verb} inside then."
    rare = f" ({inside.tail})" if inside.tail else ""
    return f"{head}; {inside} of chips are still inside {then}{rare}."


def _moment(t_s: float) -> str:
    return "right after programming" if t_s == 0 else f"after {show_time(t_s)}"


def cautions(result: DriftResult) -> list[str]:
    """What could mislead a reader of these numbers, in sentences; often none."""
    found = []
    digital, rate = result.digital.mean, majority(result.header.data)
    if not math.isnan(rate) and digital - rate < 0.1:
        found.append(
            f"The digital network is right for {percent(digital)} of the samples; always answering "
            f"the most frequent class gives {percent(rate)}. There is little to lose, so small drops say "
            "little: look at the corrected columns."
        )
    if len(result.chips) < 5:
        count = f"{len(result.chips)} chips are" if len(result.chips) > 1 else "One chip is"
        found.append(f"{count} few: intervals are wide or unknown, and a yield is known only roughly.")
    last = result.summary()[-1]
    wanted = chips_to_see(TAIL, result.header.confidence)
    if not result.shared and 5 <= len(result.chips) < wanted:
        share = unseen(len(result.chips), result.header.confidence)
        found.append(
            f"{len(result.chips)} chips say little about rare ones: up to {percent(share, 0)} of all chips may be worse than "
            f"each of them. {wanted} chips would show one in twenty."
        )
    top = max(result.digital.predicted, default=0) / result.digital.samples
    if last.top_share > top + 0.1:
        found.append(
            f"After {show_time(last.age_s)} a chip gives {percent(last.top_share, 0)} of its predictions to "
            f"one class (digital: {percent(top, 0)}). Part of the loss is then a shift of the decision, "
            "which a calibration may undo, and not lost information."
        )
    if not math.isfinite(last.loss):
        found.append("The loss is not finite on some chips: their outputs overflow.")
    return found

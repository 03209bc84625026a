"""A result as text: one line an age."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mho.measure.aligned import aligned
from mho.measure.sentence import show_age
from mho.tasks.score import percent

if TYPE_CHECKING:
    from mho.measure.result import DriftResult


def table(result: DriftResult, budget: float | str = 0.01) -> str:
    """One line an age, below a title and above the sentence, which is about a budget."""
    score, digital = result.score, result.digital
    known = any(not math.isnan(s.top_share) or not math.isnan(s.normalised) for s in result.summary())
    more = [*digital.scores, *([] if score.share or score.name == "loss" else ["loss"])]
    head = ["age", f"{'mean' if score.share else score.label} [{100 * result.header.confidence:g} % over chips]"]
    head += ["worst", "5th pct", *(["norm.", "top class"] if known else []), *more]
    first = ["digital", score.show(result.digital_score), "", "", *([""] * 2 if known else [])]
    lines = [head, [*first, *_numbers({**digital.scores, "loss": digital.loss}, more)]]
    for s in result.summary():
        line = [show_age(s.age_s), score.bracket(s.mean, s.low, s.high), score.show(s.minimum), score.show(s.p5)]
        line += [f"{s.normalised:.3f}", percent(s.top_share, 0)] if known else []
        lines.append([*line, *_numbers({**s.scores, "loss": s.loss}, more)])
    chips = f"{len(result.chips)} chip{'s' if len(result.chips) != 1 else ''}"
    share = f", {result.header.chips_per_pass} chips a pass" if result.shared else ""
    title = f"{result.subject}: {chips}, {digital.samples} samples{share}"
    terms = (
        ["norm.: mean / digital. top class: share of a chip's predictions in its most-predicted class."]
        if known
        else []
    )
    return "\n".join([title, *aligned(lines), *terms, result.sentence(budget)])


def _numbers(scores: dict[str, float], names: Sequence[str]) -> list[str]:
    return [f"{scores[name]:.4g}" for name in names]

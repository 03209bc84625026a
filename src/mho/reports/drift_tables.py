"""The tables of a drift report, each with the words that explain its columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from mho.measure.result import DriftResult
from mho.measure.sentence import show_age
from mho.measure.summary import recalls
from mho.reports.page import Cell, Head, Row, Table, stacked
from mho.tasks.score import percent


def of_ages(result: DriftResult) -> Table:
    """The headline at every age: over chips, over chips and samples, worst chips, spread."""
    score = result.score
    unit = ", in percentage points" if score.share else ""
    names = ("age", "mean [chips]", "[chips and samples]", "worst chip", "5th percentile", "σ seen", "σ of chips")
    rows = [Row((_age(-1), score.show(result.digital_score), *[""] * 5), "off")]
    rows += [
        Row((
            _age(s.age_s), stacked(score.bracket(s.mean, s.low, s.high)),
            stacked(score.bracket(s.mean, s.low_total, s.high_total)).under, score.show(s.minimum), score.show(s.p5),
            _spread(s.std, score.share), _spread(s.sigma_chip, score.share),
        ))
        for s in result.summary()
    ]  # fmt: skip
    glossary = (
        ("mean [chips]", f"mean {score.label} with its interval over other chips, for this test set"),
        ("[chips and samples]", "its interval over other chips and other test samples"),
        ("5th percentile", "19 of 20 chips are better"),
        ("σ seen", f"standard deviation between the chips measured{unit}"),
        ("σ of chips", "the same without the luck of a finite test set: what chips themselves differ by"),
    )
    return Table([Head(name) for name in names], rows, glossary)


def of_corrected(result: DriftResult) -> Table:
    """Accuracy against the digital network, chance and the most frequent class; how predictions shift."""
    if not result.score.share:
        return Table((), ())
    names = ("age", "normalised", "above chance", "above majority", "balanced", "loss (nats)", "top class", "moved")
    one = "1.000" if result.header.data.classes else "–"
    digital, recall = result.digital, recalls(result.digital, result.header.data)
    recall = recall[~np.isnan(recall)]
    top = max(digital.predicted) / digital.samples if digital.predicted else math.nan
    first = (percent(float(recall.mean()) if recall.size else math.nan), _number(digital.loss), percent(top), "")
    rows = [Row((_age(-1), "1.000", one, one, *first), "off")]
    rows += [
        Row((
            _age(s.age_s), _number(s.normalised), _number(s.chance_corrected), _number(s.majority_corrected), percent(s.balanced),
            _number(s.loss), percent(s.top_share), percent(s.shift),
        ))
        for s in result.summary()
    ]  # fmt: skip
    glossary = (
        ("normalised", f"mean {result.score.label} divided by the digital network's (norm. in the terminal)"),
        ("above chance, above majority",
         "1 at the digital network's, 0 at chance (1/classes) or for always the most frequent class"),
        ("balanced", "mean of the classes' recalls"),
        ("top class", "share of a chip's predictions that go to the class it predicts most"),
        ("moved", "share of the predictions (net) that went to other classes than the digital network's: a bias can look "
                  "like lost information"),
    )  # fmt: skip
    return Table([Head(name) for name in names], rows, glossary)


def of_other_scores(result: DriftResult) -> Table:
    """The task's other scores and the loss: a row for the digital network and each age."""
    names = [*result.digital.scores, "loss"]
    lines = [(-1.0, {**result.digital.scores, "loss": result.digital.loss})]
    lines += [(s.age_s, {**s.scores, "loss": s.loss}) for s in result.summary()]
    rows = [
        Row((_age(age), *(f"{values[name]:.4g}" for name in names)), "off" if age < 0 else "") for age, values in lines
    ]
    return Table([Head(name) for name in ("age", *names)], rows)


def of_placement(placement: Iterable[dict[str, Any]]) -> Table:
    """Where weights went, and why."""
    heads = [
        Head("weight", "wrap"), Head("placed", "text"), Head("shape"), Head("arrays"), Head("filled"), Head("MACs"),
        Head("share"), Head("why", "wrap"),
    ]  # fmt: skip
    return Table(heads, [_placed(row) for row in placement])


def _placed(row: dict[str, Any]) -> Row:
    shape, analog = row.get("shape") or (), row.get("placed") == "analog"
    return Row((
        ".".join(str(row[key]) for key in ("path", "weight") if row.get(key)),
        str(row.get("placed", "")),
        Cell(" × ".join(str(n) for n in shape), sort=float(np.prod(shape)) if shape else 0.0),
        str(row.get("arrays") or 0) if analog else "",
        percent(float(row.get("utilisation") or 0.0), 0) if analog else "",
        f"{row.get('macs') or 0:,}",
        percent(float(row.get("mac_share") or 0.0)),
        str(row.get("reason", "")),
    ), "" if analog else "off")  # fmt: skip


def _age(t_s: float) -> Cell:
    """An age; -1 is the digital network."""
    return Cell("digital" if t_s < 0 else show_age(t_s), sort=t_s)


def _spread(sigma: float, share: bool) -> str:
    return "–" if math.isnan(sigma) else f"{100 * sigma:.2f}" if share else f"{sigma:.3g}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"

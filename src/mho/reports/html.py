"""`write`: one page that opens without a network, the figures as files, and the rows as CSV."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from mho.errors import BadInput
from mho.measure.result import DriftResult
from mho.measure.sentence import cautions, percent, show_age
from mho.measure.summary import chance, majority, recalls
from mho.reports.figures import _capital, draw
from mho.units import show_time


def write(result: DriftResult, directory: str | Path, budget: float = 0.01) -> Path:
    """Write ``report.html``, ``figures/*.svg`` and ``rows.csv`` into `directory`.

    Args:
        result: What was measured.
        directory: Made if it is not there.
        budget: What may be lost, see `DriftResult.floor`.

    Returns:
        Path of ``report.html``.

    Raises:
        BadInput: The directory cannot be written.
        WrongSetting: A budget outside its range, or chips share passes.
    """
    result.needs_single_chips("a report")
    directory = Path(directory)
    plots = draw(result, budget)
    page = _page(result, budget, plots)
    try:
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        for plot in plots:
            (directory / "figures" / f"{plot.name}.svg").write_text(plot.svg, encoding="utf-8")
        result.to_csv(directory / "rows.csv")
        path = directory / "report.html"
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another directory", path=str(directory)) from error
    return path


def _page(result: DriftResult, budget: float, plots: list[Any]) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("mho.reports").joinpath("template.html.j2").read_text(encoding="utf-8"))
    header = result.header
    return template.render(
        result=result,
        header=header,
        sentence=result.sentence(budget),
        answer=_unbroken(result.sentence(budget)),
        digital=_of_digital(result),
        cautions=cautions(result),
        keys=_key_numbers(result, budget),
        plots={plot.name: plot for plot in plots},
        inline={plot.name: Markup(plot.inline) for plot in plots},
        ages=_by_age(result),
        corrected=_corrected(result) if result.score.share else [],
        others=_others(result),
        placement=[_placed(row) for row in header.placement],
        mapped=_mapped(header.placement),
        hardware=yaml.safe_dump(header.hardware, sort_keys=False, allow_unicode=True, width=88),
        times=", ".join(show_time(t) for t in header.times_s),
        budget=_budget(result, budget),
        score=result.score,
        budget_value=f"{budget:g}",
        level=f"{100 * header.confidence:g} %",
    )


def _key_numbers(result: DriftResult, budget: float) -> list[tuple[str, str, str]]:
    first, last = result.summary()[0], result.summary()[-1]
    data, level = result.header.data, f"{100 * result.header.confidence:g} %"
    score = result.score
    numbers = [
        (f"Digital {score.label}", score.show(result.digital_score), f"{result.digital.samples:,} samples"),
        (
            f"{_capital(score.label)} at {show_age(first.age_s)}",
            *_split(score.bracket(first.mean, first.low, first.high)),
        ),
    ]
    if len(result.ages_s) > 1:
        mean = score.bracket(last.mean, last.low, last.high)
        numbers.append((f"{_capital(score.label)} at {show_age(last.age_s)}", *_split(mean)))
    if result.at_chance(budget):
        numbers.append(("Verdict", "none", "the digital network is at chance"))
    else:
        life, low = result.lifetime(budget), result.lifetime(budget, statistic=5)
        numbers.append((f"Lifetime at {score.show_budget(budget)}", *_split(str(life))))
        numbers.append(("Lifetime of 95 % of chips", *_split(str(low))))
        numbers.append((f"Yield at {show_age(last.age_s)}", *_split(str(result.yield_at(last.age_s, budget)))))
    half = (100 if score.share else 1) * result.half_width()
    unit = " points" if score.share else score.differs
    numbers.append(
        (
            "Chips",
            str(len(result.chips)),
            f"mean within ±{half:.2g}{unit} at every age" if half < math.inf else "no interval",
        )
    )
    if data.classes:
        numbers.append(
            (
                "Without looking",
                percent(majority(data)),
                f"most frequent class; chance {percent(chance(data))}",
            )
        )
    return [
        (name, value, f"{note} {level} interval" if note.startswith("[") else note) for name, value, note in numbers
    ]


def _split(text: str) -> tuple[str, str]:
    value, bracketed, rest = text.partition(" [")
    return value, f"[{rest}" if bracketed else ""


def _by_age(result: DriftResult) -> list[tuple[str, ...]]:
    score = result.score
    return [
        (
            show_age(s.age_s),
            score.bracket(s.mean, s.low, s.high),
            _split(score.bracket(s.mean, s.low_total, s.high_total))[1],
            score.show(s.minimum),
            score.show(s.p5),
            _number(100 * s.std, 2) if score.share else f"{s.std:.3g}",
            _number(100 * s.sigma_chip, 2) if score.share else f"{s.sigma_chip:.3g}",
        )
        for s in result.summary()
    ]


def _corrected(result: DriftResult) -> list[tuple[str, ...]]:
    return [
        (
            show_age(s.age_s),
            _number(s.normalised, 3),
            _number(s.chance_corrected, 3),
            _number(s.majority_corrected, 3),
            percent(s.balanced),
            _number(s.loss, 3),
            percent(s.top_share),
            percent(s.shift),
        )
        for s in result.summary()
    ]


def _others(result: DriftResult) -> list[tuple[str, ...]]:
    """The task's other scores and the loss: their names, then a line for the digital network and each age."""
    names = [*result.digital.scores, "loss"]
    lines = [("digital", {**result.digital.scores, "loss": result.digital.loss})]
    lines += [(show_age(s.age_s), {**s.scores, "loss": s.loss}) for s in result.summary()]
    return [("age", *names), *((age, *(f"{values[name]:.4g}" for name in names)) for age, values in lines)]


def _budget(result: DriftResult, budget: float) -> str:
    if not result.score.share:
        return result.score.show_budget(budget)
    return f"{100 * budget:.4g} percentage point{'' if abs(budget - 0.01) < 1e-9 else 's'}"


def _of_digital(result: DriftResult) -> dict[str, str]:
    digital, recall = result.digital, recalls(result.digital, result.header.data)
    recall = recall[~np.isnan(recall)]
    return {
        "score": result.score.show(result.digital_score),
        "balanced": percent(float(recall.mean()) if recall.size else math.nan),
        "loss": _number(digital.loss, 3),
        "top": percent(max(digital.predicted) / digital.samples if digital.predicted else math.nan),
    }


def _unbroken(text: str) -> str:
    """No line ends inside a number with its unit or its interval."""
    text = re.sub(r"(?<=\d) (?=%|\[|(?:s|min|h|days?|months?|years?)\b)", "\u00a0", text)
    return re.sub(r"(?<=%) (?=\[)|(?<=,) (?=[\d.]+\])", "\u00a0", text)


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _placed(row: dict[str, Any]) -> dict[str, Any]:
    shape, analog = row.get("shape") or (), row.get("placed") == "analog"
    return {
        "path": ".".join(str(row[key]) for key in ("path", "weight") if row.get(key)),
        "placed": row.get("placed", ""),
        "reason": row.get("reason", ""),
        "shape": " × ".join(str(n) for n in shape),
        "macs": f"{row.get('macs') or 0:,}",
        "mac_share": percent(float(row.get("mac_share") or 0.0)),
        "arrays": row.get("arrays") or 0 if analog else "",
        "utilisation": percent(float(row.get("utilisation") or 0.0), 0) if analog else "",
    }


def _mapped(placement: Iterable[dict[str, Any]]) -> str:
    rows = list(placement)
    unknown = [row for row in rows if not row.get("shape")]  # operators that could not be counted
    analog = [row for row in rows if row.get("placed") == "analog"]
    shares = [float(row["mac_share"]) for row in analog if row.get("mac_share") is not None]
    arrays = sum(int(row.get("arrays") or 0) for row in analog)
    where = f"{len(analog)} of {len(rows) - len(unknown)} weights are on {arrays} arrays"
    if len(shares) < len(analog):
        return f"{where}."
    most = "at most " if unknown else ""
    return f"{where} and do {most}{percent(sum(shares))} of the multiplications."

"""`write_drift`: the page of a drift, which opens without a network, its figures as files, and the rows as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from mho.costs import known_cost
from mho.errors import BadInput
from mho.measure.result import DriftResult
from mho.measure.sentence import cautions, show_age
from mho.measure.summary import chance, majority
from mho.reports.cost import section
from mho.reports.drift_figures import draw
from mho.reports.drift_tables import of_ages, of_corrected, of_other_scores, of_placement
from mho.reports.page import capital, render, split
from mho.reports.plot import Plot
from mho.store.files import write_text
from mho.tasks.score import percent
from mho.units import show_time

_SEEN = 0.0005
"""Share of the multiplications from which on a digital weight is shown among the others."""


def write_drift(result: DriftResult, directory: str | Path, budget: float = 0.01) -> Path:
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
    result.score.check_budget(budget)
    directory = Path(directory)
    try:
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        result.to_csv(directory / "rows.csv")  # first: they are there even if a figure cannot be drawn
        plots = draw(result, budget)
        page = _page(result, budget, plots)
        for plot in plots:
            write_text(directory / "figures" / f"{plot.name}.svg", plot.svg)
        path = directory / "report.html"
        write_text(path, page)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another directory", path=str(directory)) from error
    return path


def _page(result: DriftResult, budget: float, plots: list[Plot]) -> str:
    header, score = result.header, result.score
    resting = [row for row in header.placement if _rests(row)]
    cost, unknown = known_cost(header)
    again = (
        "import mho\nfrom mho.measure import DriftResult\n\n"
        f'mho.report(DriftResult.load("DIRECTORY OF THE RUN"), "REPORT", budget={budget:g})'
    )
    return render(
        "report.html.j2",
        result=result,
        header=header,
        sentence=result.sentence(budget),
        cautions=cautions(result),
        keys=_key_numbers(result, budget),
        plots={plot.name: plot for plot in plots},
        ages=of_ages(result),
        corrected=of_corrected(result),
        others=of_other_scores(result),
        placement=of_placement([row for row in header.placement if row not in resting]),
        resting=of_placement(resting),
        mapped=_mapped(header.placement),
        cost=cost,
        costs=[] if cost is None else section(cost),
        no_cost=unknown,
        hardware=yaml.safe_dump(header.hardware, sort_keys=False, allow_unicode=True, width=88),
        times=", ".join(show_time(t) for t in header.times_s),
        stops=_stops(result),
        budget=_budget(result, budget),
        score=score,
        again=again,
        level=f"{100 * header.confidence:g} %",
    )


def _key_numbers(result: DriftResult, budget: float) -> list[tuple[str, str, str]]:
    first, last = result.summary()[0], result.summary()[-1]
    data, level = result.header.data, f"{100 * result.header.confidence:g} %"
    score = result.score
    numbers = [
        (f"Digital {score.label}", score.show(result.digital_score), f"{result.digital.samples:,} samples"),
        (
            f"{capital(score.label)} at {show_age(first.age_s)}",
            *split(score.bracket(first.mean, first.low, first.high)),
        ),
    ]
    if len(result.ages_s) > 1:
        mean = score.bracket(last.mean, last.low, last.high)
        numbers.append((f"{capital(score.label)} at {show_age(last.age_s)}", *split(mean)))
    if result.at_chance(budget):
        numbers.append(("Verdict", "none", "the digital network is at chance"))
    else:
        life, low = result.lifetime(budget), result.lifetime(budget, statistic=5)
        numbers.append((f"Lifetime at {score.show_budget(budget)}", *split(str(life))))
        numbers.append(("Lifetime of 95 % of chips", *split(str(low))))
        numbers.append((f"Yield at {show_age(last.age_s)}", *split(str(result.yield_at(last.age_s, budget)))))
    within = within_shown(result)
    note = f"mean within {within} at every age" if within else "too few for an interval"
    numbers.append(("Chips", str(len(result.chips)), note))
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


def _rests(row: dict[str, Any]) -> bool:
    """Whether a weight is digital and hardly multiplies anything."""
    return row.get("placed") != "analog" and bool(row.get("shape")) and float(row.get("mac_share") or 0) < _SEEN


def within_shown(result: DriftResult) -> str:
    """``±0.42 points``: the widest interval of the mean; empty where nothing is known, or no more than that a share is one."""
    half = result.half_width()
    if result.score.share:
        return f"±{_two_digits(100 * half)} points" if half < 0.5 else ""
    return f"±{half:.2g}{result.score.differs}" if half < math.inf else ""


def _two_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"


def _stops(result: DriftResult) -> str:
    header, score = result.header, result.score
    chips = f"{header.max_chips} chip{'s' if header.max_chips != 1 else ''}"
    if header.target_half_width is None:
        return chips
    return f"{chips}, or an interval of ±{header.target_half_width:g}{' points' if score.share else score.differs}"


def _budget(result: DriftResult, budget: float) -> str:
    if not result.score.share:
        return result.score.show_budget(budget)
    return f"{100 * budget:.4g} percentage point{'' if abs(budget - 0.01) < 1e-9 else 's'}"


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

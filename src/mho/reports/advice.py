"""`write_advice`: what was tried and what to do, as one page that opens without a network."""

from __future__ import annotations

import math
from pathlib import Path

from mho.advice.result import Advice, Tried
from mho.costs import known_cost
from mho.errors import BadInput
from mho.measure.comparison import show_gain
from mho.measure.sentence import show_age
from mho.reports.lines import on_axis, plot
from mho.reports.page import Cell, Head, Row, capital, render, split, stacked
from mho.reports.plot import Plot
from mho.reports.svg import plain
from mho.store.files import write_text
from mho.studies import Figure, Series, limit, reference
from mho.units import show_quantity

MOST_LINES = 6


def write_advice(advice: Advice, directory: str | Path) -> Path:
    """Write ``advice.html`` and ``advice.csv`` into `directory`, and what applies the recommendation as ``apply.py``.

    Args:
        advice: What was found.
        directory: Made if it is not there.

    Returns:
        Path of ``advice.html``.

    Raises:
        BadInput: The directory cannot be written.
    """
    directory = Path(directory)
    page = _page(advice, directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        advice.to_csv(directory / "advice.csv")
        path = directory / "advice.html"
        write_text(path, page)
        if advice.recommended is not None:
            write_text(directory / "apply.py", advice.snippet(directory) + "\n")
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another directory", path=str(directory)) from error
    return path


def score_by_remedy(advice: Advice) -> Plot:
    """Score over age of the confirmed rows, with intervals; of the best screened ones where nothing was confirmed."""
    shown = [t for t in advice.ranked() if t.status == "confirmed"][:MOST_LINES]
    if advice.baseline not in shown:
        shown = [*shown[: MOST_LINES - 1], advice.baseline]
    score, axis = advice.score, advice.score.on_axis
    series = [
        Series(
            t.name, [on_axis(score, i) for i in t.means()], advice.ages_s, "dashed" if t is advice.baseline else "solid"
        )
        for t in shown
    ]
    floor = advice.digital[1] - advice.budget
    figure = Figure(
        "remedies",
        f"{capital(score.label)} over time, by remedy",
        [
            *series,
            reference(f"digital: {score.show(advice.digital[1])}", axis(advice.digital[1])),
            limit(f"less the budget of {score.show_budget(advice.budget)}: {score.show(floor)}", axis(floor)),
        ],
        score.axis,
    )
    return plot(
        figure,
        [t.shown() for t in shown],
        alt=f"Line chart of the {score.label} of {len(shown)} variants from {show_age(advice.ages_s[0])} to "
        f"{show_age(advice.ages_s[-1])}: " + "; ".join(f"{plain(t.name)} {t.shown()[-1]} at the end" for t in shown),
        caption="Mean over fresh chips and its interval. Thick and dashed: the network as it is.",
        head=("remedy", *map(show_age, advice.ages_s)),
        rows=[(t.name, *t.shown()) for t in shown],
    )


def _page(advice: Advice, directory: Path) -> str:
    known = any(t.cost for t in advice.ranked())
    return render(
        "advice.html.j2",
        advice=advice,
        sentence=advice.sentence(),
        keys=_keys(advice),
        plot=score_by_remedy(advice),
        heads=_heads(advice, known),
        rows=[_row(t, advice, known) for t in advice.ranked()],
        energy=_energy(advice, known),
        others=[t for t in advice.tried if t.result is None],
        best=advice.recommended,
        snippet=advice.snippet(directory),
        shell=advice.shell(directory),
        level=f"{100 * advice.confidence:g} %",
        budget=advice.score.show_budget(advice.budget),
    )


def _keys(advice: Advice) -> list[tuple[str, str, str]]:
    score = advice.score
    found = [(f"Digital {score.label}", score.show(advice.digital[1]), f"{advice.samples[1]:,} samples reported on")]
    named = [("As it is", advice.baseline)]
    if advice.recommended is not None:
        named.append(("With the advice", advice.recommended))
    for name, t in named:
        worst = min(t.means(), key=lambda i: i.value)
        value, bounds = split(score.bracket(worst.value, worst.low, worst.high))
        found.append((f"{name}, worst age", value, f"{bounds}; lifetime {t.lifetime()}"))
    measured = sum(t.result is not None for t in advice.tried)
    found.append(("Tried", str(measured), f"{sum(t.status == 'confirmed' for t in advice.tried)} confirmed"))
    return found


def _energy(advice: Advice, known: bool) -> str:
    """What is said of the column of energies, or of its absence."""
    header = advice.baseline.result.header if advice.baseline.result is not None else None
    cost, why = (None, "nothing was measured") if header is None else known_cost(header)
    if not known or cost is None:
        return f"The energy of an inference is not known: {why}."
    return (
        f"Energy: of one inference, estimated from the conversions of every product and the constants of the technology "
        f"“{cost.technology}”; what programming and recalibrating take is not in it. mho cost says what it rests on."
    )


def _joules(t: Tried) -> Cell:
    return Cell("–") if t.cost is None else Cell(show_quantity(t.cost.energy_pj * 1e-12, "J"), sort=t.cost.energy_pj)


def _heads(advice: Advice, known: bool) -> list[Head]:
    ages, energy = [Head(show_age(t)) for t in advice.ages_s], [Head("energy")] if known else []
    return [Head("remedy", "wrap"), Head("gain"), *ages, Head("lifetime", "short"), *energy, Head("takes", "wrap")]


def _row(t: Tried, advice: Advice, known: bool) -> Row:
    life = t.lifetime()
    look = "best" if t is advice.recommended else "off" if t.status == "screened" else ""
    note = {"best": "recommended", "off": "for choosing only"}.get(look, "")
    return Row((
        Cell(t.name, note),
        "" if t.gain is None else stacked(show_gain(advice.score, t.gain, unit=False)),
        *map(stacked, t.shown()),
        stacked(str(life), math.inf if life.beyond else 0.0 if life.before else life.t_s),
        *([_joules(t)] if known else []),
        "" if t.gain is None else str(t.costs),
    ), look)  # fmt: skip

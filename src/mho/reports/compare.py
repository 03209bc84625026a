"""`write_comparison`: several runs side by side, as one page that opens without a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from mho.errors import BadInput
from mho.measure.comparison import Comparison, show_gain
from mho.measure.result import DriftResult
from mho.measure.sentence import show_age
from mho.reports.lines import on_axis, plot
from mho.reports.page import Cell, Head, Row, Table, capital, render, split, stacked
from mho.reports.plot import Plot
from mho.statistics.intervals import Interval
from mho.store.files import write_text
from mho.studies import Figure, Series, reference


def write_comparison(comparison: Comparison, directory: str | Path, budget: float = 0.01) -> Path:
    """Write ``compare.html``, ``compare.csv`` and ``figures/*.svg`` into `directory`.

    Args:
        comparison: What `mho.compare` returned.
        directory: Made if it is not there.
        budget: What may be lost against each run's own digital network, for lifetimes and yields.

    Returns:
        Path of ``compare.html``.

    Raises:
        BadInput: The directory cannot be written.
        WrongSetting: A budget outside its range.
    """
    directory, plots = Path(directory), [p for p in (_scores(comparison), _gained(comparison)) if p is not None]
    page = _page(comparison, budget, plots)
    try:
        (directory / "figures").mkdir(parents=True, exist_ok=True)
        for drawn in plots:
            write_text(directory / "figures" / f"{drawn.name}.svg", drawn.svg)
        comparison.to_csv(directory / "compare.csv")
        path = directory / "compare.html"
        write_text(path, page)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another directory", path=str(directory)) from error
    return path


def _page(comparison: Comparison, budget: float, plots: list[Plot]) -> str:
    names, level = comparison.names, f"{100 * comparison.confidence:g} %"
    heading = ", ".join(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} others"
    return render(
        "compare.html.j2",
        comparison=comparison,
        heading=f"Compared: {heading}",
        sentence=comparison.sentence(),
        under=f"Brackets hold {level} intervals, each for itself, over other chips and other test samples: "
        f"what {'either' if len(names) == 2 else 'each'} would do again, not what these chips happened to do.",
        keys=_keys(comparison, budget),
        settings=_settings(comparison, minor=False),
        same=_rest(comparison),
        plots=plots,
        ages=_ages(comparison),
        gains=_gains(comparison),
        how=[f"{name}: {gain.how}." for name, gain in zip(names[1:], comparison.gains, strict=True)],
        runs=_runs(comparison, budget),
    )


def _keys(comparison: Comparison, budget: float) -> list[tuple[str, str, str]]:
    score, found = comparison.score, []
    for i, (name, result) in enumerate(zip(comparison.names, comparison.results, strict=True)):
        last = result.summary()[-1]
        value, bounds = split(score.bracket(last.mean, last.low, last.high))
        over = f"{bounds}; lifetime at {score.show_budget(budget)}: {_life(result, budget).text}"
        if i < 8:
            found.append((f"{name}, {score.label} at {show_age(last.age_s)}", value, over))
    return found


def _scores(comparison: Comparison) -> Plot:
    """Every run's mean over age with its interval, and the digital networks."""
    score, series, values = comparison.score, [], []
    for name, result in zip(comparison.names, comparison.results, strict=True):
        found = [Interval(s.mean, s.low, s.high) for s in result.summary()]
        series.append(Series(name, [_drawn(on_axis(score, i), score.share) for i in found], result.ages_s))
        values.append([score.bracket(i.value, i.low, i.high) for i in found])
    of_level: dict[float, list[str]] = {}
    for name, result in zip(comparison.names, comparison.results, strict=True):
        of_level.setdefault(result.digital_score, []).append(name)
    levels = [
        reference(
            f"digital{f', {_and(names)}' if len(of_level) > 1 else ''}: {score.show(worth)}", score.on_axis(worth)
        )
        for worth, names in of_level.items()
    ]
    figure = Figure("compared", f"{capital(score.label)} over time", [*series, *levels], score.axis)
    caption = "Means over chips and their intervals over other chips, for the samples of each run."
    return _over_ages(comparison, figure, series, values, caption)


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _gained(comparison: Comparison) -> Plot | None:
    """What each run has over the first, with the wider interval."""
    score, base, series, values = comparison.score, comparison.names[0], [], []
    factor = 100 if score.share else 1
    for name, gain in zip(comparison.names[1:], comparison.gains, strict=True):
        if not gain.ages_s:
            continue
        found = gain.widest()
        drawn = [_drawn(Interval(*(factor * end for end in (i.value, i.low, i.high))), False) for i in found]
        series.append(Series(f"{name} over {base}{'' if gain.paired else ' (not paired)'}", drawn, gain.ages_s))
        values.append([show_gain(score, i) for i in found])
    if not series:
        return None
    unit = "points" if score.share else score.differs.strip()
    axis = f"{score.label} won ({unit})" if unit else f"{score.label} won"
    figure = Figure("gained", f"What each has over {base}", [*series, reference(f"as {base}", 0.0)], axis)
    caption = (
        "Above the dashed line is better. Bands hold for other chips and other samples; where one crosses the line, the two "
        "cannot be told apart at that age."
    )
    return _over_ages(comparison, figure, series, values, caption, first=1)


def _over_ages(
    comparison: Comparison,
    figure: Figure,
    series: Sequence[Series],
    values: Sequence[Sequence[str]],
    caption: str,
    first: int = 0,
) -> Plot:
    """The figure with its numbers as a table."""
    ages, told = comparison.ages_s, [dict(zip(s.x, v, strict=True)) for s, v in zip(series, values, strict=True)]
    ends = (f"{s.label} {v[-1]} at {show_age(s.x[-1])}" for s, v in zip(series, values, strict=True))
    return plot(
        figure, values, alt=f"Line chart, {figure.y_label}: {'; '.join(ends)}", caption=caption, first=first,
        head=("run", *map(show_age, ages)),
        rows=[(s.label, *(found.get(t, "") for t in ages)) for s, found in zip(series, told, strict=True)],
    )  # fmt: skip


def _drawn(found: Interval, share: bool) -> Interval:
    """An interval that can be drawn: none around what is not known."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return Interval(found.value, found.value, found.value)
    return Interval(found.value, max(found.low, 0.0), min(found.high, 100.0)) if share else found


def _settings(comparison: Comparison, *, minor: bool) -> Table:
    heads = [Head("setting", "wrap"), *(Head(name, "wrap") for name in comparison.names)]
    return Table(heads, [Row((d.key, *d.values)) for d in comparison.differences if d.minor is minor])


def _rest(comparison: Comparison) -> str:
    minor = [d.key for d in comparison.differences if d.minor]
    text = "All other settings are the same."
    return f"{text} Different, too, as a consequence or without one: {', '.join(minor)}." if minor else text


def _ages(comparison: Comparison) -> Table:
    score, names = comparison.score, comparison.names
    rows = [Row((Cell("digital", sort=-1.0), *(score.show(r.digital_score) for r in comparison.results)), "off")]
    found = [{s.age_s: score.bracket(s.mean, s.low, s.high) for s in r.summary()} for r in comparison.results]
    rows += [Row((Cell(show_age(t), sort=t), *(stacked(one.get(t, "")) for one in found))) for t in comparison.ages_s]
    glossary = [("brackets", "intervals of the mean over other chips, for the samples of the run")]
    return Table([Head("age"), *map(Head, names)], rows, glossary)


def _gains(comparison: Comparison) -> Table:
    score, shown = comparison.score, []
    for gain in comparison.gains:
        cells = [stacked(show_gain(score, i, unit=False), i.value) for i in gain.widest()]
        shown.append(dict(zip(gain.ages_s, cells, strict=True)))
    ages = [t for t in comparison.ages_s if any(t in one for one in shown)]
    rows = [Row((Cell(show_age(t), sort=t), *(one.get(t, "") for one in shown))) for t in ages]
    unit = ", in points" if score.share else ""
    glossary = [
        ("gain", f"mean {score.label} less that of {comparison.names[0]}; positive is better{unit}"),
        ("brackets", "its interval over other chips and other samples (over other chips alone, where that is wider)"),
        (
            "paired",
            "both were measured on chips of the same draws and on the same samples: what these have in common drops out",
        ),
    ]
    return Table([Head("age"), *map(Head, comparison.names[1:])], rows, glossary)


def _life(result: DriftResult, budget: float) -> Cell:
    if result.at_chance(budget):
        return Cell("none: at chance", sort=-1.0)
    life = result.lifetime(budget)
    return Cell(str(life), sort=math.inf if life.beyond else 0.0 if life.before else life.t_s)


def _runs(comparison: Comparison, budget: float) -> Table:
    score, rows = comparison.score, []
    for name, result in zip(comparison.names, comparison.results, strict=True):
        last = result.ages_s[-1]
        inside = "–" if result.shared or result.at_chance(budget) else str(result.yield_at(last, budget))
        rows.append(Row((
            name, result.subject, Cell(str(len(result.chips))), f"{result.digital.samples:,}",
            _life(result, budget), stacked(inside),
            result.header.digest(),
        )))  # fmt: skip
    limit = score.show_budget(budget)
    heads = [
        Head("run", "wrap"), Head("what", "wrap"), Head("chips"), Head("samples"), Head(f"lifetime at {limit}", "short"),
        Head(f"yield at the last age, {limit}", "short"), Head("digest"),
    ]  # fmt: skip
    return Table(heads, rows)

"""What the study of SqueezeNet and drift claims, and how its rows decide it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mho.statistics.intervals import Interval
from mho.studies.claim import Claim, Finding, Verdict, above, below, every
from mho.studies.outcome import NotStored, Results
from mho.studies.squeezenet.detector import AGES as ALL_AGES
from mho.studies.squeezenet.noise_grid import FACTORS, Grid, Table, interval
from mho.units import seconds

THEIRS = "Tessier and Aguirregaray 2022, slides"
LATER = "(asked after the first rows were seen)"
HARMLESS = 0.01
"""A cost below this share of right answers counts as none."""
AGES = ("60 s", "1 day", "1 year")
WAYS = ("none", "GDC", "exact GDC")
_TOP, _MODERATE = 0.3, 0.03


def matched(results: Results[Any, Any]) -> Grid:
    """Networks measured with the noise that they were trained with."""
    return Grid(outcome.runs for outcome in results.values() if outcome.arm.work == "matched")


def _rows(results: Results[Any, Any], work: str) -> list[dict[str, Any]]:
    found = [
        row
        for outcome in results.values()
        if outcome.arm.work == work
        for rows in outcome.runs.values()
        for row in rows
    ]
    if not found:
        raise NotStored(f"no arm '{work}' is stored", "measure it: mho study run squeezenet-drift", path=work)
    return found


def _top(grid: Grid, place: int) -> float:
    return max(level for level in grid.levels[place] if level <= _TOP)


def _nats(found: Interval) -> str:
    return f"{found.value:+.3g} nats [{found.low:+.3g}, {found.high:+.3g}]"


def _weights_decide(results: Results[Any, Any]) -> Finding:
    grid = matched(results)
    top = _top(grid, 0)
    return every(*(
        above(f"{name} after {age}", interval(grid.loss(age, "weight", top, name) - grid.loss(age, "output", top, name)))
        for name in ("GDC", "exact GDC") for age in AGES
    ))  # fmt: skip


def _output_harmless(results: Results[Any, Any]) -> Finding:
    grid = matched(results)
    return every(*(below(f"{name}, {level:g} costs after {age}", interval(grid.loss(age, "output", level, name)), HARMLESS)
                   for name in ("GDC", "exact GDC") for level in (0.01, _MODERATE) for age in AGES))  # fmt: skip


def threshold(costs: Sequence[tuple[float, Table]]) -> tuple[float, float]:
    """The highest level up to which every cost is below `HARMLESS` for sure, and the first level that costs more for sure.

    Args:
        costs: Level and what it costs, levels increasing from 0.

    Returns:
        The two levels; inf where none costs more for sure.
    """
    found = [(level, interval(table)) for level, table in costs]
    harmless = 0.0
    for level, cost in found:
        if not (level == 0 or cost.high < HARMLESS):
            break
        harmless = level
    return harmless, next((level for level, cost in found if level and cost.low > HARMLESS), math.inf)


def thresholds(grid: Grid, factor: str, age: str, compensation: str) -> tuple[float, float]:
    """`threshold` of a noise."""
    levels = grid.levels[FACTORS.index(factor)]
    return threshold([(level, grid.loss(age, factor, level, compensation)) for level in levels])


def _near_a_tenth(results: Results[Any, Any]) -> Finding:
    grid, parts = matched(results), []
    for factor in FACTORS:
        for age in AGES:
            low, high = thresholds(grid, factor, age, "GDC")
            verdict: Verdict = (
                "holds"
                if _MODERATE <= low < _TOP >= high
                else "fails"
                if high <= _MODERATE or low >= _TOP
                else "depends"
            )
            first = "no level costs a point for sure" if math.isinf(high) else f"{high:g} costs more for sure"
            parts.append(Finding(verdict, f"{factor} noise after {age}: harmless up to {low:g}, {first}"))
    return every(*parts)


def _compensation_makes_it(results: Results[Any, Any]) -> Finding:
    grid, parts = matched(results), []
    for level in (0.1, 0.3):
        for age in ("1 day", "1 year"):
            noisy, exact = (grid.loss(age, "output", level, name) for name in ("GDC", "exact GDC"))
            if not interval(noisy).low > 0:
                parts.append(Finding("depends", f"{level:g} costs nothing for sure after {age}"))
                continue
            parts.append(above(f"more than half of the cost of {level:g} after {age} goes with an exact reading, by",
                               interval(noisy / 2 - exact)))  # fmt: skip
    return every(*parts)


def _lowest_loss(results: Results[Any, Any]) -> Finding:
    grid, parts = matched(results), []
    for name in ("GDC", "exact GDC"):
        at = {level: grid.marginal("loss", "1 year", "output", level, name) for level in grid.levels[1]}
        if _MODERATE not in at:
            raise NotStored(f"output noise of {_MODERATE:g} is not stored", "measure it", path="matched")
        parts += [below(f"{name}, {_MODERATE:g} against {level:g}", interval(at[_MODERATE] - at[level]), show=_nats)
                  for level in at if level != _MODERATE]  # fmt: skip
    return every(*parts)


def _diverges(results: Results[Any, Any]) -> Finding:
    grid = matched(results)
    loss = grid.marginal("loss", "1 year", "weight", _top(grid, 0))
    constant = math.log(2)
    return every(
        above(f"loss after a year, over the {constant:.2f} nats of an even guess,", interval(loss - constant), show=_nats),
        below("the retrained network itself, in digital form and without output noise, against the majority class,",
              _less(grid.digital_accuracy((_top(grid, 0), 0.0)), _majority(grid)), HARMLESS),
    )  # fmt: skip


def _lives_longer(results: Results[Any, Any]) -> Finding:
    grid = matched(results)
    at = {level: grid.marginal("accuracy", "1 month", "weight", level) for level in grid.levels[0]}
    return every(*(above(f"{a:g} over {b:g}", interval(at[a] - at[b])) for a, b in pairwise(grid.levels[0])))


def usable(grid: Grid) -> float:
    """The accuracy halfway between the majority class and the digital network: below it a model counts as unusable."""
    return (_majority(grid) + float(grid.digital("accuracy", (0.0, 0.0)).mean())) / 2


def _axes(grid: Grid) -> list[tuple[float, float]]:
    """Pairs of noises that are shown one by one: none, and the two highest of each alone."""
    high = [[level for level in levels if level >= 0.1] for levels in grid.levels]
    return [(0.0, 0.0), *((w, 0.0) for w in high[0]), *((0.0, o) for o in high[1])]


def _told(name: str, noise: tuple[float, float]) -> str:
    return f"{name}, noise {noise[0]:g} and {noise[1]:g}"


def _day_to_month(results: Results[Any, Any]) -> Finding:
    grid, parts = matched(results), []
    least = usable(grid)
    for name in WAYS:
        for noise in _axes(grid):
            day, month = (interval(grid.at("accuracy", age, noise, name) - least) for age in ("1 day", "1 month"))
            then, later = (f"{100 * (found.value + least):.1f} %" for found in (day, month))
            verdict: Verdict = (
                "holds" if day.low > 0 > month.high else "fails" if day.high < 0 or month.low > 0 else "depends"
            )
            parts.append(Finding(verdict, f"{_told(name, noise)}: {then} after a day, {later} after a month"))
    return every(*parts)


def _shifted(results: Results[Any, Any]) -> Finding:
    """At the first age at which accuracy is below `usable` for sure, whether the AUC is still above 0.9."""
    grid, parts = matched(results), []
    least = usable(grid)
    for name in WAYS:
        for noise in _axes(grid):
            lost = (age for age in ALL_AGES if interval(grid.at("accuracy", age, noise, name)).high < least)
            if age := next(lost, None):
                auc, positive = (interval(grid.at(metric, age, noise, name)) for metric in ("auc", "positive"))
                verdict: Verdict = "holds" if auc.low > 0.9 else "fails" if auc.high < 0.9 else "depends"
                what = (
                    f"AUC {auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}], {100 * positive.value:.0f} % called positive"
                )
                parts.append(Finding(verdict, f"{_told(name, noise)}, after {age}: {what}"))
    if not parts:
        raise NotStored("no model has become unusable", "nothing to tell", path="matched")
    return every(*parts)


def _bias(results: Results[Any, Any]) -> Finding:
    grid, parts = matched(results), []
    for noise in ((0.0, 0.0), (0.1, 0.0), (0.0, 0.1)):
        if noise[0] in grid.levels[0] and noise[1] in grid.levels[1]:
            left, mended = (grid.at("accuracy", "1 year", noise, name) for name in ("GDC", "recalibrated"))
            half = (left + grid.digital("accuracy", noise)) / 2
            parts.append(above(f"{_told('GDC', noise)}: over half of it by", interval(mended - half)))
    return every(*parts)


def _recalibration_helps(results: Results[Any, Any]) -> Finding:
    grid = matched(results)
    return every(*(
        above(f"noise {noise[0]:g} and {noise[1]:g}, after a year",
              interval(grid.at("accuracy", "1 year", noise, "recalibrated") - grid.at("accuracy", "1 year", noise)))
        for noise in _axes(grid)
    ))  # fmt: skip


def _matching_pays(results: Results[Any, Any]) -> Finding:
    grid = Grid(o.runs for o in results.values() if o.arm.work in ("matched", "crossed"))
    levels = sorted({o.arm.weight for o in results.values() if o.arm.work == "crossed"})
    if not levels:
        raise NotStored("no arm 'crossed' is stored", "measure it: mho study run squeezenet-drift", path="crossed")
    top, parts = levels[-1], []
    for noise in ((top, 0.0), (0.0, top), (top, top)):
        for age in AGES:
            alike = grid.at("accuracy", age, noise, "exact GDC")
            clean = grid.at("accuracy", age, noise, "exact GDC", trained=(0.0, 0.0))
            gain = alike - clean
            parts.append(
                above(f"measured with {noise[0]:g} and {noise[1]:g} after {age}{_seeds(gain)}", interval(gain))
            )
    return every(*parts)


def _seeds(table: Table) -> str:
    """What the interval of chips × seeds cannot know."""
    return ", of one training seed" if table.shape[1] == 1 else ""


def _majority(grid: Grid) -> float:
    """Share of the larger class."""
    return max(grid.share(), 1 - grid.share())


def _less(found: Interval, level: float) -> Interval:
    return Interval(found.value - level, found.low - level, found.high - level)


def _baseline(results: Results[Any, Any]) -> Finding:
    grid = matched(results)
    majority = _majority(grid)
    what = f"the majority class alone is right for {100 * majority:.1f} % of these images; a digital network more by"
    return below(what, _less(grid.digital_accuracy((0.0, 0.0)), majority), 0.10)


def _clean(results: Results[Any, Any]) -> Finding:
    return above("digital accuracy above 90 % by", _less(matched(results).digital_accuracy((0.0, 0.0)), 0.9))


def converter_table(
    rows: Sequence[dict[str, Any]], age: str, dac: int | None, adc: int | None, compensation: str = "GDC"
) -> Table:
    """Accuracy by chips × seeds with converters of these steps.

    Raises:
        NotStored: It was not measured.
    """
    wanted = (dac, adc, compensation)
    some = {(r["chip"], r["seed"]): r for r in rows if (r["dac"], r["adc"], r["compensation"]) == wanted}
    if not some:
        raise NotStored(f"converters of {dac} and {adc} steps are not stored", "measure them", path="converters")
    chips, seeds = sorted({c for c, _ in some}), sorted({s for _, s in some})
    place = some[chips[0], seeds[0]]["ages_s"].index(seconds(age))
    return np.array([[some[c, s]["accuracy"][place] for s in seeds] for c in chips])


def _finer_is_better(which: str) -> Any:
    def find(results: Results[Any, Any]) -> Finding:
        rows = _rows(results, "converters")
        known = sorted({row[which] for row in rows if row[which] is not None})

        def at(steps: int | None, age: str, name: str) -> Table:
            dac, adc = (steps, None) if which == "dac" else (None, steps)
            return converter_table(rows, age, dac, adc, name)

        def parts() -> Iterator[Finding]:
            for name in ("GDC", "exact GDC"):
                for age in ("60 s", "1 year"):
                    for coarse, fine in pairwise(known):
                        gain = at(fine, age, name) - at(coarse, age, name)
                        better, what = interval(gain), f"{name}, {fine} steps over {coarse} after {age}{_seeds(gain)}"
                        yield above(what, better) if coarse < 64 else below(what, better, HARMLESS)

        return every(*parts())

    return find


def _reads_through_coarse_steps(results: Results[Any, Any]) -> Finding:
    rows = _rows(results, "converters")
    coarse = sorted({row["adc"] for row in rows if row["adc"] is not None})[:2]
    found = (
        (steps, age, converter_table(rows, age, None, steps, "exact GDC") - converter_table(rows, age, None, steps))
        for steps in coarse for age in ("1 day", "1 year")
    )  # fmt: skip
    return every(*(above(f"{steps} steps after {age}{_seeds(gain)}", interval(gain)) for steps, age, gain in found))


def _compensation_decides(results: Results[Any, Any]) -> Finding:
    grid = matched(results)
    noise = (0.0, 0.0)
    return every(*(above(f"after {age}", interval(grid.at("accuracy", age, noise) - grid.at("accuracy", age, noise, "none")))
                   for age in ("1 h", "1 day", "1 month", "1 year")))  # fmt: skip


def _exact_gap(results: Results[Any, Any]) -> Finding:
    grid = matched(results)
    top = _top(grid, 1)

    def gap(level: float, age: str) -> Table:
        found = [grid.marginal("accuracy", age, "output", level, name) for name in ("exact GDC", "GDC")]
        difference: Table = found[0] - found[1]
        return difference

    return every(*(above(f"after {age}", interval(gap(top, age) - gap(0.0, age))) for age in ("1 day", "1 year")))


CLAIMS = (
    Claim("Weight noise decides more than output noise (0.3 of each, mean over the other)", _weights_decide, THEIRS),
    Claim("Output noise up to 0.03 is harmless: it costs less than a point", _output_harmless, THEIRS),
    Claim("Both noises have a threshold near 0.1: harmless up to 0.03 at least, costing from 0.3 at most", _near_a_tenth, THEIRS),
    Claim("The cost of output noise is made by the compensation that reads through it", _compensation_makes_it),
    Claim("After a year the loss is lowest at moderate output noise (0.03)", _lowest_loss, THEIRS),
    Claim("Weight noise of 0.3 diverges", _diverges, THEIRS),
    Claim("Lower weight noise lives longer: accuracy after a month", _lives_longer, THEIRS),
    Claim("A model becomes unusable between a day and a month", _day_to_month, THEIRS),
    Claim("What is lost after a year is a shifted decision, not information: norms and threshold recalibrated without labels "
          "bring back more than half", _bias),
    Claim(f"What makes a model unusable is a shifted decision, not lost information: its AUC is above 0.9 by then {LATER}",
          _shifted),
    Claim(f"Norms and threshold recalibrated without labels gain over GDC after a year {LATER}", _recalibration_helps),
    Claim(f"Training with the noise that is measured pays against training without {LATER}", _matching_pays),
    Claim("53 % accuracy is a network's baseline: a digital one has less than ten points more", _baseline, THEIRS),
    Claim("The digital network has at least 90 %", _clean),
    Claim("More steps of the input converters pay up to 64 and no further", _finer_is_better("dac")),
    Claim("More steps of the output converters pay up to 64 and no further", _finer_is_better("adc")),
    Claim(f"Coarse output converters fail late because the compensation reads through them: an exact reading gains {LATER}",
          _reads_through_coarse_steps),
    Claim("Compensation decides", _compensation_decides),
    Claim("An exact reading gains more, the more output noise there is", _exact_gap),
)  # fmt: skip

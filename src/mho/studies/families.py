"""Networks of several families on real tasks: what their chips lose, to what, in which layers, and what is won back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

import mho
from mho.measure import DriftResult
from mho.recalibration import RecalibrateAffine
from mho.statistics.crossed import crossed
from mho.statistics.intervals import Interval, mean_interval
from mho.studies.claim import Claim, Finding, above, below, every
from mho.studies.figure import Figure, Series, points, reference
from mho.studies.network import ALL, NETWORKS, SMOKE, Network, with_data
from mho.studies.outcome import NotStored, Outcome, Results
from mho.studies.study import Arm, Job, Scale, Study
from mho.studies.subject import Subject
from mho.studies.table import Table
from mho.studies.trained import RECIPES
from mho.units import seconds, show_time

TIMES = ("1 h", "1 day", "1 month", "1 year")
KINDS_AT = ("1 day", "1 year")
"""Ages at which kinds of layers are told apart."""
_HARDWARE = ("pcm", "pcm-cells")


@dataclass(frozen=True)
class FamilyArm(Arm):
    """Something that is measured of a network on a hardware.

    Attributes:
        network: Key of `NETWORKS`.
        hardware: Preset.
        work: "drift"; "kinds": each kind of layers alone on the chip, and alone spared from it; "advice".
        affine: Columns are scaled and shifted digitally on the aged chip.
        least_error: Converter ranges are those of the least error at the layers' outputs, not of the largest values.
        changes: Changed settings, as `Hardware.replace` takes them.
    """

    network: str = "stories260k"
    hardware: str = "pcm"
    work: Literal["drift", "kinds", "advice"] = "drift"
    affine: bool = False
    least_error: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of(self) -> Network:
        """Its network."""
        return ALL[self.network]


Found = Results[FamilyArm, Any]
Stored = Outcome[FamilyArm, Any]


def _stored(results: Found, family: str = "") -> list[str]:
    """Networks with rows, of a family or all, in order."""
    there = {outcome.arm.network for outcome in results.values()}
    return [name for name, network in ALL.items() if name in there and family in ("", network.family)]


def _each(results: Found, find: Callable[[Found, str], Iterator[Finding]], family: str = "") -> Finding:
    """A finding over all networks that have the rows for it.

    Raises:
        NotStored: None has.
    """
    parts: list[Finding] = []
    for name in _stored(results, family):
        with suppress(NotStored):
            parts += list(find(results, name))
    if not parts:
        raise NotStored("no network has the rows for it", "measure them: mho study run families", path=family)
    return every(*parts)


def _gain(results: Found, network: str, better: str, base: str, age: str) -> Interval:
    return results[f"{network}-{better}"].gain(results[f"{network}-{base}"], age)


def _noise_over_drift(results: Found, name: str) -> Iterator[Finding]:
    for age in ("1 h", "1 year"):
        more = _gain(results, name, "pcm-cells", "pcm-no-drift", age)
        yield above(f"{ALL[name].label}, after {age}", more, show=ALL[name].show)


def _affine_wins(results: Found, name: str) -> Iterator[Finding]:
    for hardware in _HARDWARE:
        won = _gain(results, name, f"{hardware}-affine", hardware, "1 year")
        yield above(f"{ALL[name].label} on {hardware}", won, show=ALL[name].show)


def _ranges_win_more(results: Found, name: str) -> Iterator[Finding]:
    more = _gain(results, name, "pcm-error", "pcm-affine", "1 year")
    yield above(ALL[name].label, more, show=ALL[name].show)


def _advice_keeps(results: Found, name: str) -> Iterator[Finding]:
    for hardware in _HARDWARE:
        if (arm := f"{name}-{hardware}-advice") not in results:
            continue
        rows = results[arm].first
        best, what = next((row for row in rows if row["recommended"]), rows[0]), "as it is"
        if best["recommended"]:
            won = Interval(best["gain"], best["gain_low"], best["gain_high"])
            what = f"{best['remedy']} wins {ALL[name].show(won)}"
        elif not best["met"]:
            what = "nothing is known to help"
        yield Finding("holds" if best["met"] else "fails", f"{ALL[name].label} on {hardware}: {what}")


def _kept(run: DriftResult, age: str) -> NDArray[np.float64]:
    """Of each chip, (score - chance)/(digital - chance): chance is 1/classes, or each token's frequency."""
    header, place = run.header, run.ages_s.index(seconds(age))
    tokens = not run.score.share and header.constant is not None
    chance = run.score.worth(header.constant or 0.0) if tokens else 1 / len(header.data.classes)
    kept: NDArray[np.float64] = (run.scores[:, place] - chance) / (run.digital_score - chance)
    return kept


def _depthwise_keeps_less(results: Found) -> Finding:
    """Over pairs of chips; chips of different networks have nothing in common."""
    pairs = list(product(_stored(results, "transformer"), _stored(results, "depthwise")))
    if not pairs:
        raise NotStored("no transformer and depthwise network are stored", "measure both", path="families")
    parts = []
    for a, b in pairs:
        for hardware in _HARDWARE:
            kept = (_kept(results[f"{name}-{hardware}"].first, "1 year") for name in (b, a))
            less = mean_interval(np.subtract(*kept))
            parts.append(below(f"{hardware}, {ALL[b].label} less {ALL[a].label}", less))
    return every(*parts)


def kinds(outcome: Stored, mode: str, age: str) -> dict[str, NDArray[np.float64]]:
    """By kind, one value a chip: what it alone loses of the digital score ("alone"), or what sparing it wins ("spared")."""
    rows = [row for row in outcome.first if row["age_s"] in (0.0, seconds(age))]

    def column(mode: str, kind: str) -> NDArray[np.float64]:
        return np.array([row["score"] for row in rows if (row["mode"], row["kind"]) == (mode, kind)])

    whole, digital = column("whole", ""), column("digital", "")
    named = dict.fromkeys(row["kind"] for row in rows if row["mode"] == mode)
    return {kind: digital - column(mode, kind) if mode == "alone" else column(mode, kind) - whole for kind in named}


def _costs_more(one: str, *others: str) -> Callable[[Found, str], Iterator[Finding]]:
    """Whether a kind costs more alone, and wins more spared, than the costliest other (of all): same chips, after a day."""

    def find(results: Found, name: str) -> Iterator[Finding]:
        for hardware, mode in product(_HARDWARE, ("alone", "spared")):
            found = kinds(results[f"{name}-{hardware}-kinds"], mode, "1 day")
            rivals = others or [kind for kind in found if kind != one]
            other = max(rivals, key=lambda kind: float(found[kind].mean()))
            what = f"{ALL[name].label} on {hardware}, {mode}, against {other}"
            yield above(what, mean_interval(found[one] - found[other]), show=ALL[name].show)

    return find


class Families(Study[FamilyArm, Any]):
    """Arms: networks × (drift, causes, recalibration, kinds of layers, advice) × hardware."""

    name = "families"
    title = "Transformers and depthwise networks on analog arrays"
    question = (
        "Which projections of a transformer decide what its chips lose, is it output noise or drift, what do recalibration "
        "and advised remedies win, and do families of networks differ?"
    )
    protocol = (
        "A language model on 1,804 tokens of real text (loss in nats a token), a depthwise keyword spotter on 500 recordings, "
        "and, trained by the study, a ViT and a MobileNet on 1,000 images of CIFAR-10. 8 chips an arm, chip i of one arm sharing "
        "its draws with chip i of every other. Intervals are 95 %, over chips; gains are paired by chip. Kinds of layers: "
        "'alone' on the chip while all else is digital, or 'spared' from it while all else is on it."
    )
    sources = (
        "Rasch et al. 2023 (output noise 0.04)",
        "Joshi et al. 2020 (PCM, drift compensation)",
    )
    claims = (
        Claim("Output noise costs more than drift on 'pcm': without it more is won than without drift",
              lambda r: _each(r, _noise_over_drift)),
        Claim("The head, the layer that users keep digital first, is a transformer's most sensitive projection",
              lambda r: _each(r, _costs_more("head"), "transformer")),
        Claim("In a transformer, values cost more than queries and keys, which only steer the attention",
              lambda r: _each(r, _costs_more("value", "query", "key"), "transformer")),
        Claim("What leaves the feed-forward layer costs more than what enters it",
              lambda r: _each(r, _costs_more("feed-forward out", "feed-forward in"), "transformer")),
        Claim("In a depthwise network, the depthwise layers cost most, few as their weights are",
              lambda r: _each(r, _costs_more("depthwise"), "depthwise")),
        Claim("A digital scale and shift of every column, recalibrated on the aged chip, wins after a year",
              lambda r: _each(r, _affine_wins)),
        Claim("Ranges of least error at the layers' outputs, set once, win more on 'pcm' than that recalibration",
              lambda r: _each(r, _ranges_win_more)),
        Claim("With the remedy that is advised, without training, a network keeps its budget for a year",
              lambda r: _each(r, _advice_keeps)),
        Claim("Depthwise networks keep less than transformers after a year, above chance", _depthwise_keeps_less),
    )  # fmt: skip

    def arms(self, scale: Scale) -> list[FamilyArm]:
        """Network by network, those first that are trained already; the costliest once for those that the study trains."""
        found = []
        for name in SMOKE if scale == "smoke" else NETWORKS:
            arm = FamilyArm(f"{name}-pcm", "as it is", network=name)
            cells = replace(arm, name=f"{name}-pcm-cells", hardware="pcm-cells")
            found += [arm, cells]
            found.append(replace(arm, name=f"{name}-pcm-no-drift", label="no drift", changes={"cell.drift": 0.0}))
            ranged = replace(arm, name=f"{name}-pcm-error", label="ranges of least error", least_error=True)
            kinds_label = "kinds of layers, ranges of least error"
            found += [ranged, replace(ranged, name=f"{ranged.name}-kinds", label=kinds_label, work="kinds")]
            for each in (arm, cells):
                found.append(replace(each, name=f"{each.name}-affine", label="affine recalibrated", affine=True))
                if name not in RECIPES:
                    found.append(replace(each, name=f"{each.name}-kinds", label="kinds of layers", work="kinds"))
                if name not in RECIPES or each is arm:
                    found.append(replace(each, name=f"{each.name}-advice", label="advice", work="advice"))
        return found

    def run(self, arm: FamilyArm, job: Job) -> list[dict[str, Any]] | None:
        """Measure what the arm says; a network without published weights is trained first, once."""
        on, hw = with_data(arm.network, job), mho.Hardware.preset(arm.hardware, **arm.changes)
        chips = self.chips[job.scale]
        if arm.work == "kinds":
            return list(_kinds(arm, on, hw, chips, job))
        if arm.work == "advice":
            return _advice(arm.of, on, hw, chips, job)
        net = _on_arrays(arm, on, hw)
        mho.drift(
            net, on.test, TIMES, chips=chips, task=arm.of.task, out=job.out, workers=job.workers, command=job.command,
            progress=job.steps, name=arm.of.label,
            recalibrate=(RecalibrateAffine.of(on.ranges, net),) if arm.affine else (),
        )  # fmt: skip
        return None

    def tables(self, results: Found) -> list[Table]:
        """What is lost, over chips and samples; what kinds of layers cost; what remedies win; what is not run."""
        absent = [(a.of.label, a.hardware, a.label) for a in self.arms(results.scale) if a.name not in results]
        tables = [_losses(results), _kinds_table(results), _remedies(results)]
        tables.append(Table(("network", "hardware", "not run"), absent))
        return [table for table in tables if table.rows]

    def figures(self, results: Found) -> list[Figure]:
        """What networks keep over time; what each kind of layers costs alone."""
        found = [_kept_figure(results)]
        for name in _stored(results):
            arms = [o for o in results.values() if o.arm.network == name and o.arm.work == "kinds"]
            found += [_kinds_figure(name, mode, arms) for mode in ("alone", "spared") if arms]
        return [figure for figure in found if figure.series]


def _on_arrays(arm: FamilyArm, on: Subject, hw: mho.Hardware) -> nn.Module:
    net = mho.to_analog(on.model, hw, example=on.test.inputs[:2])
    return mho.calibrate(net, on.ranges, method="error" if arm.least_error else "quantile")


def _kinds(arm: FamilyArm, on: Subject, hw: mho.Hardware, chips: int, job: Job) -> Iterator[dict[str, Any]]:
    """One row for each mode, kind, age and chip."""
    cases = [("whole", ""), *((mode, kind) for mode in ("alone", "spared") for kind in arm.of.kinds)]
    for mode, kind in cases:
        job.progress(f"{kind} {mode}")
        spared = arm.of.layers(kind, mode) if kind else ()
        net = _on_arrays(arm, on, hw.replace(digital=list(spared)))
        run = mho.drift(net, on.test, KINDS_AT, chips=chips, task=arm.of.task, workers=job.workers, progress=job.steps)
        for row, age in enumerate(run.ages_s):
            for chip in run.chips:
                yield {"mode": mode, "kind": kind, "chip": chip, "age_s": age, "score": float(run.scores[chip, row])}
        if mode == "whole":
            yield from ({"mode": "digital", "kind": "", "chip": chip, "age_s": 0.0, "score": run.digital_score}
                        for chip in run.chips)  # fmt: skip


def _advice(network: Network, on: Subject, hw: mho.Hardware, chips: int, job: Job) -> list[dict[str, Any]]:
    """The rows of an advice, one a remedy and age; `met`: whether it keeps the budget for certain."""
    advice = mho.advise(
        on.model, hw, on.test, validation=on.train, calibration=on.ranges, budget=network.budget, times=TIMES[1:],
        effort="quick", chips=chips, task=network.task, name=network.label, workers=job.workers, progress=job.steps,
    )  # fmt: skip
    met = {tried.name: tried.met for tried in (advice.baseline, *advice.tried) if tried.result is not None}
    return [{**row, "met": met.get(row["remedy"], False)} for row in advice.rows()]


def _losses(results: Found) -> Table:
    """Every run; losses against the digital network with intervals over chips and samples together."""
    rows = []
    for outcome in results.values():
        if outcome.arm.work != "drift":
            continue
        run, network = outcome.first, outcome.arm.of
        values = run.score.signed(run.digital.values).astype(float)
        digital = mean_interval(values)
        cells = []
        for age in TIMES:
            table = np.array([run.score.signed(m.values).astype(float) - values for m in run.at(seconds(age))])
            cells.append(network.show(crossed(table, 0.95)))
        shown = run.score.bracket(digital.value, digital.low, digital.high)
        if not run.score.share:
            shown += f" (loss {-digital.value:.3f} ± {digital.half_width:.3f})"
        rows.append((network.label, outcome.arm.hardware, outcome.arm.label, shown, *cells, str(len(run.chips))))
    ages = (f"after {show_time(seconds(age))}" for age in TIMES)
    return Table(("network", "hardware", "arm", "digital [samples]", *ages, "chips"), rows)


def _kinds_table(results: Found) -> Table:
    rows = []
    for outcome in results.values():
        shares = _weights(results, outcome.arm.network) if outcome.arm.work == "kinds" else {}
        for mode in ("alone", "spared") if outcome.arm.work == "kinds" else ():
            by_age = [kinds(outcome, mode, age) for age in KINDS_AT]
            for kind in by_age[0]:
                cells = (outcome.arm.of.show(mean_interval(found[kind])) for found in by_age)
                where = outcome.arm.hardware + ", ranges of least error" * outcome.arm.least_error
                rows.append((outcome.arm.of.label, where, mode, kind, shares.get(kind, "–"), *cells))
    what = (f"after {age}" for age in KINDS_AT)
    return Table(("network", "hardware", "mode", "kind: lost alone, won spared", "of the weights", *what), rows)


def _weights(results: Found, name: str) -> dict[str, str]:
    """Share of each kind in the weights on arrays, as a run of the network lists them; empty where none is stored."""
    runs = (o.first for o in results.values() if o.arm.network == name and o.arm.work == "drift")
    sizes = {row["path"]: math.prod(row["shape"]) for run in runs for row in run.header.placement if row["arrays"]}
    found = {
        kind: sum(size for path, size in sizes.items() if any(fnmatch(path, pattern) for pattern in patterns))
        for kind, patterns in ALL[name].kinds.items()
    }
    return {kind: f"{100 * size / sum(sizes.values()):.0f} %" for kind, size in found.items()} if sizes else {}


def _remedies(results: Found) -> Table:
    """What was measured again on fresh chips."""
    rows = []
    for outcome in results.values():
        for row in outcome.first if outcome.arm.work == "advice" else ():
            if row["status"] == "confirmed" and row["age_s"] == seconds("1 year") and row["gain"] is not None:
                gain = outcome.arm.of.show(Interval(row["gain"], row["gain_low"], row["gain_high"]))
                advised = "advised" if row["recommended"] else ""
                rows.append(
                    (
                        outcome.arm.of.label,
                        outcome.arm.hardware,
                        row["remedy"],
                        gain,
                        "yes" if row["met"] else "no",
                        advised,
                    )
                )
    head = ("network", "hardware", "remedy, confirmed on fresh chips", "gain, mean over ages", "keeps its budget", "")
    return Table(head, rows)


def _kept_figure(results: Found) -> Figure:
    series = []
    for outcome in results.values():
        if outcome.arm.work == "drift" and outcome.arm.label == "as it is":
            run = outcome.first
            style: Literal["solid", "dashed"] = "solid" if outcome.arm.hardware == "pcm" else "dashed"
            kept = points([mean_interval(_kept(run, age)) for age in TIMES])
            series.append(Series(f"{outcome.arm.of.label}, {outcome.arm.hardware}", kept, run.ages_s, style))
    if series:
        series.append(reference("digital", 100.0))
    return Figure("kept", "What is left of the score above chance", series, "(score − chance) / (digital − chance), %")


def _kinds_figure(name: str, mode: str, arms: list[Stored]) -> Figure:
    """After the longest age, points for each hardware and kind of ranges."""
    network, series = ALL[name], []
    unit = 100 if network.score.share else 1
    for outcome in arms:
        found = [mean_interval(values) for values in kinds(outcome, mode, KINDS_AT[-1]).values()]
        y = [Interval(unit * i.value, unit * i.low, unit * i.high) for i in found]
        where = outcome.arm.hardware + ", ranges of least error" * outcome.arm.least_error
        series.append(Series(where, y, range(len(y)), "points"))
    what = "lost where it alone is on the chip" if mode == "alone" else "won where it alone is spared from the chip"
    y_label = f"{what.split()[0]} after {KINDS_AT[-1]} ({'points' if network.score.share else 'nats a token'})"
    return Figure(
        f"kinds-{name}-{mode}",
        f"{network.label}: {what}",
        series,
        y_label,
        list(network.kinds),
        "kind of layers",
        legend=True,
    )

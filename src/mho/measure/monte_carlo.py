"""The main measurement: chips drawn until the interval is small enough, each read at every age."""

from __future__ import annotations

import hashlib
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mho import __version__
from mho.chip import program
from mho.errors import WrongSetting
from mho.measure.evaluate import Task, TestData, measure
from mho.measure.result import DriftResult
from mho.measure.shared import Images, chips_per_pass, parts, together
from mho.measure.workers import in_order
from mho.nn import AnalogMatrix
from mho.nn.matrix import digitally
from mho.recalibration import Recalibration, recalibrated
from mho.rng import reads
from mho.store import Measurement, RunHeader, RunStore
from mho.units import seconds

TIMES = ("1 h", "1 day", "1 month", "6 months", "1 year")
MIN_CHIPS = 8
"""Fewest chips, or shared passes, of an automatic run: a spread estimated from fewer stops too early too often."""


@dataclass(frozen=True)
class Known:
    """What is known after another chip, for progress bars.

    Attributes:
        result: Everything so far.
        wanted: Chips at which the run ends for sure.
        reached: The interval asked for is reached.
    """

    result: DriftResult
    wanted: int
    reached: bool


def drift(
    net: nn.Module,
    data: Iterable[Any],
    times: Sequence[str | float] = TIMES,
    *,
    chips: int | Literal["auto"] = "auto",
    images: Images = "all",
    ci: float = 0.5,
    max_chips: int = 100,
    max_seconds: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    recalibrate: Recalibration | Sequence[Recalibration] = (),
    refresh: str | float | None = None,
    out: str | Path | None = None,
    workers: int = 1,
    task: Task = "classes",
    name: str | None = None,
    command: str = "",
    progress: Callable[[Known], None] | None = None,
) -> DriftResult:
    """Accuracy over time of a converted network, by Monte Carlo over chips.

    Every chip is programmed once and read at every age. With ``chips="auto"`` chips are drawn until the interval of the
    mean accuracy is within ±`ci` percentage points at every age (at least 8 chips), or `max_chips` or `max_seconds`
    ends it. The interval is over chips on this test set; the result also tells how much the choice of test samples
    adds. Noise of products has the address (seed, chip, batch), so ages of a chip are paired.

    Where chips differ more than the data can tell, most passes are spent on knowing single chips well. With
    ``images="auto"`` ten chips share each pass: the same interval of the mean from a third of the passes or fewer, but
    nothing about single chips, so that yield, percentiles and the report are refused (`mho.measure.shared`).

    Args:
        net: What `to_analog` returned, calibrated.
        data: Test data: batches of (inputs, labels).
        times: Ages, such as "1 month".
        chips: Their number, or "auto".
        images: How many of the test images (or other items) a chip sees: "all", "auto", or a divisor of their number.
            Which ones is decided by (seed, chip).
        ci: Half-width asked for, percentage points.
        max_chips: Most chips of an automatic run that see all images, or as many passes that chips share.
        max_seconds: No chip is begun after this time.
        confidence: Of every interval.
        seed: Root seed; chip i of a seed is always the same chip.
        recalibrate: What each chip goes through at each age, in order, before it is measured
            (`mho.recalibration`). Each starts from the chip as it left programming, not from what it did at an
            earlier age. It sees another reading of the cells than the measurement (`recalibrated`); its noise of products
            has the address (seed, chip, age, place in the order).
        refresh: Interval, such as "1 month", after which each chip is programmed anew, again and again
            (``program(..., cycle=n)``). `times` go on counting from the first programming; a time that is a multiple of
            the interval is the moment just before the refresh.
        out: Directory where rows are kept while the run goes on; the same call continues what is there.
        workers: Processes, one thread each. Results do not depend on it.
        task: See `measure`.
        name: Name of the network in reports.
        command: What was typed, for the record.
        progress: Called after each chip.

    Raises:
        WrongSetting: Bad arguments; a network without arrays.
        BadInput: Unusable data or weights; a directory that cannot be written.
        BadResults: `out` holds another run.
    """
    ages = sorted({seconds(t) for t in times})
    _check(chips, ci, max_chips, confidence, workers, ages)
    test = TestData.of(data)
    share = chips_per_pass(images, test)
    limit = max_chips * share if chips == "auto" else chips
    if limit % share:
        raise WrongSetting(f"chips = {chips}", f"{share} chips share a pass: give a multiple of {share}", path="chips")
    recalibrations = _recalibrations(recalibrate)
    refresh_s = None if refresh is None else _interval(refresh)
    hw = _hardware(net)
    header = RunHeader(
        model=name or type(net).__name__,
        data=test.info,
        hardware=hw.as_dict(lasting=True),
        hardware_digest=hw.digest(),
        seed=seed,
        times_s=tuple(ages),
        definitions=tuple(str(definition) for definition in hw.definitions()),
        confidence=confidence,
        target_half_width=ci if chips == "auto" else None,
        max_chips=limit,
        placement=tuple(net.placement.rows()) if hasattr(net, "placement") else (),  # type: ignore[operator,union-attr]
        versions={"mho": __version__, "torch": torch.__version__, "python": platform.python_version()},
        command=command,
        model_digest=_digest(net),
        chips_per_pass=share,
        recalibrations=tuple(r.record() for r in recalibrations),
        refresh_s=refresh_s,
    )
    store = None if out is None else RunStore(out)
    if store is not None:
        store.check_writable()
    digital = digital_measurement(net, test, task=task)
    done = [] if store is None else store.create_or_resume(header, digital)
    held = {m.chip: [n for n in done if n.chip == m.chip] for m in done}
    kept: list[Measurement] = []
    start = time.monotonic()
    job = _Job(net, test, tuple(ages), seed, task, share, recalibrations, refresh_s)
    for chip, rows in _rows(
        job, held, limit, workers, lambda: max_seconds is not None and time.monotonic() - start > max_seconds
    ):
        if store is not None and chip not in held:
            store.append(chip, rows)
        kept += rows
        result = DriftResult(header, digital, kept)
        reached = chips == "auto" and chip // share + 1 >= MIN_CHIPS and result.half_width() <= ci / 100
        if progress is not None:
            progress(Known(result, limit, reached))
        if reached:
            break
    return DriftResult(header, digital, kept)


def digital_measurement(net: nn.Module, data: TestData, *, task: Task = "classes") -> Measurement:
    """The same network with its weights in digital form."""
    with digitally(net):
        return measure(net, data, chip=-1, age_s=0.0, address=("digital",), task=task)


@dataclass(frozen=True)
class _Job:
    """Measures one chip, or the chips of one pass, at every age; picklable, so that workers can."""

    net: nn.Module
    data: TestData
    ages: tuple[float, ...]
    seed: int
    task: Task
    share: int
    recalibrations: tuple[Recalibration, ...] = ()
    refresh_s: float | None = None

    def __call__(self, first: int) -> list[Measurement]:
        if self.share == 1:
            return self._measure(first, self.data)
        seen = [
            [(m, where) for m in self._measure(first + i, part)]
            for i, (part, where) in enumerate(parts(self.data, self.share, "share", self.seed, first))
        ]
        return [together(at_one_age) for at_one_age in zip(*seen, strict=True)]

    def _measure(self, index: int, data: TestData) -> list[Measurement]:
        chip = program(self.net, self.seed, chip=index)
        measured = []
        for age in self.ages:
            cycle, since = last_programming(age, self.refresh_s)
            if cycle != chip.cycle:
                chip = program(self.net, self.seed, chip=index, cycle=cycle)
            net = chip.at(since)
            if self.recalibrations:
                noise = partial(reads, "recalibrate", self.seed, index, repr(age))
                net = recalibrated(chip.at(since, read=1), net, self.recalibrations, noise)
            address = ("read", self.seed, index)
            measured.append(measure(net, data, chip=index, age_s=age, address=address, task=self.task))
        return measured


def last_programming(age_s: float, refresh_s: float | None) -> tuple[int, float]:
    """How often a chip has been programmed anew at an age, and the seconds since.

    Refreshed every T: at age t it is in cycle ⌈t/T⌉ - 1, at t minus the cycle's beginning; t = nT is just before the n-th
    refresh, when the chip is at its oldest.
    """
    if refresh_s is None or age_s == 0:
        return 0, age_s
    turns = age_s / refresh_s
    whole = round(turns)
    exact = whole > 0 and math.isclose(turns, whole, rel_tol=1e-9)
    cycle = whole - 1 if exact else math.floor(turns)
    return cycle, refresh_s if exact else age_s - cycle * refresh_s


def _rows(
    job: _Job, held: dict[int, list[Measurement]], limit: int, workers: int, ended: Callable[[], bool]
) -> Iterator[tuple[int, list[Measurement]]]:
    """Chips (the first of each pass) in order: stored ones, as far as they go without a gap, then new ones."""
    wanted = range(0, limit, job.share)
    missing = [chip for chip in wanted if chip not in held]
    fresh = in_order(job, missing, workers)
    try:
        for chip in wanted:
            if chip in held:
                yield chip, held[chip]
            elif ended() and chip > 0:
                return
            else:
                yield chip, next(fresh)
    finally:
        fresh.close()


def _check(chips: int | str, ci: float, max_chips: int, confidence: float, workers: int, ages: list[float]) -> None:
    if not ages:
        raise WrongSetting("no age is asked for", "give times, as in times=['1 h', '1 day']", path="times")
    if chips != "auto" and (not isinstance(chips, int) or chips < 1):
        raise WrongSetting(f"chips = {chips!r}", "give a whole number >= 1, or 'auto'", path="chips")
    if not ci > 0:
        raise WrongSetting(
            f"ci = {ci}", "the half-width asked for is a positive number of percentage points", path="ci"
        )
    if max_chips < 1 or workers < 1:
        raise WrongSetting(f"max_chips = {max_chips}, workers = {workers}", "both are at least 1")
    if not 0 < confidence < 1:
        raise WrongSetting(
            f"confidence = {confidence}", "give a number between 0 and 1, such as 0.95", path="confidence"
        )


def _recalibrations(given: Recalibration | Sequence[Recalibration]) -> tuple[Recalibration, ...]:
    found = (given,) if isinstance(given, Recalibration) else tuple(given)
    for r in found:
        if not isinstance(r, Recalibration):
            raise WrongSetting(
                f"{r!r} is no recalibration",
                "give objects such as RecalibrateNorms(batches); one of your own derives from Recalibration",
                path="recalibrate",
            )
    return found


def _interval(refresh: str | float) -> float:
    interval = seconds(refresh)
    if interval <= 0:
        raise WrongSetting(f"refresh = {refresh!r}", "an interval is longer than 0 s; None is never", path="refresh")
    return interval


def _hardware(net: nn.Module) -> Any:
    for module in net.modules():
        if isinstance(module, AnalogMatrix):
            if module.programmed:
                raise WrongSetting("this network is one chip already", "pass the network that to_analog returned")
            placement = getattr(net, "placement", None)
            whole = None if placement is None else placement.hardware
            return whole if whole is not None and whole.layers else module.hw
    raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")


def _digest(net: nn.Module) -> str:
    sha = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        sha.update(name.encode())
        sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:12]

"""The main measurement: chips drawn until the interval is small enough, each read at every age."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mho import __version__
from mho.chip.fuse import Fusion
from mho.errors import WrongSetting
from mho.measure.chip_job import ChipJob, PassJob
from mho.measure.evaluate import measure
from mho.measure.in_place import definitions_in_place, hardware_in_place
from mho.measure.names import name_of_network
from mho.measure.result import DriftResult, narrow
from mho.measure.shared import Images, chips_per_pass
from mho.measure.test_data import TestData
from mho.measure.workers import in_order
from mho.nn.matrix import digitally
from mho.recalibration import Recalibration
from mho.rng import whole
from mho.store import Measurement, RunHeader, RunStore
from mho.store.digest import Digest, digest_of_plain
from mho.tasks import Named, Score
from mho.tasks.classes import Classes
from mho.units import seconds

TIMES = ("1 h", "1 day", "1 month", "6 months", "1 year")
MIN_CHIPS = 8
"""Fewest chips, or shared passes, of an automatic run: a spread estimated from fewer stops too early too often."""


@dataclass(frozen=True)
class Known:
    """What is known after another chip, for progress bars.

    Attributes:
        header: What is run.
        digital: The digital network.
        measurements: Every chip so far.
        wanted: Chips at which the run ends for sure.
        reached: The interval asked for is reached.
    """

    header: RunHeader
    digital: Measurement
    measurements: tuple[Measurement, ...]
    wanted: int
    reached: bool

    @cached_property
    def result(self) -> DriftResult:
        """Everything so far."""
        return DriftResult(self.header, self.digital, self.measurements)


def drift(
    net: nn.Module,
    data: Iterable[Any],
    times: Sequence[str | float] = TIMES,
    *,
    chips: int | Literal["auto"] = "auto",
    images: Images = "all",
    ci: float | None = None,
    max_chips: int = 100,
    max_seconds: float | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    recalibrate: Recalibration | Sequence[Recalibration] = (),
    refresh: str | float | None = None,
    out: str | Path | None = None,
    workers: int = 1,
    task: Named | None = None,
    name: str | None = None,
    command: str = "",
    progress: Callable[[Known], None] | None = None,
) -> DriftResult:
    """Accuracy, or what a task scores, over time of a converted network, by Monte Carlo over chips.

    Every chip is programmed once and read at every age. With ``chips="auto"`` chips are drawn until the interval of the
    mean score is within ±`ci` percentage points at every age (at least 8 chips), or `max_chips` or `max_seconds`
    ends it. The interval is over chips on this test set; the result also tells how much the choice of test samples
    adds. Noise of products has the address (seed, chip, batch), so ages of a chip are paired.

    Where chips differ more than the data can tell, most passes are spent on knowing single chips well. With
    ``images="auto"`` ten chips share each pass: the same interval of the mean from a third of the passes or fewer, but
    nothing about single chips, so that yield, percentiles and the report are refused (`mho.measure.shared`).

    Args:
        net: What `to_analog` returned, calibrated.
        data: Test data: batches of (inputs, targets).
        times: Ages, such as "1 month".
        chips: Their number, or "auto".
        images: How many of the test images (or other items) a chip sees: "all", "auto", or a divisor of their number.
            Which ones is decided by (seed, chip).
        ci: Half-width asked for with ``chips="auto"``: percentage points where the score is a share (0.5 by default), else
            in its unit (nats for a perplexity), and to be given.
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
        task: What is scored: a name of `mho.tasks.TASKS` or a `mho.tasks.Task`; "classes" by default.
        name: Name of the network in reports.
        command: What was typed, for the record.
        progress: Called after each chip.

    Raises:
        WrongSetting: Bad arguments; a network without arrays.
        BadInput: Unusable data or weights; a directory that cannot be written.
        BadResults: `out` holds another run.
    """
    ages, seed = sorted(set(map(seconds, times))), whole(seed)
    _check(chips, max_chips, confidence, workers, ages)
    test = TestData.of(data, task=task)
    wanted = _half_width(ci, test.task.headline) if chips == "auto" else None
    share = chips_per_pass(images, test)
    limit = max_chips * share if chips == "auto" else chips
    if limit % share:
        raise WrongSetting(f"chips = {chips}", f"{share} chips share a pass: give a multiple of {share}", path="chips")
    recalibrations = _recalibrations(recalibrate)
    interval = None if refresh is None else _interval(refresh)
    fusion = None if recalibrations else Fusion.of(net)
    job = ChipJob(net, test, tuple(ages), seed, recalibrations, interval, fusion)
    header = _header(
        job, name=name or name_of_network(net), command=command, confidence=confidence, max_chips=limit,
        target_half_width=wanted, chips_per_pass=share,
    )  # fmt: skip
    store = None if out is None else RunStore(out)
    if store is not None:
        store.check_writable()
    digital = digital_measurement(net, test)
    done = [] if store is None else store.create_or_resume(header, digital)
    kept: list[Measurement] = []
    means: list[list[float]] = []
    end = float("inf") if max_seconds is None else time.monotonic() + max_seconds
    for rows, fresh in _rows(job if share == 1 else PassJob(job, share), done, range(0, limit, share), workers, end):
        if store is not None and fresh:
            store.append(rows[0].chip, rows)
        kept += rows
        reached = False
        if wanted is not None:
            means.append([m.mean for m in rows])
            reached = len(means) >= MIN_CHIPS and narrow(means, header)
        if progress is not None:
            progress(Known(header, digital, tuple(kept), limit, reached))
        if reached:
            break
    return DriftResult(header, digital, kept)


def digital_measurement(net: nn.Module, data: TestData, *, task: Named | None = None) -> Measurement:
    """The same network with its weights in digital form."""
    with digitally(net):
        return measure(net, data, chip=-1, age_s=0.0, address=("digital",), task=task)


def _header(job: ChipJob, *, name: str, **settings: Any) -> RunHeader:
    net, data = job.net, job.data
    hw = hardware_in_place(net)
    described = hw.as_dict(lasting=True)
    weights = Digest().values(*chain.from_iterable(sorted(net.state_dict().items())))
    return RunHeader(
        model=name,
        data=data.info,
        hardware=described,
        hardware_digest=digest_of_plain(described),
        seed=job.seed,
        times_s=job.ages,
        definitions=definitions_in_place(hw),
        placement=tuple(net.placement.rows()) if hasattr(net, "placement") else (),  # type: ignore[operator,union-attr]
        versions={"mho": __version__, "torch": torch.__version__, "python": platform.python_version()},
        model_digest=weights.value(),
        recalibrations=tuple(map(Recalibration.record, job.recalibrations)),
        refresh_s=job.refresh_s,
        constant=data.task.constant_score([y for _, y in data.batches]),
        task={} if data.task == Classes() else data.task.record(),
        **settings,
    )


def _rows(
    job: ChipJob | PassJob, done: Sequence[Measurement], wanted: range, workers: int, end: float
) -> Iterator[tuple[list[Measurement], bool]]:
    """Chips (the first of each pass) in order, and whether they are new: stored ones, then new ones until `end`."""
    held: dict[int, list[Measurement]] = {}
    for m in done:
        held.setdefault(m.chip, []).append(m)
    fresh = in_order(job, sorted(set(wanted) - set(held)), workers)
    try:
        for chip in wanted:
            if chip in held:
                yield held[chip], False
            elif time.monotonic() > end and chip > 0:
                return
            else:
                yield next(fresh), True
    finally:
        fresh.close()


def _half_width(ci: float | None, score: Score) -> float:
    if ci is None and score.share:
        return 0.5
    if ci is None or not ci > 0:
        unit = "percentage points" if score.share else f"the unit of {score.label}{score.differs}"
        raise WrongSetting(f"ci = {ci}", f"the half-width asked for is a positive number, in {unit}", path="ci")
    return ci


def _check(chips: int | str, max_chips: int, confidence: float, workers: int, ages: list[float]) -> None:
    if not ages:
        raise WrongSetting("no age is asked for", "give times, as in times=['1 h', '1 day']", path="times")
    if chips != "auto" and (not isinstance(chips, int) or chips < 1):
        raise WrongSetting(f"chips = {chips!r}", "give a whole number >= 1, or 'auto'", path="chips")
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

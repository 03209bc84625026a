"""The main measurement: chips drawn until the interval is small enough, each read at every age."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mho import __version__
from mho.arguments import network, whole
from mho.chip.fuse import Fusion
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.measure.asked import TIMES, Asked
from mho.measure.chip_job import ChipJob, PassJob
from mho.measure.evaluate import measure
from mho.measure.names import name_of_network
from mho.measure.result import DriftResult, narrow
from mho.measure.shared import Images, chips_per_pass
from mho.measure.so_far import MIN_CHIPS, expected, so_far
from mho.measure.test_data import TestData
from mho.measure.workers import in_order
from mho.nn.in_place import definitions_in_place, hardware_in_place
from mho.nn.layer import check_calibrated
from mho.nn.matrix import digitally
from mho.progress import Progress, telling
from mho.recalibration import Recalibration
from mho.store import Measurement, RunHeader, RunStore
from mho.store.digest import digest_of_network, digest_of_plain
from mho.store.lock import alone
from mho.tasks import Named
from mho.tasks.classes import Classes


def drift(
    net: nn.Module,
    data: Iterable[Any],
    times: str | float | Sequence[str | float] = TIMES,
    *,
    chips: int | Literal["auto"] = "auto",
    images: Images = "all",
    ci: float | None = None,
    max_chips: int = 100,
    max_seconds: str | float | None = None,
    confidence: float | str = 0.95,
    seed: int = 0,
    recalibrate: Recalibration | Sequence[Recalibration] = (),
    refresh: str | float | None = None,
    out: str | Path | None = None,
    workers: int = 1,
    task: Named | None = None,
    name: str | None = None,
    command: str = "",
    progress: Progress = None,
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
        times: Ages, such as "1 month"; one, several, or a text with several: "1h,1d,1y".
        chips: Their number, or "auto".
        images: How many of the test images (or other items) a chip sees: "all", "auto", or a divisor of their number.
            Which ones is decided by (seed, chip).
        ci: Half-width asked for with ``chips="auto"``: percentage points where the score is a share (0.5 by default), else
            in its unit (nats for a perplexity), and to be given.
        max_chips: Most chips of an automatic run that see all images, or as many passes that chips share.
        max_seconds: No chip is begun after this time, as "10 min" or in seconds.
        confidence: Of every interval.
        seed: Root seed; chip i of a seed is always the same chip.
        recalibrate: What each chip goes through at each age, in order, before it is measured
            (`mho.recalibration`). Each starts from the chip as it left programming, not from what it did at an
            earlier age. It sees another reading of the cells than the measurement (`recalibrated`); its noise of products
            has the address (seed, chip, age, place in the order).
        refresh: Interval, such as "1 month", after which each chip is programmed anew, again and again
            (``program(..., cycle=n)``). `times` go on counting from the first programming; a time that is a multiple of
            the interval is the moment just before the refresh.
        out: Directory where rows are kept while the run goes on; the same call continues what is there, and a call with
            more chips or with other ages measures only what is missing.
        workers: Processes, one thread each. Results do not depend on it.
        task: What is scored: a name of `mho.tasks.TASKS` or a `mho.tasks.Task`; "classes" by default.
        name: Name of the network in reports.
        command: What was typed, for the record.
        progress: True for a bar, or told of each chip (`mho.progress.Step`; its `result` is the `DriftResult` so far).

    Raises:
        WrongSetting: Bad arguments; a network without arrays.
        BadInput: Unusable data or weights; a directory that cannot be written.
        BadResults: `out` holds another run, or another call is writing there.
    """
    network(net)
    hw, seed = hardware_in_place(net), whole(seed, "seed", least=0)
    check_calibrated(net)
    asked = Asked.of(
        times=times, chips=chips, images=images, ci=ci, max_chips=max_chips, max_seconds=max_seconds,
        confidence=confidence, recalibrate=recalibrate, refresh=refresh, workers=workers, task=task, out=out,
        score=data.task.headline if isinstance(data, TestData) and task is None else None,
    )  # fmt: skip
    test = TestData.of(data, task=asked.task)
    share = chips_per_pass(images, test)
    limit = asked.max_chips * share if asked.chips == "auto" else asked.chips
    if limit % share:
        raise WrongSetting(f"chips = {chips}", f"{share} chips share a pass: give a multiple of {share}", path="chips")
    fusion = None if asked.recalibrate else Fusion.of(net)
    job = ChipJob(net, test, seed, asked.recalibrate, asked.refresh_s, fusion)
    header = _header(
        job, hw, asked.times_s, name=name or name_of_network(net), command=command, confidence=asked.confidence,
        max_chips=limit, target_half_width=asked.half_width, chips_per_pass=share,
    )  # fmt: skip
    store = None if out is None else RunStore(out)
    if store is not None:
        store.check_writable()
    with alone(out), telling(progress, "drift", "chips") as told:
        told(0, known="measuring the digital network")
        digital = digital_measurement(net, test)
        done = [] if store is None else store.create_or_resume(header, digital)
        kept: list[Measurement] = []
        means: list[list[float]] = []
        end = float("inf") if asked.max_seconds is None else time.monotonic() + asked.max_seconds
        run = job if share == 1 else PassJob(job, share)
        for rows, fresh in _rows(run, done, range(0, limit, share), asked.times_s, asked.workers, end):
            if store is not None and fresh:
                store.append(rows[0].chip, fresh)
            kept += rows
            means.append([m.mean for m in rows])
            reached = asked.half_width is not None and len(means) >= MIN_CHIPS and narrow(means, header)
            known = header, digital, tuple(kept)
            total = share * len(means) if reached else expected(means, header, share, limit)
            told(share * len(means), total, known=partial(so_far, *known), result=partial(DriftResult, *known))
            if reached:
                break
    return DriftResult(header, digital, kept)


def digital_measurement(net: nn.Module, data: TestData) -> Measurement:
    """The same network with its weights in digital form."""
    with digitally(net):
        return measure(net, data, chip=-1, age_s=0.0, address=("digital",))


def _header(job: ChipJob, hw: Hardware, times_s: tuple[float, ...], *, name: str, **settings: Any) -> RunHeader:
    net, data = job.net, job.data
    described = hw.as_dict(lasting=True)
    return RunHeader(
        model=name,
        data=data.info,
        hardware=described,
        hardware_digest=digest_of_plain(described),
        seed=job.seed,
        times_s=times_s,
        definitions=definitions_in_place(hw),
        placement=tuple(net.placement.rows()) if hasattr(net, "placement") else (),  # type: ignore[operator,union-attr]
        versions={"mho": __version__, "torch": torch.__version__, "python": platform.python_version()},
        model_digest=digest_of_network(net.state_dict()),
        recalibrations=tuple(map(Recalibration.record, job.recalibrations)),
        refresh_s=job.refresh_s,
        constant=data.task.constant_score([y for _, y in data.batches]),
        task={} if data.task == Classes() else data.task.record(),
        **settings,
    )


def _rows(
    job: ChipJob | PassJob,
    done: Sequence[Measurement],
    wanted: range,
    ages: tuple[float, ...],
    workers: int,
    end: float,
) -> Iterator[tuple[list[Measurement], list[Measurement]]]:
    """Chips (the first of each pass) in order, at every age, and what of it is new: only what is not stored is measured.

    No chip is begun after `end`, but for the first.
    """
    held: dict[int, dict[float, Measurement]] = {}
    for m in done:
        held.setdefault(m.chip, {})[m.age_s] = m
    missing = {chip: tuple(age for age in ages if age not in held.get(chip, {})) for chip in wanted}
    measured = in_order(job, [(chip, some) for chip, some in missing.items() if some], workers)
    try:
        for chip in wanted:
            fresh: list[Measurement] = []
            if missing[chip]:
                if time.monotonic() > end and chip > 0:
                    return
                fresh = next(measured)
            at = {**held.get(chip, {}), **{m.age_s: m for m in fresh}}
            yield [at[age] for age in ages], fresh
    finally:
        measured.close()

"""`advise`: what helps, found on some chips and samples, and said of others."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mho.advice.asked import TIMES, Asked
from mho.advice.call import Call, samples
from mho.advice.case import Case
from mho.advice.data import divide
from mho.advice.remedy import Remedy
from mho.advice.result import Advice
from mho.advice.trials import Trials
from mho.arguments import check_mode, network, whole
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.measure.names import name_of_network
from mho.measure.test_data import TestData
from mho.progress import Progress, telling
from mho.store.lock import alone
from mho.tasks import Named
from mho.tasks.batches import batches_of


def advise(
    model: nn.Module,
    hw: Hardware | str | Path,
    data: Iterable[Any],
    *,
    validation: Iterable[Any] | None = None,
    calibration: Iterable[Any] | None = None,
    train: Iterable[Any] | None = None,
    budget: float | str = 0.01,
    times: str | float | Sequence[str | float] = TIMES,
    effort: str = "normal",
    remedies: Sequence[str | Remedy] | str | None = None,
    chips: int | None = None,
    holdout: float | str = 0.5,
    confidence: float | str = 0.95,
    seed: int = 0,
    task: Named | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    workers: int = 1,
    max_seconds: str | float | None = None,
    ranges: str | Path | None = None,
    command: str = "",
    call: Call | None = None,
    progress: Progress = None,
) -> Advice:
    """What can be done for a network that loses too much on a chip.

    The network is measured as it is; then remedies are tried, cheapest first, each alone on the same few chips, and
    after each tier of costs the promising ones together, one more at a time as long as the worst age gets better. It
    ends when something keeps the budget at every age for certain, when all was tried, or when the time is up.

    What looks best among many on the same chips and samples looks better than it is. So the few finalists are measured
    again, on chips of another seed (`seed` + 1) and on samples that had no part in choosing, and only this counts:
    their intervals are widened so that all finalists' intervals hold together (Bonferroni, for the number that was
    fixed beforehand), gains are paired and their intervals are over chips *and* samples, and nothing is recommended
    whose gain's interval includes zero.

    Args:
        model: The trained digital network.
        hw: The hardware, or the name of a preset, or a YAML file.
        data: Test data: batches of (inputs, labels). Without `validation` it is divided, see `holdout`.
        validation: Labelled data for choosing; all of `data` is then reported on.
        calibration: Inputs for the converters' ranges and for recalibrations, labels unused; by default the samples
            for choosing.
        train: Training data, with labels or (for distillation) without; without it nothing is trained.
        budget: What may be lost against the digital network: of an accuracy as a share (0.01 is one point), else in the
            score's unit (nats for a perplexity).
        times: Ages at which the budget is to be kept.
        effort: "quick" (3 chips to choose, 8 to confirm), "normal" (6, 16) or "full" (12, 40); also decides the
            number of finalists, the epochs of training, and which remedies are tried.
        remedies: Names (`mho.advice.remedies.names`) or remedies, instead of all.
        chips: Chips to confirm on.
        holdout: Share of `data` that is reported on; the other samples are for choosing.
        confidence: Of all intervals of the finalists together.
        seed: Root seed; chips are chosen on with `seed` and reported on with `seed` + 1.
        task: What is scored: a name of `mho.tasks.TASKS` or a `mho.tasks.Task`; "classes" by default.
        name: Name of the network.
        out: Folder for rows and trained weights; the same call goes on from what is there.
        workers: Processes, one thread each.
        max_seconds: No trial is begun when the rest of the time is needed for the confirmation.
        ranges: File of `mho.calibration.save_ranges` (``mho calibrate``) with the converters' ranges; they serve the network
            as it is and with remedies that change neither weights, hardware nor ranges.
        command: What was typed.
        call: The names of network, data and hardware, so that the advice can be run as it stands.
        progress: True for a bar, or told of each chip of each trial (`mho.progress.Step`).

    Raises:
        WrongSetting: Bad arguments.
        BadInput: Unusable data or weights; a folder that cannot be written.
        BadResults: `out` holds other trials, or another call is writing there.

    Example:
        >>> advice = advise(model, "pcm", test, calibration=images, budget=0.01)   # doctest: +SKIP
        >>> print(advice)                                                          # doctest: +SKIP
    """
    network(model, "model")
    check_mode()
    for some, path in ((data, "data"), (validation, "validation"), (calibration, "calibration"), (train, "train")):
        if some is not None or path == "data":
            batches_of(some, path=path)
    asked = Asked.of(
        hw, budget=budget, times=times, effort=effort, remedies=remedies, chips=chips, holdout=holdout, out=out,
        confidence=confidence, task=task, workers=workers, max_seconds=max_seconds, ranges=ranges, progress=progress,
        score=data.task.headline if isinstance(data, TestData) and task is None else None,
    )  # fmt: skip
    test, seed = TestData.of(data, task=task), whole(seed, "seed", least=0)
    if validation is None:
        choosing, reporting = divide(test, asked.holdout, seed)
    else:
        choosing, reporting = TestData.of(validation, task=test.task), test
    training, labelled = _training(train)
    case = Case(
        model=copy.deepcopy(model).eval(),
        hw=asked.hw,
        choosing=choosing,
        calibration=choosing.batches if calibration is None else tuple(batches_of(calibration, path="calibration")),
        train=training,
        labelled=labelled,
        times_s=asked.times_s,
        seed=seed,
        effort=asked.effort,
        folder=asked.out,
        ranges=asked.ranges,
    )
    with alone(asked.out), telling(progress, "advise", "trials") as told:
        trials = Trials(
            case, reporting, asked, name=name or name_of_network(model), call=call, told=told,
            hardware=_expression(hw, asked.hw) if call is None else call.described(),
        )  # fmt: skip
        baseline, tried = trials.run(asked.remedies)
    notes = _notes(trials, validation is None, calibration is None)
    return Advice(
        subject=f"{trials.name} on '{asked.hw.label}' with {test.info.name}",
        budget=asked.budget,
        ages_s=asked.times_s,
        digital=(trials.digital[0], trials.digital[1]),
        samples=(choosing.info.samples, reporting.info.samples),
        chips=(asked.effort.screened, asked.chips),
        confidence=asked.confidence,
        baseline=baseline,
        tried=tuple(tried),
        notes=tuple(notes),
        command=command,
        seconds=trials.elapsed(),
        before=_before(asked, seed, task, validation is not None, calibration is not None)
        if call is None
        else tuple(call.before()),
        train="" if call is None or call.train is None else f"train = load({call.train!r})",
        complete=call is not None,
    )


def _expression(given: Hardware | str | Path, described: Hardware) -> str:
    """The hardware in Python; `hw` where only the caller knows how it was made."""
    if not isinstance(given, Hardware):
        return f"mho.Hardware.of({str(given)!r})"
    shipped = described.name in Hardware.presets() and Hardware.preset(described.name).digest() == described.digest()
    return f"mho.Hardware.preset({described.name!r})" if shipped else "hw"


def _before(asked: Asked, seed: int, task: Named | None, validation: bool, calibration: bool) -> tuple[str, ...]:
    """What `Advice.before` holds where only the caller knows how network and data were made: by the names of arguments."""
    scored = "" if task is None else f", task={task!r}" if isinstance(task, str) else ", task=task"
    lines = samples(
        "data", "validation" if validation else None, "calibration" if calibration else None,
        holdout=asked.holdout, seed=seed, scored=scored,
    )  # fmt: skip
    first = "# model, hw, data, validation, calibration, train, task: as given to mho.advise"
    return ("import mho", "", first, *lines, f"times = {list(asked.times_s)}")


def _training(train: Iterable[Any] | None) -> tuple[Any, bool]:
    """Training data that can be gone through again, and whether it has labels."""
    if train is None:
        return None, False
    given = batches_of(train, path="train")
    held = given if hasattr(train, "__len__") else list(given)
    first = next(iter(held), None)
    if first is None:
        raise WrongSetting("the training data is empty", "give batches, or leave it out", path="train")
    return held, isinstance(first, (tuple, list)) and len(first) == 2


def _notes(trials: Trials, divided: bool, same: bool) -> list[str]:
    asked, seed = trials.asked, trials.case.seed
    n, m = trials.case.choosing.info.samples, trials.reporting.info.samples
    notes = [
        f"Chosen on {asked.effort.screened} chips (seed {seed}) and {n} samples; confirmed on {asked.chips} other chips (seed "
        f"{seed + 1}) and {m} other samples. Rows marked · were only chosen on, and look better than they are.",
        f"Intervals of confirmed rows have {100 * trials.level:.4g} % each, so that those of {trials.finalists} "
        f"finalists hold together with {100 * asked.confidence:g} %. Scores: over chips, for these samples. Gains: "
        "paired, mean over the ages, over chips and samples.",
    ]
    if divided:
        notes.append(
            "The samples for choosing are a part of the test data. With validation=... all test data is reported on."
        )
    if same:
        notes.append(
            "Ranges and recalibrations used the inputs of the samples for choosing; labels were not looked at."
        )
    return notes

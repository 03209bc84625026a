"""Runs a study's arms, keeps what they measured, and finds it again.

A study's folder holds ``study.json`` (its name and scale) and a folder for each arm and training seed, with a run
(`mho.store`) or with ``rows.json``.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mho.arguments import device as known_device
from mho.arguments import one_of, whole
from mho.errors import BadInput, BadResults, WrongSetting
from mho.measure import DriftResult
from mho.measure.workers import in_order
from mho.progress import Meter, Progress, Step, check_progress, telling
from mho.store.files import replaced, write_text
from mho.studies.outcome import Outcome, Results
from mho.studies.study import CHECKPOINTS, SCALES, Arm, Job, Scale, Study

_STUDY, _ROWS = "study.json", "rows.json"


def run(
    study: Study, out: Path, scale: Scale = "cpu", *, only: str = "", seeds: int | None = None, workers: int = 1,
    device: str = "cpu", progress: Progress = None,
) -> None:  # fmt: skip
    """Measure every arm whose name contains `only`; what is stored is kept, and a run that was killed goes on.

    Args:
        study: The study.
        out: Its folder.
        scale: Size.
        only: Part of the arms' names.
        seeds: Training seeds of each arm that is trained; None: as the study has it at this scale.
        workers: Processes.
        device: Where to train.
        progress: True for a bar, or told of each arm and what goes on in it (`mho.progress.Step`).

    Raises:
        WrongSetting: An unknown scale; a device that is not there;
            no arm has such a name; fewer than one seed; seeds or a device for a study whose arms have none.
        BadResults: The folder holds another study or scale.
        BadInput: Data that is needed is not there, which the message names; the folder cannot be written.
    """
    one_of(scale, "scale", SCALES)
    workers = whole(workers, "workers")
    seeds = None if seeds is None else whole(seeds, "seeds")
    check_progress(progress)
    arms = study.arms(scale)
    if (seeds is not None or device != "cpu") and not any(arm.seeds for arm in arms):
        raise WrongSetting(
            f"arms of the study '{study.name}' have no seeds and no device of training",
            "leave out both",
            path="seeds, device",
        )
    device = str(known_device(device))
    arms = [arm if seeds is None or not arm.seeds else replace(arm, seeds=seeds) for arm in arms]
    wanted = [
        (arm, seed)
        for seed in range(max([1, *(arm.seeds for arm in arms)]))
        for arm in arms
        if seed < max(1, arm.seeds) and only in arm.folder(seed)
    ]
    if not wanted:
        raise WrongSetting(
            f"no arm's name contains '{only}'", f"arms are {', '.join(a.name for a in arms)}", path="only"
        )
    _note(study, out, scale)
    with telling(progress, f"study {study.name}", "arms") as told:
        todo = [each for each in wanted if not _done(study, out, scale, *each)]
        for arm, seed in (each for each in wanted if each not in todo):  # a run may have been killed behind its rows
            shutil.rmtree(out / arm.folder(seed) / CHECKPOINTS, ignore_errors=True)
        one = _One(study, out, scale, device, workers if not study.apart else 1)
        if study.apart and workers > 1:
            told(done := len(wanted) - len(todo), len(wanted), known=f"{workers} arms at a time")
            for name in in_order(one, todo, workers):
                done += 1
                told(done, len(wanted), known=f"{name} is measured")
            return
        for arm, seed in todo:
            here = _Arm(told, arm.folder(seed), wanted.index((arm, seed)), len(wanted))
            here("measuring")
            name = one((arm, seed), here)
            told(here.number + 1, len(wanted), known=f"{name} is measured")


def _done(study: Study, out: Path, scale: Scale, arm: Arm, seed: int) -> bool:
    found = stored(out / arm.folder(seed))
    return found is not None and study.complete(found, scale)


@dataclass(frozen=True)
class _One:
    """Measures an arm with a training seed, and stores its rows."""

    study: Study
    out: Path
    scale: Scale
    device: str
    workers: int

    def __call__(self, which: tuple[Arm, int], here: _Arm | None = None) -> str:
        arm, seed = which
        folder = self.out / arm.folder(seed)
        command = f"mho study run {self.study.name} --scale {self.scale} --only {folder.name}"
        job = Job(folder, self.out, self.scale, seed, self.workers, self.device, command)
        if here is not None:
            job = replace(job, progress=here, steps=here.step)
        rows = self.study.run(arm, job)
        if rows is not None:
            folder.mkdir(exist_ok=True)
            _write(folder / _ROWS, [dict(row) for row in rows])
            shutil.rmtree(job.checkpoints, ignore_errors=True)
        return folder.name


@dataclass(frozen=True)
class _Arm:
    """Tells how far an arm is."""

    told: Meter
    name: str
    number: int
    arms: int

    def __call__(self, text: str) -> None:
        self.told(self.number, self.arms, known=f"{self.name}: {text}")

    def step(self, step: Step) -> None:
        share = 0.99 * (step.share or 0.0)
        self.told(self.number + share, self.arms, known=f"{self.name}: {step.work} {step.amount}, {step.known}")


def results(study: Study, out: Path) -> Results[Any, Any]:
    """What is stored of a study, every training seed that is there; what is not measured to its end is left out, and named.

    Raises:
        BadResults: Nothing is, or the folder holds another study.
    """
    scale, found = _read(study, out), Results[Any, Any]()
    found.scale, found.unfinished = scale or "cpu", (unfinished := {})
    for arm in () if scale is None else study.arms(scale):
        runs = {}
        for seed in _seeds(arm, out):
            run, folder = stored(out / arm.folder(seed)), arm.folder(seed)
            if run is not None and study.complete(run, found.scale):
                runs[seed] = run
            elif run is not None:
                chips = (
                    f"{len(run.chips)} of {study.chips[found.scale]} chips" if isinstance(run, DriftResult) else "begun"
                )
                unfinished[folder] = chips
        if runs:
            found[arm.name] = Outcome(arm, runs)
    if not found:
        there = "".join(f"; unfinished: {name} ({chips})" for name, chips in unfinished.items())
        command = f"mho study run {study.name}" + ("" if scale is None else f" --scale {scale}")
        raise BadResults(f"no arm of the study is stored here{there}", f"measure it first: {command}", path=str(out))
    return found


def stored(folder: Path) -> Any:
    """The run or the rows in an arm's folder; None where nothing has been measured.

    Raises:
        BadResults: They are damaged.
    """
    rows = folder / _ROWS
    if rows.exists():
        try:
            return json.loads(rows.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadResults(f"no JSON: {error}", "remove it and measure again", path=str(rows)) from error
    log = folder / "rows.jsonl"
    return DriftResult.load(folder) if log.exists() and log.stat().st_size else None


def _seeds(arm: Arm, out: Path) -> list[int]:
    """Training seeds that have a folder, however many the study asks for."""
    if not arm.seeds:
        return [0]
    names = (re.fullmatch(rf"{re.escape(arm.name)}-seed(\d+)", path.name) for path in out.iterdir())
    return sorted(int(name[1]) for name in names if name)


def _note(study: Study, out: Path, scale: Scale) -> None:
    """Note in the folder which study and scale it holds."""
    there = _read(study, out)
    if there not in (None, scale):
        raise BadResults(f"it holds scale '{there}', not '{scale}'", "give another --out", path=str(out))
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / _STUDY, {"study": study.name, "scale": scale})
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another --out", path=str(out)) from error


def _read(study: Study, out: Path) -> Scale | None:
    """The scale that a folder holds, or None for a folder without a study."""
    file = out / _STUDY
    if not file.exists():
        return None
    try:
        note = json.loads(file.read_text(encoding="utf-8"))
        name, scale = note["study"], note["scale"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadResults(f"not the note of a study: {error!r}", "remove it", path=str(file)) from error
    if name != study.name:
        raise BadResults(f"it holds the study '{name}', not '{study.name}'", "give another --out", path=str(out))
    return scale  # type: ignore[no-any-return]


def _write(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    with replaced(path) as part:
        write_text(part, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

"""What the engine of sweeps costs beside its trials, what a second worker brings, and what sharing saves.

Seconds are of processor time, so that what else runs on the machine counts little; what it does to the caches still counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from mho.measure.chip_job import ChipJob
from mho.sweeps import engine, perform, worker, workshop
from mho.sweeps.preview import Preview, preview
from mho.sweeps.result import SweepResult
from mho.sweeps.run import _begin

HERE, TURNS = Path(__file__).parent, 2
READ = {"hardware.adc.bits": [4, 6, 8], "hardware.noise.output": [0.0, 0.04]}
"""Factors of reading: a chip is programmed once for all their levels."""
SMALL = {
    "network": "digits_cnn", "data": "digits?n=100", "hardware": "pcm", "ages": ["1 h", "1 month", "1 year"], "chips": 3,
    "pretraining": {"data": "digits?split=train", "epochs": 2, "lr": 0.05},
}  # fmt: skip
LARGE = {
    "network": "published:cifar10_resnet20", "data": "cifar10?prep=imagenet&n=100", "hardware": "pcm",
    "calibration": {"data": "cifar10?prep=imagenet&split=train&n=256"}, "ages": ["1 h", "1 month", "1 year"], "chips": 3,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "digits": {**SMALL, "factors": {**READ, "hardware.dac.bits": [4, 8], "hardware.cell.drift": [0.5, 1.0]}},
    "resnet20": {**LARGE, "factors": {**READ, "hardware.cell.drift": [0.5, 1.0]}},
}


class Stopwatch:
    """Processor seconds of a function of a module, in this process."""

    def __init__(self, owner: Any, name: str) -> None:
        self.seconds, self.calls = 0.0, 0
        self.owner, self.name, self.inner = owner, name, getattr(owner, name)

    def __enter__(self) -> Stopwatch:
        def timed(*args: Any, **more: Any) -> Any:
            begun = time.process_time()
            try:
                return self.inner(*args, **more)
            finally:
                self.seconds, self.calls = self.seconds + time.process_time() - begun, self.calls + 1

        setattr(self.owner, self.name, timed)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(self.owner, self.name, self.inner)


def overhead(looked: Preview, folder: Path) -> dict[str, float]:
    """What a trial takes in a worker, on average: measuring its chips, making what it needs, and the engine around it."""
    _begin(folder, looked).close()
    with Stopwatch(perform, "run") as jobs, Stopwatch(ChipJob, "__call__") as chips:
        begun = time.process_time()
        worker.work(folder, "here")
        everything = time.process_time() - begun
    trials = len(looked.trials)
    return {
        "trials": trials, "jobs": jobs.calls, "measuring_s": chips.seconds / trials,
        "making_s": (jobs.seconds - chips.seconds) / trials, "engine_s": (everything - jobs.seconds) / jobs.calls,
    }  # fmt: skip


def watching(looked: Preview, folder: Path) -> float:
    """Processor seconds a trial of the process that watches over one worker, without the worker's own."""
    ledger = _begin(folder, looked)
    begun = time.process_time()
    engine.run(ledger, workers=1)
    return (time.process_time() - begun) / len(looked.trials)


def together(looked: Preview, folder: Path, workers: int) -> dict[str, Any]:
    """Processor seconds of each of some workers that share a sweep, with what loading torch takes, and what the clock said."""
    _begin(folder, looked).close()
    found: dict[str, Any] = {}
    for what in ("cpu_s", "start_s"):  # the second time nothing is left to do
        begun = time.perf_counter()
        pool = [engine.Worker(folder) for _ in range(workers)]
        spent = [os.wait4(each.process.pid, 0)[2] for each in pool]
        found |= {
            what: [use.ru_utime + use.ru_stime for use in spent],
            what.replace("_s", "_wall_s"): time.perf_counter() - begun,
        }
    return found


def gain(looked: Preview, place: Path) -> dict[str, Any]:
    """One worker and two, in turn; how much sooner two would end on cores of their own: 2 · seconds of one / seconds of both.

    Without the loading of torch, which every worker does. Whose trials take how long is chance on a busy machine, so that the
    longer of the two says little; at the end of a sweep one of them waits, for half a trial on average.
    """
    found = {str(n): [together(looked, place / f"{n} {turn}", n) for turn in range(TURNS)] for n in (1, 2)}
    return {**found, "gain": ratio(found)}


def ratio(found: dict[str, list[dict[str, Any]]]) -> float:
    """See `gain`; of the turns that disturbed each least."""
    least = {n: min(sum(each["cpu_s"]) - sum(each["start_s"]) for each in runs) for n, runs in found.items()}
    return 2 * least["1"] / least["2"]


def sharing(looked: Preview, folder: Path) -> dict[str, Any]:
    """How much trials find instead of making it, and processor seconds a trial with all that, without chips, without any."""
    kept = dict(workshop._KEPT)
    seconds: dict[str, float] = {}
    hits: dict[str, str] = {}
    rows: dict[str, Any] = {}
    for arm, limits, room in (
        ("all", kept, workshop.CHIPS_BYTES),
        ("no chips", kept, 0),
        ("none", dict.fromkeys(kept, 1), 0),
    ):
        before = workshop.CHIPS_BYTES
        workshop._KEPT.update(limits)
        workshop.CHIPS_BYTES = room
        forget = Stopwatch(workshop.Workshop, "begin") if arm != "none" else Forgetful()
        try:
            with forget, Stopwatch(perform, "run") as jobs:
                _begin(folder / arm, looked).close()
                worker.work(folder / arm, "here")
        finally:
            workshop._KEPT.update(kept)
            workshop.CHIPS_BYTES = before
        result = SweepResult(folder / arm)
        seconds[arm], rows[arm] = jobs.seconds / len(looked.trials), result.rows
        if arm == "all":
            total: Counter[str] = Counter()
            for trial in result.trials:
                total.update(trial["shared"])
            kinds = sorted({key.partition(" ")[0] for key in total})
            hits = {kind: f"{total[f'{kind} found']} of {total[f'{kind} asked']}" for kind in kinds}
    assert rows["all"] == rows["no chips"] == rows["none"]  # sharing changes no digit
    return {"seconds_a_trial": seconds, "found": hits}


class Forgetful(Stopwatch):
    """A workshop that begins each trial with nothing kept but what lies in the folder."""

    def __init__(self) -> None:
        super().__init__(workshop.Workshop, "begin")

    def __enter__(self) -> Forgetful:
        inner = self.inner

        def begin(shop: workshop.Workshop) -> None:
            inner(shop)
            for held in shop._kept.values():
                held.clear()

        workshop.Workshop.begin = begin  # type: ignore[method-assign]
        return self


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), help="digits, resnet20 (needs MHO_DATA)")
    torch.set_num_threads(1)
    file = HERE / "result.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for name in parser.parse_args().cases:
        looked = preview(CASES[name])
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            one = overhead(looked, place / "overhead")
            found[name] = {
                "machine": f"{platform.machine()}, {engine.cores()} cores, torch {torch.__version__}",
                "overhead": {**one, "watching_s": watching(looked, place / "watching")},
                "workers": gain(looked, place),
                "sharing": sharing(looked, place / "sharing"),
            }
        file.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps({name: found[name]}, indent=1))


if __name__ == "__main__":
    main()

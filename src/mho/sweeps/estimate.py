"""How long a sweep will take, from timed evaluations and a few timed steps of training."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from mho.sweeps.config import Config
from mho.sweeps.evaluate import chip_job
from mho.sweeps.fingerprint import STEPS, Fingerprints, untrained
from mho.sweeps.jobs import jobs_of
from mho.sweeps.trial import Trial
from mho.sweeps.workshop import Workshop
from mho.tasks.items import length
from mho.units import show_time

_START_S = 4.0
"""Until a worker has loaded torch."""


@dataclass(frozen=True)
class Estimate:
    """The cost of a sweep.

    Attributes:
        trials: Configurations that are measured.
        trainings: Trainings, each for all trials that share it.
        evaluations: Passes over the test data: trials × chips × ages.
        evaluation_s: Seconds of one, on average; recalibration included.
        seconds: Of all on one worker.
        untimed: What is taken to be as fast as what was timed, in words; often nothing.
    """

    trials: int
    trainings: int
    evaluations: int
    evaluation_s: float
    seconds: float
    untimed: str = ""

    def times(self, factor: float) -> Estimate:
        """Of so many times as many trials; a training that several share is taken to serve the others, too."""
        trials, evaluations = (round(n * factor) for n in (self.trials, self.evaluations))
        trainings = self.trainings if self.trainings < self.trials else round(self.trainings * factor)
        return Estimate(trials, trainings, evaluations, self.evaluation_s, self.seconds * factor, self.untimed)

    def words(self, workers: int = 1) -> str:
        """One line."""
        trainings = f", {self.trainings} training{'s' * (self.trainings > 1)}" if self.trainings else ""
        left = show_time(float(f"{max(1.0, _START_S + self.seconds / workers):.2g}"))
        return (
            f"{self.trials} trials: {self.evaluations} evaluations of {self.evaluation_s:.2g} s each{trainings}; "
            f"about {left} on {workers} worker{'s' * (workers > 1)}{self.untimed}"
        )


def estimate(trials: Sequence[Trial], made: Fingerprints) -> Estimate:
    """Time an evaluation with each recalibration and each number of input slices, some training steps, and add up what all will
    take."""
    workshop, first = made.workshop, trials[0].config
    timed: dict[tuple[object, ...], tuple[float, float]] = {}
    evaluations, seconds, evaluating = 0, 0.0, 0.0
    for trial in trials:
        config = trial.config  # no other network is run here, in the process of the user: it may be what dies
        hw = config.hardware if config.network == first.network else first.hardware
        key = config.evaluation.recalibrate, len(hw.dac.slices()), hw.adc.unipolar  # what makes products slower
        if key not in timed:
            update = {"evaluation": config.evaluation, "hardware": hw}
            timed[key] = _times(first.model_copy(update=update), workshop)
        converted, one = timed[key]
        passes = config.chips * len(config.ages)
        evaluations, evaluating, seconds = evaluations + passes, evaluating + passes * one, seconds + converted
    seconds += evaluating
    steps: dict[str, float] = {}
    jobs = [job for job in jobs_of(trials) if job.kind != "trial"]
    for each in jobs:
        config = Config.parse(each.config)
        stage = config.training if each.kind == "training" else config.pretraining
        assert stage is not None
        stage_key = f"{each.kind} {config.network} {stage.batch} {stage.accumulate} {stage.data}"
        if stage_key not in steps:
            begun = time.perf_counter()
            with suppress(Exception):  # of levels that cannot be trained, which the proof has told
                made.anew(each.kind, config)
            steps[stage_key] = (time.perf_counter() - begun) / STEPS
        samples = length(workshop.data(stage.data, config.contents).labels)
        seconds += stage.epochs * math.ceil(samples / (stage.batch * stage.accumulate)) * steps[stage_key]
    networks = len({trial.config.network for trial in trials})
    untimed = f", if the {networks} networks are as fast as the first" if networks > 1 else ""
    return Estimate(len(trials), len(jobs), evaluations, evaluating / evaluations, seconds, untimed)


def _times(config: Config, workshop: Workshop) -> tuple[float, float]:
    """Seconds of converting a network, and of evaluating one chip at one age, recalibration included."""
    begun = time.perf_counter()
    job = chip_job(untrained(config), workshop)
    converted = time.perf_counter() - begun
    begun = time.perf_counter()
    job((0, config.ages[:1]))
    return converted, time.perf_counter() - begun

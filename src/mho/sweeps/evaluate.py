"""What a trial measures: every chip at every age, as rows."""

from __future__ import annotations

from typing import Any

from mho.measure import Measurement
from mho.measure.chip_job import ChipJob
from mho.sweeps.config import Config
from mho.sweeps.workshop import Workshop

Row = dict[str, Any]


def evaluate(config: Config, workshop: Workshop) -> list[Row]:
    """Rows of a trial, that of the digital network (chip -1) first; the same numbers as `mho.drift` has."""
    job = ChipJob(workshop.converted(config), workshop.test(config), config.chip_seed, fusion=workshop.fusion(config))
    measured = [m for chip in range(config.chips) for m in job((chip, config.ages))]
    return [row(m) for m in (workshop.reference(config), *measured)]


def row(measured: Measurement) -> Row:
    """A measurement without its samples; `score` is the mean of the task's headline, `scores` the means of its others."""
    return {
        "chip": measured.chip, "age_s": measured.age_s, "samples": measured.samples, "score": measured.mean,
        "loss": measured.loss, "scores": measured.scores,
    }  # fmt: skip

"""What a trial measures: every chip at every age, as rows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from mho.measure import Measurement
from mho.measure.chip_job import ChipJob
from mho.recalibration import RECALIBRATIONS
from mho.sweeps.config import Config
from mho.sweeps.workshop import Workshop

Row = dict[str, Any]


def evaluate(config: Config, workshop: Workshop) -> list[Row]:
    """Rows of a trial, that of the digital network (chip -1) first; the same numbers as `mho.drift` has."""
    job = chip_job(config, workshop)
    measured = [m for chip in range(config.chips) for m in job((chip, config.ages))]
    return [row(m) for m in (workshop.reference(config), *measured)]


def chip_job(config: Config, workshop: Workshop, calibration: Iterable[Any] | None = None) -> ChipJob:
    """How a trial measures one chip.

    Args:
        config: The trial.
        workshop: Makes its network and data.
        calibration: What recalibrations see; by default the data that ranges are set from.
    """
    net, told = workshop.converted(config), config.evaluation
    inputs = calibration or workshop.data(config.calibration_data, config.contents)
    recalibrations = tuple(RECALIBRATIONS.find(kind).of(inputs, net) for kind in told.recalibrate)
    fusion = None if recalibrations else workshop.fusion(config)
    programmed = partial(workshop.chip, config)
    return ChipJob(net, workshop.test(config), config.chip_seed, recalibrations, told.refresh_s, fusion, programmed)


def row(measured: Measurement) -> Row:
    """A measurement without its samples; `score` is the mean of the task's headline, `scores` the means of its others."""
    return {
        "chip": measured.chip, "age_s": measured.age_s, "samples": measured.samples, "score": measured.mean,
        "loss": measured.loss, "scores": measured.scores,
    }  # fmt: skip

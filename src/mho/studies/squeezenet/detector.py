"""`Detector`: a network with one answer, yes or no, on aged chips, as plain rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import mho
from mho.calibration import ranges_of
from mho.chip.fuse import Fusion
from mho.data import Dataset
from mho.hardware import Hardware
from mho.measure import TestData
from mho.measure.chip_job import ChipJob
from mho.nn.calling import call
from mho.nn.modes import evaluating
from mho.recalibration import RECALIBRATIONS, Recalibration
from mho.rng import reads
from mho.statistics.detection import detection
from mho.units import seconds

METRICS = ("loss", "accuracy", "balanced", "auc", "f1", "positive")
AGES = ("0 s", "60 s", "1 h", "1 day", "1 month", "6 months", "1 year")
COMPENSATIONS: Mapping[str, Mapping[str, Any]] = {
    "none": {"kind": "none"},
    "GDC": {"kind": "global"},
    "exact GDC": {"kind": "global", "readout": "exact"},
    "recalibrated": {"kind": "global"},
}
"""GDC: one factor an array, read through its noise and converters; exact: of the conductances themselves. recalibrated: GDC, then
statistics of the norms and the threshold from inputs without labels, on the aged chip."""
_DIGITS = 5


@dataclass(frozen=True)
class Detector:
    """A network and its data, to be put on chips.

    Attributes:
        model: Digital; its output is a logit (N, 1), or scores (N, 2).
        calibration: Sets ranges and recalibrates; labels are never looked at.
        test: What is measured on.
        images: Test images that each chip sees: chip i those from i · images on.
        chips: Their number.
        threshold: Recalibration of the decision.
    """

    model: nn.Module
    calibration: Dataset
    test: Dataset
    images: int
    chips: int
    threshold: str = "threshold"

    def digital(self) -> dict[str, Any]:
        """The row of the network itself, on all images that chips see."""
        data = self.test.subset(self.images * self.chips)
        with torch.no_grad(), evaluating(self.model):
            z = torch.cat([_logit(call(self.model, x)) for x, _ in data])
        share = _share(data.labels)
        return {"compensation": "digital", "images": len(z), "share": share, **_lists([_measures(z, data.labels)])}

    def on(
        self, hw: Hardware, compensations: Sequence[str], ages: Sequence[str] = AGES, chips: Sequence[int] | None = None
    ) -> Iterator[dict[str, Any]]:
        """One row for each compensation and chip; metrics are lists over the ages, "share" is that of positives among the labels.

        Args:
            hw: The chip, but for its compensation. Ranges are set once for all compensations.
            compensations: Names of `COMPENSATIONS`.
            ages: When it is measured.
            chips: Numbers of the chips; a chip beyond `self.chips` sees the images of another.
        """
        example = self.test.inputs[:2]
        ranges = ranges_of(mho.calibrate(mho.to_analog(self.model, hw, example=example), self.calibration))
        times = tuple(seconds(age) for age in ages)
        for name in compensations:
            net = mho.to_analog(self.model, hw.replace(compensation=dict(COMPENSATIONS[name])), example=example)
            net.load_state_dict(ranges, strict=False)
            mend = self._recalibrations(net) if name == "recalibrated" else ()
            job = ChipJob(net, TestData.of(self.test.subset(1)), 0, mend, None, None if mend else Fusion.of(net))
            for chip in range(self.chips) if chips is None else chips:
                first = chip % self.chips * self.images
                x, y = self.test.inputs[first : first + self.images], self.test.labels[first : first + self.images]
                found = [_measures(self._answers(aged, x, chip), y) for _, aged in job.aged(chip, times)]
                row = {"compensation": name, "chip": chip, "images": len(y), "share": _share(y), "ages_s": list(times)}
                yield {**row, **_lists(found)}

    def _answers(self, net: nn.Module, x: Tensor, chip: int) -> Tensor:
        with torch.no_grad(), evaluating(net), reads("read", 0, chip, 0):
            return torch.cat([_logit(call(net, some)) for some in x.split(self.test.batch)])

    def _recalibrations(self, net: nn.Module) -> tuple[Recalibration, ...]:
        match = {"match": "rate"} if self.threshold == "output" else {}
        return (
            RECALIBRATIONS.find("norms").of(self.calibration, net),
            RECALIBRATIONS.find(self.threshold).of(self.calibration, net, **match),
        )


def _logit(y: Tensor) -> Tensor:
    """log p/(1 - p) of class 1, (N,)."""
    return y[:, 1] - y[:, 0] if y.dim() == 2 and y.shape[1] == 2 else y.flatten()


def _share(labels: Tensor) -> float:
    return round(float(labels.double().mean()), _DIGITS)


def _measures(z: Tensor, labels: Tensor) -> dict[str, float]:
    return asdict(detection(z.double().numpy(), labels.numpy()))


def _lists(found: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """One list a metric, rounded: more digits than the images carry."""
    return {name: [float(np.format_float_positional(one[name], _DIGITS, unique=False, fractional=False)) for one in found]
            for name in METRICS}  # fmt: skip

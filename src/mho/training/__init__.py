"""Making a network ready for its chip: hardware-aware training, calibration of the converters' ranges."""

from mho.training.bit_errors import bit_errors
from mho.training.calibration import calibrate, ranges_of, save_ranges
from mho.training.clip import Clip
from mho.training.fit import FitResult, fit
from mho.training.hwa import HWA
from mho.training.injections import Discretise, DropConnect, Gaussian, Injection, Programming
from mho.training.loader import shuffled
from mho.training.losses import Distillation, loss_for
from mho.training.plain import train
from mho.training.range_report import LayerRanges, range_report
from mho.training.ranking import rank_weights
from mho.training.recalibration import (
    RecalibrateAffine,
    RecalibrateNorms,
    RecalibrateOutput,
    RecalibrateThreshold,
    Recalibration,
)
from mho.training.schedule import Schedule
from mho.training.session import Session

__all__ = [
    "HWA",
    "Clip",
    "Discretise",
    "Distillation",
    "DropConnect",
    "FitResult",
    "Gaussian",
    "Injection",
    "LayerRanges",
    "Programming",
    "RecalibrateAffine",
    "RecalibrateNorms",
    "RecalibrateOutput",
    "RecalibrateThreshold",
    "Recalibration",
    "Schedule",
    "Session",
    "bit_errors",
    "calibrate",
    "fit",
    "loss_for",
    "range_report",
    "ranges_of",
    "rank_weights",
    "save_ranges",
    "shuffled",
    "train",
]

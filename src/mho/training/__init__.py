"""Making a network ready for its chip: calibration, hardware-aware training, and recalibration as the chip ages."""

from mho.training.calibration import LayerRanges, bit_errors, calibrate, range_report, ranges_of, save_ranges
from mho.training.clip import Clip
from mho.training.hwa import HWA
from mho.training.injections import Discretise, DropConnect, Gaussian, Injection, Programming
from mho.training.loop import Distillation, FitResult, fit, loss_for, shuffled
from mho.training.plain import train
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

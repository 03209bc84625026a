"""Making a network ready for its chip: hardware-aware training, calibration of the converters' ranges."""

from mho.training.calibration import calibrate
from mho.training.clip import Clip
from mho.training.fit import FitResult, fit
from mho.training.hwa import HWA
from mho.training.injections import Discretise, DropConnect, Gaussian, Injection, Programming
from mho.training.losses import Distillation, loss_for
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
    "Programming",
    "RecalibrateAffine",
    "RecalibrateNorms",
    "RecalibrateOutput",
    "RecalibrateThreshold",
    "Recalibration",
    "Schedule",
    "Session",
    "calibrate",
    "fit",
    "loss_for",
    "rank_weights",
    "train",
]

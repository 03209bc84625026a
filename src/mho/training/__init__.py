"""Making a network ready for its chip: hardware-aware training, calibration of the converters' ranges."""

from mho.training.calibration import calibrate
from mho.training.clip import Clip
from mho.training.hwa import HWA
from mho.training.injections import Discretise, DropConnect, Gaussian, Injection, Programming
from mho.training.plain import train
from mho.training.schedule import Schedule
from mho.training.session import Session

__all__ = [
    "HWA",
    "Clip",
    "Discretise",
    "DropConnect",
    "Gaussian",
    "Injection",
    "Programming",
    "Schedule",
    "Session",
    "calibrate",
    "train",
]

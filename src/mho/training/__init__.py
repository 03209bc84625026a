"""Making a network ready for its chip: calibration of the converters' ranges, and a plain training loop."""

from mho.training.calibration import calibrate
from mho.training.plain import train

__all__ = ["calibrate", "train"]

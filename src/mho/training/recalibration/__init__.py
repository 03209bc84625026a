"""Recalibration of an aged chip: what the digital side can mend after the arrays have drifted, cells untouched."""

from mho.training.recalibration.affine import RecalibrateAffine
from mho.training.recalibration.base import Recalibration, find, kinds
from mho.training.recalibration.norms import RecalibrateNorms
from mho.training.recalibration.output import RecalibrateOutput
from mho.training.recalibration.threshold import RecalibrateThreshold

__all__ = [
    "RecalibrateAffine", "RecalibrateNorms", "RecalibrateOutput", "RecalibrateThreshold", "Recalibration", "find",
    "kinds",
]  # fmt: skip

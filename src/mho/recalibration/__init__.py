"""Recalibration of an aged chip: what the digital side can mend after the arrays have drifted, cells untouched."""

from mho.recalibration.affine import RecalibrateAffine
from mho.recalibration.base import RECALIBRATIONS, Recalibration
from mho.recalibration.norms import RecalibrateNorms
from mho.recalibration.output import RecalibrateOutput
from mho.recalibration.reading import recalibrated
from mho.recalibration.threshold import RecalibrateThreshold

__all__ = [
    "RECALIBRATIONS", "RecalibrateAffine", "RecalibrateNorms", "RecalibrateOutput", "RecalibrateThreshold",
    "Recalibration", "recalibrated",
]  # fmt: skip

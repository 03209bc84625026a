"""The published studies, one file each: question, arms, run, tables, figures, checkable claims; `mho study` runs them.

A study of your own is a class that derives from `Study`, named under the entry point group ``mho.studies``.
"""

from mho.registry import Registry
from mho.studies.claim import Claim, Finding, above, below, both, every
from mho.studies.figure import Figure, Series, limit, points, reference
from mho.studies.outcome import Outcome, Results, show_level, show_points
from mho.studies.study import SCALES, Arm, Job, Scale, Study
from mho.studies.subject import Subject, subject
from mho.studies.table import Table

STUDIES: Registry[type[Study]] = Registry(
    "study",
    "mho.studies",
    {
        "drift": "mho.studies.drift:Drift",
        "hwa": "mho.studies.hwa:FineTuning",
        "ranges": "mho.studies.ranges:Ranges",
        "cost": "mho.studies.cost:Cost",
        "block-drop": "mho.studies.dropping.study:BlockDropStudy",
        "early-exits": "mho.studies.leaving.study:EarlyExits",
        "families": "mho.studies.families:Families",
        "squeezenet-drift": "mho.studies.squeezenet.study:SqueezeNetDrift",
        "noise-batchnorm": "mho.studies.noise.batchnorm:BatchNorms",
        "noise-and-hardware": "mho.studies.noise.hardware:HardwareStudy",
        "noise-architectures": "mho.studies.noise.architectures:Architectures",
        "noise-learning-rate": "mho.studies.noise.learning_rate:LearningRate",
        "noise-norm-type": "mho.studies.noise.norm_type:NormType",
        "cim-resnet": "mho.studies.cim_resnet.study:CimResNet",
    },
)

__all__ = [
    "SCALES", "STUDIES", "Arm", "Claim", "Figure", "Finding", "Job", "Outcome", "Results", "Scale", "Series", "Study",
    "Subject", "Table", "above", "below", "both", "every", "limit", "points", "reference", "show_level", "show_points", "subject",
]  # fmt: skip

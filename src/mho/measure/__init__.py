"""Monte Carlo over chips and ages: what is left of the accuracy, for how long, and how sure we are."""

from mho.measure.advice import Advice, advise
from mho.measure.bits import SmallestBits, smallest_bits
from mho.measure.curves import Lifetime, Yield, accuracy_at, lifetime, yield_at
from mho.measure.evaluate import TestData, accuracy, measure
from mho.measure.intervals import Interval, mean_interval, wilson_interval
from mho.measure.monte_carlo import Known, digital_measurement, drift
from mho.measure.paired import paired
from mho.measure.result import DriftResult
from mho.measure.sensitivity import sensitivity
from mho.measure.sensitivity_result import SensitivityResult
from mho.measure.split import VarianceSplit, variance_split
from mho.measure.summary import AgeSummary, ClassRecall
from mho.store.records import DataInfo, Measurement, RunHeader

__all__ = [
    "Advice",
    "AgeSummary",
    "ClassRecall",
    "DataInfo",
    "DriftResult",
    "Interval",
    "Known",
    "Lifetime",
    "Measurement",
    "RunHeader",
    "SensitivityResult",
    "SmallestBits",
    "TestData",
    "VarianceSplit",
    "Yield",
    "accuracy",
    "accuracy_at",
    "advise",
    "digital_measurement",
    "drift",
    "lifetime",
    "mean_interval",
    "measure",
    "paired",
    "sensitivity",
    "smallest_bits",
    "variance_split",
    "wilson_interval",
    "yield_at",
]  # fmt: skip

"""Monte Carlo over chips and ages: what is left of the accuracy, for how long, and how sure we are."""

from mho.measure.asked import Asked
from mho.measure.comparison import Comparison, compare
from mho.measure.evaluate import accuracy, measure
from mho.measure.monte_carlo import digital_measurement, drift
from mho.measure.paired import paired
from mho.measure.result import DriftResult
from mho.measure.sensitivity import sensitivity
from mho.measure.sensitivity_result import SensitivityResult
from mho.measure.summary import AgeSummary, ClassRecall
from mho.measure.test_data import TestData
from mho.store import DataInfo, Measurement, RunHeader

__all__ = [
    "AgeSummary", "Asked", "ClassRecall", "Comparison", "DataInfo", "DriftResult", "Measurement", "RunHeader",
    "SensitivityResult", "TestData", "accuracy", "compare", "digital_measurement", "drift", "measure", "paired", "sensitivity",
]  # fmt: skip

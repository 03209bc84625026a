"""Intervals, variance splits, lifetime and yield, from arrays of numbers alone."""

from mho.statistics.curves import Lifetime, Yield, accuracy_at, lifetime, yield_at
from mho.statistics.intervals import Interval, mean_interval, wilson_interval
from mho.statistics.split import VarianceSplit, variance_split

__all__ = [
    "Interval", "Lifetime", "VarianceSplit", "Yield", "accuracy_at", "lifetime", "mean_interval", "variance_split",
    "wilson_interval", "yield_at",
]  # fmt: skip

"""Ranges of the converters from data: quantiles, moving averages, least error; what they cost, and with how many bits."""

from mho.calibration.bit_errors import bit_errors
from mho.calibration.calibrate import arguments, calibrate, ranges_of, save_ranges
from mho.calibration.range_report import LayerRanges, range_report

__all__ = ["LayerRanges", "arguments", "bit_errors", "calibrate", "range_report", "ranges_of", "save_ranges"]

"""Ranges of the converters from data: quantiles, moving averages, least error; what they cost, and with how many bits."""

from mho.calibration.bit_errors import bit_errors
from mho.calibration.calibrate import calibrate, ranges_of
from mho.calibration.range_report import LayerRanges, range_report
from mho.calibration.ranges_file import check_ranges_file, hardware_of, load_ranges, save_ranges

__all__ = [
    "LayerRanges", "bit_errors", "calibrate", "check_ranges_file", "hardware_of", "load_ranges", "range_report",
    "ranges_of", "save_ranges",
]  # fmt: skip

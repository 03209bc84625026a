"""Devices from measurements: a cell, with intervals, from conductances that were programmed and read."""

from mho.fitting.fit import fit_device
from mho.fitting.measurements import Measurements
from mho.fitting.read_table import read_measurements
from mho.fitting.result import DeviceFit

__all__ = ["DeviceFit", "Measurements", "fit_device", "read_measurements"]

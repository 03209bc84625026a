"""The passes over activations that cost time: conversion at the rows, noise and conversion at the columns.

`reference.py` is the specification, in plain torch; it differentiates, traces and runs on every device. The fast CPU
kernels of `cpu.cpp` take over for dense float32 tensors that nothing traces or differentiates.
"""

from mho.kernels.dispatch import active, quantise, read_out
from mho.kernels.reference import add_noise

__all__ = ["active", "add_noise", "quantise", "read_out"]

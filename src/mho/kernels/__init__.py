"""The passes over activations that cost time: conversion at the rows, noise and conversion at the columns, and back.

`reference.py` is the specification, in plain torch; it differentiates, traces and runs on every device. The fast CPU
kernels in `cpp` take over for float32 tensors that nothing traces or differentiates.
"""

from mho.kernels.cpu_library import origin
from mho.kernels.dispatch import (
    active,
    decode,
    quantise,
    quantise_back,
    quantise_vectors,
    read_out,
    read_out_back,
    read_out_kept,
    read_out_vectors,
)
from mho.kernels.reference import Drop, Kept, add_noise

__all__ = [
    "Drop", "Kept", "active", "add_noise", "decode", "origin", "quantise", "quantise_back", "quantise_vectors",
    "read_out", "read_out_back", "read_out_kept", "read_out_vectors",
]  # fmt: skip

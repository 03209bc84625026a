"""What a chip *is*: frozen, versioned, validated descriptions with units. No tensors."""

from mho.hardware.definition import Definition
from mho.hardware.description import CELLS, COMPENSATIONS, ENCODINGS, Hardware
from mho.hardware.parts import Cell, Compensation, Encoding, Readouts, State
from mho.hardware.periphery import ADC, DAC, Array, IRDrop, Mapping, ProductNoise, WriteVerify
from mho.hardware.variation import Faults, Variation

__all__ = [
    "ADC",
    "CELLS",
    "COMPENSATIONS",
    "DAC",
    "ENCODINGS",
    "Array",
    "Cell",
    "Compensation",
    "Definition",
    "Encoding",
    "Faults",
    "Hardware",
    "IRDrop",
    "Mapping",
    "ProductNoise",
    "Readouts",
    "State",
    "Variation",
    "WriteVerify",
]  # fmt: skip

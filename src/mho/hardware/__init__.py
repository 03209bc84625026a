"""What a chip *is*: frozen, versioned, validated descriptions with units. No tensors."""

from mho.hardware.circuit import CIRCUITS, Circuit
from mho.hardware.definition import Definition
from mho.hardware.description import CELLS, COMPENSATIONS, ENCODINGS, Hardware
from mho.hardware.parts import Cell, Compensation, Correction, Encoding, Reading, Readout, Readouts, State
from mho.hardware.periphery import (
    ADC,
    DAC,
    Array,
    Columns,
    InputSlice,
    IRDrop,
    Mapping,
    ProductNoise,
    Wires,
    WriteVerify,
)
from mho.hardware.variation import Faults, Variation

__all__ = [
    "ADC",
    "CELLS",
    "CIRCUITS",
    "COMPENSATIONS",
    "DAC",
    "ENCODINGS",
    "Array",
    "Cell",
    "Circuit",
    "Columns",
    "Compensation",
    "Correction",
    "Definition",
    "Encoding",
    "Faults",
    "Hardware",
    "IRDrop",
    "InputSlice",
    "Mapping",
    "ProductNoise",
    "Reading",
    "Readout",
    "Readouts",
    "State",
    "Variation",
    "Wires",
    "WriteVerify",
]  # fmt: skip

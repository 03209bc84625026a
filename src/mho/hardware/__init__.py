"""What a chip *is*: frozen, versioned, validated descriptions with units. No tensors."""

from mho.hardware.definition import Definition
from mho.hardware.description import CELLS, ENCODINGS, REMEDIES, Hardware
from mho.hardware.parts import Cell, Encoding, Readouts, Remedy, State
from mho.hardware.periphery import ADC, DAC, Array, IRDrop, Mapping, ProductNoise, WriteVerify
from mho.hardware.variation import Faults, Variation

__all__ = [
    "ADC", "CELLS", "DAC", "ENCODINGS", "REMEDIES", "Array", "Cell", "Definition", "Encoding", "Faults", "Hardware",
    "IRDrop", "Mapping", "ProductNoise", "Readouts", "Remedy", "State", "Variation", "WriteVerify",
]  # fmt: skip

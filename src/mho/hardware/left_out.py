"""What a description leaves out, in words: what a real chip has and this one has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mho.hardware.parts import Cell

if TYPE_CHECKING:
    from mho.hardware.description import Hardware

NEVER = "temperature, offsets and nonlinearity of converters"
"""What no description has, but for errors of the output converters (`adc.circuit`) and of what reads them (`columns`)."""


def left_out(hw: Hardware) -> list[str]:
    """Non-idealities that this hardware could have and has not, in the order of the signal."""
    cell, found = hw.cell, []
    kind = type(cell)
    if cell.kind == "ideal":
        found += ["programming noise"]
    for name, words in (("programming_noise", "programming noise"), ("drift", "drift"), ("read_noise", "read noise")):
        if getattr(cell, name, None) == 0.0:
            found.append(words)
    if kind.age is Cell.age:
        found.append("drift")
    if kind.read is Cell.read:
        found.append("read noise")
    faults = [] if hw.faults else ["stuck cells"]
    wires = [] if hw.ir_drop.scale or hw.wires else ["IR drop"]
    dac = ["input converters"] if hw.dac.half_steps is None else []
    noise = [] if hw.noise.output else ["output noise"]
    adc = ["output converters"] if hw.adc.half_steps is None else []
    return [*dict.fromkeys(found), *faults, *wires, *dac, *noise, *adc]


def leaves_out(hw: Hardware) -> str:
    """The first line of a description: ``Leaves out: stuck cells, IR drop; temperature, …``."""
    has_offset = hw.adc.circuit is not None or hw.columns.offset
    has_curve = hw.adc.circuit is not None or hw.columns.nonlinearity
    parts = [] if has_offset else ["offsets"]
    parts += [] if has_curve else ["nonlinearity"]
    outputs = f"{' and '.join(parts)} of converters" if parts else "offsets and nonlinearity of input converters"
    never = NEVER if len(parts) == 2 else f"temperature, {outputs}"
    return f"Leaves out: {'; '.join(filter(None, [', '.join(left_out(hw)), never, *hw.beyond]))}"

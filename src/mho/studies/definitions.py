"""`Definition`: what the variation of conductances is a share of, on which cells, and when it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mho.hardware import Hardware

SLIDES = "NTU slides 2022"
SIGMAS = (0.0, 0.05, 0.1, 0.15, 0.2)
"""Those of the slides."""
_G_MAX = 166.6667
"""µS, of the preset 'neurosim-rram'."""
_OFFSET = {"kind": "bit_sliced", "bits": 8, "cell_bits": 4, "sign": "offset", "reference": "fixed_column"}
_ENCODINGS: dict[str, dict[str, Any]] = {
    "offset": _OFFSET,
    "noisy": {**_OFFSET, "reference": "column"},
    "twos": {**_OFFSET, "sign": "twos_complement"},
    "pair": {"kind": "bit_sliced", "bits": 8, "cell_bits": 4, "sign": "pair"},
    "whole": {"kind": "differential"},
}


@dataclass(frozen=True)
class Definition:
    """One meaning of "σ", with the cells that it acts on. Weights have 8 bits in two cells of 4 bits.

    Conductances that are drawn once a chip are cut at 0, below which there are none. Errors of the own conductance come there
    in less than one cell of a million for σ of 0.2; those of g_max or a level do in half of the cells that hold 0, and the
    labels say so.

    Attributes:
        label: In words.
        relative_to: What σ is a share of.
        sign: "offset": W + 128 in the cells, and a column of fixed resistors that holds 128; "noisy": that column is of cells
            like all others; "twos": two's complement; "pair": differential pairs; "whole": a pair of continuous cells.
        scale: Of the mapping.
        ratio: g_max over g_min; None: g_min is 0.
        redraw: When it is drawn; per conversion, inputs come bit by bit.
        bits: Of the ADC.
    """

    label: str
    relative_to: str
    sign: Literal["offset", "noisy", "twos", "pair", "whole"] = "offset"
    scale: Literal["column", "tensor"] = "column"
    ratio: float | None = None
    redraw: Literal["program", "mvm", "conversion"] = "program"
    bits: int | None = None

    def hardware(self, sigma: float, *, bits: int | None = None, rows: int = 128) -> Hardware:
        """The chip of a σ.

        Args:
            sigma: Size of the variation.
            bits: Of the ADC, where it is not the definition's.
            rows: Of an array.
        """
        g_min = 0.0 if self.ratio is None else _G_MAX / self.ratio
        cells = self.redraw == "program" and not self.relative_to.startswith("weight")
        varied = {
            "sigma": sigma, "relative_to": self.relative_to, "redraw": self.redraw, "clip": "positive" if cells else "none",
        }  # fmt: skip
        return Hardware.preset("neurosim-rram").replace(
            cell={"kind": "ideal", "g_min_us": g_min, "g_max_us": _G_MAX, "levels": None if self.sign == "whole" else 16},
            encoding=_ENCODINGS[self.sign], mapping={"scale": self.scale}, array={"rows": rows, "cols": 128},
            dac={"bits": 9, "slice_bits": 1 if self.redraw == "conversion" else None},
            adc={"bits": bits or self.bits, "range": "calibrated"}, variations=[varied] if sigma else [],
        )  # fmt: skip


_IDEAL = "of the cell's own conductance"
DEFINITIONS: Mapping[str, Definition] = {
    "ideal": Definition(f"offset, {_IDEAL}", "ideal", bits=10),
    "ideal-tensor": Definition(f"offset, {_IDEAL}, one scale a layer", "ideal", scale="tensor", bits=10),
    "pair": Definition(f"pairs, {_IDEAL}", "ideal", "pair", bits=10),
    "gmax": Definition("offset, of g_max, cut at 0", "gmax"),
    "weight-max": Definition("no cells, of the largest weight", "weight_max"),
    "level": Definition("offset, of one level, cut at 0", "level"),
    "pair-gmax": Definition("pairs, of g_max, cut at 0", "gmax", "pair"),
    "ideal-ratio": Definition(f"offset, {_IDEAL}, on/off 10", "ideal", ratio=10.0),
    "pair-ratio": Definition(f"pairs, {_IDEAL}, on/off 10", "ideal", "pair", ratio=10.0),
    "weight": Definition("no cells, of each weight", "ideal", "whole"),
    "weight-std": Definition("no cells, of the weights' deviation", "weight_std"),
    "product": Definition(f"offset, {_IDEAL}, drawn for each product", "ideal", redraw="mvm"),
    "ideal-free": Definition(f"offset, {_IDEAL}, ideal converters", "ideal"),
    "noisy": Definition(f"offset by a column of cells, {_IDEAL}", "ideal", "noisy"),
    "twos": Definition(f"two's complement, {_IDEAL}", "ideal", "twos"),
    "ideal-tensor-ratio": Definition(f"offset, {_IDEAL}, one scale a layer, on/off 10", "ideal", scale="tensor", ratio=10.0),
    "bits": Definition(f"offset, {_IDEAL}, drawn for each input bit", "ideal", redraw="conversion"),
    "bits-tensor": Definition(f"offset, {_IDEAL}, one scale a layer, drawn for each input bit", "ideal", scale="tensor",
                              redraw="conversion"),
    "bits-tensor-ratio": Definition(f"offset, {_IDEAL}, one scale a layer, on/off 10, drawn for each input bit", "ideal",
                                    scale="tensor", ratio=10.0, redraw="conversion"),
}  # fmt: skip
"""Those of `peers` on which depth is asked first. σ of the range of a cell is that of g_max where g_min is 0; σ per read is that
per program where each chip is read once."""
MAIN = ("ideal", "ideal-tensor", "pair")
"""What networks that were trained are measured under."""
ONCE = ("noisy", "twos", "ideal-tensor-ratio", "bits", "bits-tensor", "bits-tensor-ratio")
"""For one depth alone."""

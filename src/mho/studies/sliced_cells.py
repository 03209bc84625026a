"""`sliced_cells`: the hardware of the NTU slides, over the spread σ of a cell."""

from __future__ import annotations

from typing import Any

from mho.hardware import Hardware

SLIDES = "Early-exit study of the NTU slides, 2022"
SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2)
"""Those of the slides, and a smaller one: networks that were not trained for such cells are at chance from 0.1 on."""


def sliced_cells(sigma: float, *, redraw: str = "program") -> Hardware:
    """8-bit weights in two cells of 4 bits, converters of 10 bits; each cell off by σ of its own conductance.

    Args:
        sigma: Standard deviation of a cell, as a share of its ideal conductance.
        redraw: When it is drawn: ``program`` (once a chip) or ``conversion`` (for every batch, as the tool of the slides does).
    """
    settings: dict[str, Any] = {
        "encoding.cell_bits": 4, "cell.levels": 16, "adc.bits": 10, "array.rows": 128, "dac.slice_bits": None,
    }  # fmt: skip
    hw = Hardware.preset("neurosim-rram", **settings)
    return hw.replace(variations=[{"sigma": sigma, "relative_to": "ideal", "redraw": redraw}]) if sigma else hw

"""What a σ means: its reference, its distribution, and when it is drawn again. Reports print these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Definition:
    """One random quantity of the hardware, in words that leave nothing open.

    Attributes:
        quantity: What fluctuates, e.g. "programmed conductance".
        sigma: The size, as text with its formula or value and unit.
        reference: What the size is relative to, or "absolute".
        distribution: normal, uniform, lognormal …
        redraw: "program" (once per chip), "read" (once per evaluation), "mvm" (each product), "conversion"
            (each conversion of a batch).
        source: Paper and equation.
    """

    quantity: str
    sigma: str
    reference: str
    distribution: str
    redraw: str
    source: str = ""

    def __str__(self) -> str:
        reference = self.reference if self.reference.startswith("absolute") else f"relative to {self.reference}"
        text = f"{self.quantity}: σ = {self.sigma}, {reference}, {self.distribution}, drawn per {self.redraw}"
        return f"{text} [{self.source}]" if self.source else text

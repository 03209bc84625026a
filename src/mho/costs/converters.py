"""What one analog-to-digital conversion costs: a regression over published converters, a figure of merit, a published block."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

from pydantic import Field, model_validator

from mho.costs.scaling import area_factor, energy_factor
from mho.errors import WrongSetting
from mho.hardware.spec import Spec
from mho.registry import Registry


class Converter(Spec, ABC):
    """What one conversion takes."""

    kind: str
    source: str = Field(min_length=1)
    """Where its numbers come from."""
    ours: bool = False
    """True: an estimate of this project, not a published number."""

    @abstractmethod
    def energy_pj(self, bits: float, node_nm: float, rate_hz: float) -> float:
        """Energy of a conversion, pJ.

        Args:
            bits: log2 of the number of its codes (rounded up to a power of two).
            node_nm: Technology.
            rate_hz: Conversions a second.
        """

    @abstractmethod
    def area_um2(self, bits: float, node_nm: float, rate_hz: float) -> float | None:
        """Area of one converter, µm²; None where nothing is known."""


class Survey(Converter):
    """Lower envelope of Murmann's survey of published converters: about the best that has been built, so optimistic.

    SNDR = 6.02 b + 1.76; FOM = min(213.78 - 2.872 ln f, 128.31 + 3.2205 ⌈b⌉) dB; E = ½ · 10^((SNDR - FOM)/10) ·
    exp(26.05 + 1.880 ln(node) - 2.829 ln b - 1.470) pJ; A = exp(1.346 + 0.993 ln(node) + 0.181 ln f + 0.299 ln E) µm².
    It knows 4 bits and more; fewer cost as 4.

    References:
        Andrulis, Chen, Lee, Emer, Sze, arXiv 2404.06553; coefficients of hwcomponents-adc (MIT).
    """

    kind: Literal["survey"] = "survey"
    source: str = (
        "Andrulis et al., arXiv 2404.06553: regression over Murmann's survey; coefficients of hwcomponents-adc (MIT)"
    )

    def energy_pj(self, bits: float, node_nm: float, rate_hz: float) -> float:
        """By the regression."""
        b = max(bits, 4.0)
        merit = min(213.78067 - 2.8719030 * math.log(rate_hz), 128.30683 + 3.2205105 * math.ceil(b))
        spread = math.exp(26.0496216 + 1.8800369 * math.log(node_nm) - 2.8291256 * math.log(b) - 1.4702022)
        return 0.5 * 10 ** ((6.02 * b + 1.76 - merit) / 10) * spread

    def area_um2(self, bits: float, node_nm: float, rate_hz: float) -> float:
        """By the regression."""
        energy = self.energy_pj(bits, node_nm, rate_hz)
        return math.exp(
            1.3461916 + 0.9932795 * math.log(node_nm) + 0.1807154 * math.log(rate_hz) + 0.2991243 * math.log(energy)
        )


class FigureOfMerit(Converter):
    """Walden's E = FoM · 2^b, or Schreier's E = ½ · 10^((SNDR - FoM)/10) J with SNDR = 6.02 b + 1.76 dB."""

    kind: Literal["figure_of_merit"] = "figure_of_merit"
    walden_fj: float | None = Field(default=None, gt=0)
    """fJ for each step of the conversion."""
    schreier_db: float | None = Field(default=None, gt=0)
    """dB; 160 to 185 for published converters."""
    area: float | None = Field(default=None, ge=0)
    """µm² of one converter, at any resolution."""

    @model_validator(mode="after")
    def _one(self) -> FigureOfMerit:
        if (self.walden_fj is None) == (self.schreier_db is None):
            raise WrongSetting("a figure of merit is Walden's or Schreier's", "give walden_fj or schreier_db")
        return self

    def energy_pj(self, bits: float, node_nm: float, rate_hz: float) -> float:
        """By the figure of merit; the node does not enter."""
        if self.walden_fj is not None:
            return self.walden_fj * 2**bits * 1e-3
        assert self.schreier_db is not None
        return 0.5e12 * 10 ** ((6.02 * bits + 1.76 - self.schreier_db) / 10)

    def area_um2(self, bits: float, node_nm: float, rate_hz: float) -> float | None:
        """As given."""
        return self.area


class Block(Converter):
    """A published converter; other resolutions by `per_bit`, other nodes as digital circuits."""

    kind: Literal["block"] = "block"
    bits: float = Field(gt=0)
    """Its resolution."""
    energy: float = Field(ge=0)
    """pJ of a conversion at that resolution."""
    area: float | None = Field(default=None, ge=0)
    """µm², or None where nothing is published."""
    node_nm: float = Field(gt=0)
    """Node at which that was published."""
    per_bit: Literal["linear", "double"] = "linear"
    """What another bit does: energy in proportion to the bits (a cycle of a successive approximation), or twice for each."""

    def energy_pj(self, bits: float, node_nm: float, rate_hz: float) -> float:
        """Scaled from the published one."""
        factor = bits / self.bits if self.per_bit == "linear" else 2 ** (bits - self.bits)
        return self.energy * factor * energy_factor(self.node_nm, node_nm)

    def area_um2(self, bits: float, node_nm: float, rate_hz: float) -> float | None:
        """Scaled from the published one's node; resolutions are not scaled."""
        return None if self.area is None else self.area * area_factor(self.node_nm, node_nm)


CONVERTERS: Registry[type[Converter]] = Registry(
    "converter model",
    "mho.converters",
    {
        "survey": "mho.costs.converters:Survey",
        "figure_of_merit": "mho.costs.converters:FigureOfMerit",
        "block": "mho.costs.converters:Block",
    },
)

"""Phase-change memory: the statistical model of a million doped-GST mushroom cells (Nandakumar 2019, Joshi 2020)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from mho.devices.phase_change import PhaseChangeCell
from mho.errors import WrongSetting
from mho.hardware.definition import Definition

PROGRAMMING_US = (0.26348, 1.9650, -1.1731)
"""σ of programming in µS at g_max = 25 µS, ascending powers of r = g_target / g_max."""
SOURCE = "Nandakumar et al., ICECS 2019; Joshi et al., Nat. Commun. 2020"


class PCM(PhaseChangeCell):
    """The laws of `PhaseChangeCell` with

    σ_p = (0.26348 + 1.9650 r - 1.1731 r²) µS · g_max / 25 µS,
    μ_ν = clip(-0.0155 ln r + 0.0244, 0.049, 0.1), σ_ν = clip(-0.0125 ln r - 0.0059, 0.008, 0.045),
    Q = min(0.0088 / r^0.65, 0.2), where AIHWKit's documentation puts the target's r and its code, as here, the
    programmed conductance's. Fitted for 0 to 25 µS at room temperature over days; later ages continue the power law.
    """

    kind: Literal["pcm"] = "pcm"
    g_max_us: float = 25.0
    """Conductance of the highest state, µS; σ_p scales with it."""
    t0_s: float = Field(default=20.0, gt=0)
    """Time between programming and the first reading, s; ages count from there."""
    t_read_s: float = Field(default=250e-9, gt=0)
    """Duration of a reading, s."""
    nu: float | None = Field(default=None, ge=0)
    """Mean drift exponent of all cells, instead of the statistics."""
    nu_std: float = Field(default=0.0, ge=0)
    """Spread of `nu`."""

    @model_validator(mode="after")
    def _spread_has_a_mean(self) -> PCM:
        if self.nu is None and self.nu_std:
            raise WrongSetting(f"nu_std = {self.nu_std:g} is the spread of nu, which is not given", "set nu too")
        return self

    def sigma_programming_us(self, r: Tensor) -> Tensor:
        """Quadratic in r, scaled with the range."""
        a, b, c = PROGRAMMING_US
        return (a + r * (b + r * c)) * (self.g_max_us / 25.0)

    def nu_statistics(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """Of the fit, or `nu` and `nu_std`."""
        if self.nu is not None:
            return torch.full_like(r, self.nu), torch.full_like(r, self.nu_std)
        log_r = r.clamp(min=1e-7).log()
        return (-0.0155 * log_r + 0.0244).clamp(0.049, 0.1), (-0.0125 * log_r - 0.0059).clamp(0.008, 0.045)

    def reading(self, r: Tensor) -> Tensor:
        """A power of r, at most 0.2."""
        return (0.0088 / (r**0.65).clamp(min=1e-3)).clamp(max=0.2)

    def definitions(self) -> list[Definition]:
        """The three laws that are on."""
        found = []
        if self.programming_noise:
            found.append(Definition("programmed conductance", f"{self.programming_noise:g}·(0.26 + 1.97 r - 1.17 r²) µS",
                                    "absolute, r = g/g_max", "normal, cut at 0", "program", SOURCE))  # fmt: skip
        if self.drift and (self.nu is None or self.nu_std):
            size = "clip(-0.0125 ln r - 0.0059, 0.008, 0.045)" if self.nu is None else f"{self.nu_std:g}"
            size = size if self.drift == 1 else f"{self.drift:g}·{size}"
            found.append(Definition("drift exponent ν", size, "absolute", "folded normal", "program", SOURCE))
        if self.read_noise:
            found.append(Definition("conductance at reading", f"{self.read_noise:g}·Q·sqrt(ln((t + t₀ + t_r)/2t_r))",
                                    "the drifted conductance", "normal, cut at 0", "read", SOURCE))  # fmt: skip
        return found

"""What cells whose laws are written out as coefficients do alike: `switched_off`, `programmed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mho.devices.law import Law
from mho.errors import WrongSetting
from mho.rng import Stream

SOURCE = "fitted to measurements"


def switched_off(data: Any, switches: Mapping[str, tuple[str, ...]]) -> Any:
    """The fields of a cell, each factor 0 of which no law is given.

    Args:
        data: As pydantic takes it; what is no dictionary passes.
        switches: Each factor, and its laws.

    Raises:
        WrongSetting: A factor is given without a law.
    """
    if not isinstance(data, dict):
        return data
    data = dict(data)
    for factor, laws in switches.items():
        if all(data.get(law) is None for law in laws):
            if data.get(factor):
                raise WrongSetting(f"{factor} = {data[factor]:g} has no law", f"give '{laws[-1]}' too", path=factor)
            data[factor] = 0.0
    return data


def programmed(
    target: Tensor, r: Tensor, *, bias_us: Law | None, sigma_us: Law | None, factor: float, draw: Stream
) -> Tensor:
    """Programmed conductances, max(0, g_target + b(r) + f σ_p(r) ξ), µS, of the shape of `target`; σ_p counts as 0 where its
    formula is negative."""
    g = target if bias_us is None else target + bias_us(r)
    if factor and sigma_us is not None:
        g = g + factor * (sigma_us(r).clamp(min=0) * draw.normal("programming", target.shape, like=target))
    return g.clamp(min=0)

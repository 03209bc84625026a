"""The table of remedies: one line each."""

from __future__ import annotations

from collections.abc import Sequence

from mho.advice.effort import EFFORTS
from mho.advice.remedy import Remedy
from mho.registry import Registry

REMEDIES: Registry[type[Remedy]] = Registry(
    "remedy",
    "mho.remedies",
    {
        "ranges of least error": "mho.advice.settings:LeastError",
        "ranges at the 0.9999 quantile": "mho.advice.settings:Quantile9999",
        "ranges at the 0.999 quantile": "mho.advice.settings:Quantile999",
        "global compensation": "mho.advice.settings:GlobalCompensation",
        "global compensation, exact reading": "mho.advice.settings:ExactCompensation",
        "compensation per column": "mho.advice.settings:ColumnCompensation",
        "norm recalibration": "mho.advice.aftercare:Norms",
        "affine recalibration": "mho.advice.aftercare:Affine",
        "output recalibration": "mho.advice.aftercare:Output",
        "threshold recalibration": "mho.advice.aftercare:Threshold",
        "sensitive layers digital": "mho.advice.spending:Digital",
        "sensitive layers in more cells": "mho.advice.spending:SomeCells",
        "all layers in two pairs": "mho.advice.spending:TwoPairs",
        "writes verified": "mho.advice.spending:Verified",
        "refresh": "mho.advice.spending:Refresh",
        "hardware-aware training": "mho.advice.learning:Labelled",
        "hardware-aware distillation": "mho.advice.learning:Distilled",
    },
)
"""Cheapest first."""


def table(effort: str = "full", chosen: Sequence[str | Remedy] | None = None) -> list[Remedy]:
    """The remedies to try at an effort, cheapest first.

    Args:
        effort: quick, normal or full.
        chosen: Names or remedies of your own instead; the effort then counts for nothing.
    """
    if chosen is not None:
        found = [REMEDIES.find(c)() if isinstance(c, str) else c for c in chosen]
    else:
        levels = list(EFFORTS)
        found = [
            c
            for c in (REMEDIES.find(name)() for name in REMEDIES.names())
            if levels.index(c.least) <= levels.index(effort)
        ]
    return sorted(found, key=lambda c: c.tier)

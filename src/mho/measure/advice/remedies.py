"""The table of countermeasures: one line each."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib.metadata import entry_points

from mho.errors import WrongSetting
from mho.measure.advice.case import EFFORTS
from mho.measure.advice.countermeasure import Countermeasure

GROUP = "mho.advice"
_HERE = "mho.measure.advice"
_TABLE = {
    "ranges of least error": f"{_HERE}.settings:LeastError",
    "ranges at the 0.9999 quantile": f"{_HERE}.settings:Quantile9999",
    "ranges at the 0.999 quantile": f"{_HERE}.settings:Quantile999",
    "global compensation": f"{_HERE}.settings:GlobalCompensation",
    "global compensation, exact reading": f"{_HERE}.settings:ExactCompensation",
    "compensation per column": f"{_HERE}.settings:ColumnCompensation",
    "norm recalibration": f"{_HERE}.aftercare:Norms",
    "affine recalibration": f"{_HERE}.aftercare:Affine",
    "output recalibration": f"{_HERE}.aftercare:Output",
    "threshold recalibration": f"{_HERE}.aftercare:Threshold",
    "sensitive layers digital": f"{_HERE}.spending:Digital",
    "sensitive layers in more cells": f"{_HERE}.spending:SomeCells",
    "all layers in two pairs": f"{_HERE}.spending:TwoPairs",
    "writes verified": f"{_HERE}.spending:Verified",
    "refresh": f"{_HERE}.spending:Refresh",
    "hardware-aware training": f"{_HERE}.learning:Labelled",
    "hardware-aware distillation": f"{_HERE}.learning:Distilled",
}
"""Name to ``module:Class``; cheapest first."""


def names() -> list[str]:
    """Every known countermeasure, built-in ones first."""
    return list(dict.fromkeys([*_TABLE, *(point.name for point in entry_points(group=GROUP))]))


def find(name: str) -> Countermeasure:
    """A countermeasure by name.

    Raises:
        WrongSetting: No such one.
    """
    if name in _TABLE:
        module, cls = _TABLE[name].split(":")
        return getattr(importlib.import_module(module), cls)()
    for point in entry_points(group=GROUP, name=name):
        return point.load()()
    raise WrongSetting(f"unknown countermeasure '{name}'", f"known: {', '.join(names())}", path="remedies")


def table(effort: str = "full", chosen: Sequence[str | Countermeasure] | None = None) -> list[Countermeasure]:
    """The countermeasures to try at an effort, cheapest first.

    Args:
        effort: quick, normal or full.
        chosen: Names or countermeasures of your own instead; the effort then counts for nothing.
    """
    if chosen is not None:
        found = [find(c) if isinstance(c, str) else c for c in chosen]
    else:
        levels = list(EFFORTS)
        found = [c for c in map(find, names()) if levels.index(c.least) <= levels.index(effort)]
    return sorted(found, key=lambda c: c.tier)

"""What a trial costs on the chip, besides what it scores. Another one is a function and an entry point of `mho.costs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from mho.nn import AnalogLayer
from mho.registry import Registry

Cost = Callable[[nn.Module], float]
"""Takes the converted network, with its hardware and its placement."""

COSTS: Registry[Cost] = Registry(
    "cost", "mho.costs", {"arrays": "mho.sweeps.costs:arrays", "cells": "mho.sweeps.costs:cells"}
)


def arrays(net: nn.Module) -> float:
    """Arrays that the network's matrices take."""
    return float(net.placement.arrays)  # type: ignore[union-attr,arg-type]


def cells(net: nn.Module) -> float:
    """Resistive cells that hold its weights, reference cells among them."""
    seen: dict[int, int] = {}
    for module in net.modules():
        for view in module.views() if isinstance(module, AnalogLayer) else ():
            scheme = view.matrix.scheme(view.weight, view.operator)
            plan, hw = scheme.plan, scheme.hw
            weights = torch.empty(plan.groups, plan.columns, plan.rows, device="meta")
            seen[id(view.matrix)] = sum(plane.numel() for plane in hw.encoding.encode(weights, hw.cell))
    return float(sum(seen.values()))


def costs_of(net: nn.Module, names: Iterable[str]) -> dict[str, float]:
    """Costs by name."""
    return {name: float(COSTS.find(name)(net)) for name in names}

"""What a trial costs on the chip, besides what it scores. Another one is a function and an entry point of `mho.costs`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from mho.costs import Cost as Inference
from mho.costs import cost_of_placement
from mho.nn import AnalogLayer
from mho.registry import Registry

Cost = Callable[[nn.Module], float]
"""Takes the converted network, with its hardware and its placement."""

COSTS: Registry[Cost] = Registry(
    "cost",
    "mho.costs",
    {name: f"mho.sweeps.costs:{name}" for name in ("arrays", "cells", "energy_pj", "latency_ns", "area_um2")},
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


def energy_pj(net: nn.Module) -> float:
    """pJ of an inference, of what is counted (`mho.costs.cost_of_placement`)."""
    return _inference(net).energy_pj


def latency_ns(net: nn.Module) -> float:
    """ns of an inference, layer after layer, without its digital part."""
    return _inference(net).latency_ns


def area_um2(net: nn.Module) -> float:
    """µm² of what is counted."""
    return _inference(net).area_um2


def _inference(net: nn.Module) -> Inference:
    placement: Any = net.placement
    return cost_of_placement(placement.rows(), placement.hardware, net=net)


def costs_of(net: nn.Module, names: Iterable[str]) -> dict[str, float]:
    """Costs by name."""
    return {name: float(COSTS.find(name)(net)) for name in names}

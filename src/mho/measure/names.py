"""What data and networks are called in reports where nobody gave them a name."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from mho.nn import AnalogLayer

_NAMELESS = (Subset, TensorDataset, ConcatDataset, IterableDataset)
_CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "GraphModule", "Module")


def name_of_data(data: Any, samples: int) -> str:
    """Its ``name``; the class of the data set behind a loader or a subset; else the number of samples.

    Example:
        >>> name_of_data([], 1797)
        '1,797 samples'
    """
    while isinstance(data, (DataLoader, Subset)):
        data = data.dataset
    named = getattr(data, "name", None)
    if isinstance(named, str) and named:
        return named
    if isinstance(data, Dataset) and not isinstance(data, _NAMELESS):
        return type(data).__name__
    return f"{samples:,} samples"


def name_of_network(net: nn.Module) -> str:
    """Its class, without the wrappers of torch; of a container of torch also the number of its weights."""
    for wrapper in ("_orig_mod", "module"):
        inner = getattr(net, wrapper, None)
        if isinstance(inner, nn.Module) and (wrapper == "_orig_mod" or "Parallel" in type(net).__name__):
            net = inner
    kind = net.digital_class if isinstance(net, AnalogLayer) else type(net)
    if kind.__name__ not in _CONTAINERS and not kind.__module__.startswith("torch."):
        return kind.__name__
    return f"{kind.__name__} of {sum(p.numel() for p in net.parameters()):,} weights"

"""`with_ranges`: networks that differ in σ alone share the ranges of their converters."""

from __future__ import annotations

from torch import nn

import mho
from mho.data import Dataset
from mho.hardware import Hardware


def with_ranges(model: nn.Module, hw: Hardware, ranged: nn.Module, ranges: Dataset) -> nn.Module:
    """A network on hardware whose converters have the ranges of another one; `ranges` gives an example of the inputs."""
    net = mho.to_analog(model, hw, example=ranges.inputs[:2])
    net.load_state_dict(ranged.state_dict())
    return net

"""What hardware the arrays of a network stand on, taken from the arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.hardware.label import differences
from mho.nn import AnalogMatrix
from mho.nn.layer import layer_paths
from mho.nn.matrix import matrices

_OF_THE_NETWORK = ("version", "name", "sources", "digital", "layers")


def hardware_in_place(net: nn.Module) -> Hardware:
    """The description of the arrays as they are: that of the network, and under `layers` what some layers have instead.

    A layer's hardware can be another than what the network was converted with (`SmallestBits.apply`); matrices of one layer
    that differ are named by their own paths.

    Raises:
        WrongSetting: The network has no arrays, or is one chip already.
    """
    arrays = matrices(net)
    if any(matrix.programmed for matrix in arrays):
        raise WrongSetting("this network is one chip already", "pass the network that to_analog returned")
    if not arrays:
        raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
    first = arrays[0].hw
    whole = getattr(getattr(net, "placement", None), "hardware", None) or first
    if not whole.layers and _alike(arrays):
        return first
    paths = layer_paths(net)
    if all(m.hw == whole.for_layer(paths[m.path]) for m in arrays):
        return whole
    if _alike(arrays):
        return first
    base = whole.replace(layers={})
    described = base.as_dict()
    found: dict[str, dict[str, Any]] = {}
    by_layer: dict[str, list[AnalogMatrix]] = {}
    for matrix in arrays:
        by_layer.setdefault(paths[matrix.path], []).append(matrix)
    for layer, held in by_layer.items():
        for path, hw in {(layer if _alike(held) else m.path): m.hw for m in held}.items():
            if changes := dict(differences(described, hw.as_dict(), without=_OF_THE_NETWORK)):
                found[path] = changes
    return base.replace(layers=found)


def _alike(some: Sequence[AnalogMatrix]) -> bool:
    first = some[0].hw
    return all(m.hw is first or m.hw == first for m in some)


def definitions_in_place(hw: Hardware) -> tuple[str, ...]:
    """What each σ means, for the network and then for the layers where something else is drawn."""
    whole = tuple(map(str, hw.definitions()))
    for pattern in hw.layers:
        of_layer = hw.for_layer(pattern).definitions()
        whole += tuple(f"{pattern}: {text}" for text in map(str, of_layer) if text not in whole)
    return whole

"""`program` and `Chip`: one chip, frozen at programming, as a network at any age."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from mho.crossbar import Arrays, program_arrays
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogLayer
from mho.nn.layer import MatrixView
from mho.rng import Stream
from mho.units import seconds


class Chip:
    """One programmed chip. Made by `program`.

    Conductances, drift exponents and faults are drawn once, from the address (seed, chip, layer, purpose), so the same
    seed gives the same chip whatever else is computed, and ages of one chip share its draws.

    Attributes:
        seed: Root seed.
        index: Number of the chip under that seed.
        arrays: The programmed arrays by the path of their matrix.
    """

    def __init__(self, net: nn.Module, seed: int, index: int, arrays: dict[str, Arrays]) -> None:
        self.seed, self.index, self.arrays = seed, index, arrays
        self._net = _copy(net)

    @torch.no_grad()
    def at(self, time: str | float, *, read: int = 0) -> nn.Module:
        """The network as this chip computes it at an age.

        Weights are computed here, once; the returned network keeps them. It is in eval mode; biases, norms and
        everything else digital are those at the time of programming.

        Args:
            time: Age since the end of programming: seconds, or a string such as "1 month".
            read: Number of the evaluation; another one sees another fluctuation of reading.

        Raises:
            WrongSetting: A time before programming, or not a time.
        """
        t_s = seconds(time)
        net = _copy(self._net)
        for view in (view for _, view in _matrices(net)):
            view.matrix.put(self.arrays[view.matrix.path].cells(t_s, read), like=view.weight.detach())
        return net.eval()

    def __repr__(self) -> str:
        return f"Chip(seed={self.seed}, index={self.index}, {len(self.arrays)} matrices)"


@torch.no_grad()
def program(net: nn.Module, seed: int = 0, *, chip: int = 0) -> Chip:
    """Program one simulated chip with the weights of a converted network.

    Args:
        net: What `to_analog` returned, calibrated where its converters need ranges.
        seed: Root seed.
        chip: Number of the chip; (seed, chip) is the same chip in any order and on any worker.

    Raises:
        WrongSetting: `net` was not converted, or is itself a chip's network.
        BadInput: Weights that cannot be programmed.
    """
    arrays: dict[str, Arrays] = {}
    root = Stream(("chip", seed, chip))
    for path, view in _matrices(net):
        if view.matrix.programmed() is not None:
            raise WrongSetting(
                "this network is a programmed chip already", "program the network that to_analog returned", path=path
            )
        hw: Hardware = view.matrix.hw
        arrays[view.matrix.path] = program_arrays(
            view.weight, view.operator, hw, root / view.matrix.path, view.matrix.adc_range, view.matrix.path
        )
    if not arrays:
        raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
    return Chip(net, seed, chip, arrays)


def _copy(net: nn.Module) -> nn.Module:
    """A copy that shares nothing but the digital form of the weights on arrays, which no chip reads."""
    read = {
        id(parameter)
        for module in net.modules()
        if not isinstance(module, AnalogLayer)
        for parameter in module.parameters(recurse=False)
    }
    unread: dict[int, Any] = {}
    for path, view in _matrices(net):
        parameter = getattr(net.get_submodule(path), view.parameter)
        if id(parameter) not in read:
            unread[id(parameter)] = parameter
    return copy.deepcopy(net, unread)


def _matrices(net: nn.Module) -> Iterator[tuple[str, MatrixView]]:
    for path, module in net.named_modules():
        if isinstance(module, AnalogLayer):
            for view in module.views():
                yield path, view

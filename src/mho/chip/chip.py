"""`program` and `Chip`: one chip, frozen at programming, as a network at any age."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mho.chip.arrays import Arrays, faults_of, program_arrays
from mho.errors import WrongSetting
from mho.given import network, whole
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
        cycle: How often it had been programmed before.
        arrays: The programmed arrays by the path of their matrix.
    """

    def __init__(self, net: nn.Module, seed: int, index: int, arrays: dict[str, Arrays], cycle: int = 0) -> None:
        self.seed, self.index, self.arrays, self.cycle = seed, index, arrays, cycle
        self._net = _copy(net)

    @torch.no_grad()
    def at(self, time: str | float, *, read: int = 0) -> nn.Module:
        """The network as this chip computes it at an age.

        Weights are computed here, once; the returned network keeps them. It is in eval mode; biases, norms and
        everything else digital are those at the time of programming.

        Args:
            time: Age since the end of (the latest) programming: seconds, or a string such as "1 month".
            read: Number of the evaluation; another one sees another fluctuation of reading.

        Raises:
            WrongSetting: A time before programming, or not a time.
        """
        t_s, read = seconds(time, "time"), whole(read, "read", least=0)
        net = _copy(self._net)
        for _, view in _matrices(net):
            arrays = self.arrays[view.matrix.path]
            view.matrix.source = arrays.source(t_s, read, view.operator, view.weight.detach())
        return net.eval()

    def __repr__(self) -> str:
        cycle = f", cycle={self.cycle}" if self.cycle else ""
        return f"Chip(seed={self.seed}, index={self.index}{cycle}, {len(self.arrays)} matrices)"


@torch.no_grad()
def program(net: nn.Module, seed: int = 0, *, chip: int = 0, cycle: int = 0) -> Chip:
    """Program one simulated chip with the weights of a converted network.

    Args:
        net: What `to_analog` returned, calibrated where its converters need ranges.
        seed: Root seed.
        chip: Number of the chip; (seed, chip) is the same chip in any order and on any worker.
        cycle: How often this chip had been programmed before. Each programming draws its errors, drift exponents and
            readings anew; faulty cells are the chip's own and stay.

    Raises:
        WrongSetting: `net` was not converted, or is itself a chip's network; a negative or fractional cycle.
        BadInput: Weights that cannot be programmed.
    """
    network(net)
    cycle = whole(cycle, "cycle", least=0, remedy="a whole number; 0 is the first programming")
    chip = whole(chip, "chip", least=0)
    arrays: dict[str, Arrays] = {}
    first = Stream(("chip", seed, chip))
    root = first if cycle == 0 else first / "cycle" / cycle
    for path, view in _matrices(net):
        if view.matrix.programmed:
            raise WrongSetting(
                "this network is a programmed chip already", "program the network that to_analog returned", path=path
            )
        where, matrix, operator = view.matrix.path, view.matrix, view.operator
        scheme = matrix.scheme(view.weight, operator)
        programmed = program_arrays(view.weight, operator, scheme, root / where, matrix.adc_range, where, matrix.rank)
        if cycle:  # faulty cells are those of the first programming
            programmed = replace(programmed, faults=faults_of(programmed.targets, matrix.hw, first / where))
        arrays[where] = programmed
    if not arrays:
        raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
    return Chip(net, seed, chip, arrays, cycle)


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
        if view.matrix.rank is not None:
            unread[id(view.matrix.rank)] = view.matrix.rank
    return copy.deepcopy(net, unread)


def _matrices(net: nn.Module) -> Iterator[tuple[str, MatrixView]]:
    for path, module in net.named_modules():
        if isinstance(module, AnalogLayer):
            for view in module.views():
                yield path, view

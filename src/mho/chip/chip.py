"""`program` and `Chip`: one chip, frozen at programming, as a network at any age."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mho.arguments import network, whole
from mho.chip.anew import Anew, Recipe
from mho.chip.arrays import Arrays
from mho.errors import WrongSetting
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
        arrays: The programmed arrays by the path of their matrix; with ``program(..., keep=False)`` made at each look-up.
    """

    def __init__(self, net: nn.Module, seed: int, index: int, arrays: Mapping[str, Arrays], cycle: int) -> None:
        self.seed, self.index, self.arrays, self.cycle = seed, index, arrays, cycle
        # What copies of the network have in common.
        self._shared: list[Any] = [*_unread(net), *(view.matrix.hw for _, view in _matrices(net))]
        self._net = self._copy(net)

    @torch.no_grad()
    def at(self, time: str | float, *, read: int = 0) -> nn.Module:
        """The network as this chip computes it at an age.

        Weights are computed here, once; the returned network keeps them. It is in eval mode; biases, norms and
        everything else digital are those at the time of programming.

        Called directly it answers inputs that are not finite as the hardware does, without a word: NaN stays NaN, and a DAC
        clips ±inf to its range as everything beyond it (where each vector has a range of its own, inf leaves NaN). Whatever
        measures, such as `mho.accuracy` and `mho.drift`, refuses both.

        Args:
            time: Age since the end of (the latest) programming: seconds, or a string such as "1 month".
            read: Number of the evaluation; another one sees another fluctuation of reading.

        Raises:
            WrongSetting: A time before programming, or not a time.
        """
        t_s, read = seconds(time, "time"), whole(read, "read", least=0)
        net = self._copy(self._net)
        own: dict[int, nn.Parameter] = {}
        for path, view in _matrices(net):
            arrays, layer = self.arrays[view.matrix.path], net.get_submodule(path)
            view.matrix.source = arrays.source(t_s, read, view.operator, view.weight.detach())
            # The same values under a parameter of its own, so that a change of it is seen (`Programmed.values`).
            owner, _, name = view.parameter.rpartition(".")
            layer = layer.get_submodule(owner)
            shared = layer.get_parameter(name)
            mine = own.setdefault(id(shared), nn.Parameter(shared.data, requires_grad=shared.requires_grad))
            own[id(mine)] = mine
            setattr(layer, name, mine)
            view.matrix.source.version = mine._version
        return net.eval()

    def under(self, net: nn.Module) -> Chip:
        """The same cells, read as another network says: what only reads them (converters, noise of products, wires, columns,
        compensation) is that network's.

        Args:
            net: Converted from the same weights to the same cells, encoding, arrays and mapping; nobody checks the values.

        Raises:
            WrongSetting: It stands on other arrays.
        """
        views = {view.matrix.path: view for _, view in _matrices(net)}
        schemes = {path: view.matrix.scheme(view.weight, view.operator) for path, view in views.items()}
        if {path: s.plan for path, s in schemes.items()} != {path: a.scheme.plan for path, a in self.arrays.items()}:
            raise WrongSetting("this network stands on other arrays than the chip", "program it: mho.program(net)")
        arrays = {
            path: replace(self.arrays[path], scheme=schemes[path], adc_range=view.matrix.adc_range)
            for path, view in views.items()
        }
        return Chip(net, self.seed, self.index, arrays, self.cycle)

    @property
    def nbytes(self) -> int:
        """Bytes of its cells: states, faults, and the weights that they were written from."""
        return sum(arrays.nbytes for arrays in self.arrays.values())

    def _copy(self, net: nn.Module) -> nn.Module:
        return copy.deepcopy(net, {id(part): part for part in self._shared})

    def __repr__(self) -> str:
        cycle = f", cycle={self.cycle}" if self.cycle else ""
        return f"Chip(seed={self.seed}, index={self.index}{cycle}, {len(self.arrays)} matrices)"


@torch.no_grad()
def program(net: nn.Module, seed: int = 0, *, chip: int = 0, cycle: int = 0, keep: bool = True) -> Chip:
    """Program one simulated chip with the weights of a converted network.

    Args:
        net: What `to_analog` returned, calibrated where its converters need ranges.
        seed: Root seed.
        chip: Number of the chip; (seed, chip) is the same chip in any order and on any worker.
        cycle: How often this chip had been programmed before. Each programming draws its errors, drift exponents and
            readings anew; faulty cells are the chip's own and stay.
        keep: False: the chip keeps no conductances, but programs its arrays again, from their address, whenever an age is
            asked for, one after the other: the same chip, slower, for networks whose cells do not fit into memory. The
            network's weights may not change then.

    Raises:
        WrongSetting: `net` was not converted, or is itself a chip's network; a seed or number that is no whole number.
        BadInput: Weights that cannot be programmed.
    """
    network(net)
    seed, chip = whole(seed, "seed", least=0), whole(chip, "chip", least=0)
    cycle = whole(cycle, "cycle", least=0, remedy="a whole number; 0 is the first programming")
    recipes: dict[str, Recipe] = {}
    first = Stream(("chip", seed, chip))
    root = first if cycle == 0 else first / "cycle" / cycle
    for path, view in _matrices(net):
        if view.matrix.programmed:
            raise WrongSetting(
                "this network is a programmed chip already", "program the network that to_analog returned", path=path
            )
        where, matrix, operator = view.matrix.path, view.matrix, view.operator
        scheme = matrix.scheme(view.weight, operator)
        born = first / where if cycle else None
        recipes[where] = Recipe(
            view.weight, operator, scheme, root / where, matrix.adc_range, where, matrix.rank, born, path
        )
    if not recipes:
        raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw)")
    arrays = {where: recipe.arrays() for where, recipe in recipes.items()} if keep else Anew(recipes)
    return Chip(net, seed, chip, arrays, cycle)


def _unread(net: nn.Module) -> list[Tensor]:
    """The digital form of weights, and their ranks, that no layer but those on arrays reads: no chip does."""
    on_arrays: list[Tensor] = []
    read: set[int] = set()
    for module in net.modules():
        if not isinstance(module, AnalogLayer):
            read.update(map(id, module.parameters(recurse=False)))
            continue
        for view in module.views():
            on_arrays.append(module.get_parameter(view.parameter))
            if view.matrix.rank is not None:
                on_arrays.append(view.matrix.rank)
    return [tensor for tensor in on_arrays if id(tensor) not in read]


def _matrices(net: nn.Module) -> Iterator[tuple[str, MatrixView]]:
    for path, module in net.named_modules():
        if isinstance(module, AnalogLayer):
            for view in module.views():
                yield path, view

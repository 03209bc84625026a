"""`AnalogLayer`: the little that torch's own layers gain when they move onto arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from mho.crossbar import Operator, Scheme
from mho.errors import NotYet, WrongSetting
from mho.hardware import Hardware
from mho.nn.matrix import AnalogMatrix, matrices

L = TypeVar("L", bound="AnalogLayer")


class MatrixView(NamedTuple):
    """One matrix of a layer.

    Attributes:
        parameter: Name of the layer's parameter that holds it.
        matrix: Its arrays.
        weight: The part of the parameter, in torch's layout.
        operator: The operator that reads it.
    """

    parameter: str
    matrix: AnalogMatrix
    weight: Tensor
    operator: Operator


class AnalogLayer(nn.Module):
    """Mixin: a layer of torch whose matrices live on arrays. Parameters keep their names."""

    hw: Hardware
    digital_class: type[nn.Module]

    @classmethod
    def from_digital(cls: type[L], module: nn.Module, hw: Hardware, path: str, **attributes: Any) -> L:
        """The same layer on arrays; parameters, buffers and hooks are shared with `module`, which stays as it is.

        Args:
            module: An instance of the class of torch that this one stands for.
            hw: The hardware.
            path: Dotted path in the network.
            attributes: What else `build` needs.
        """
        layer = cls.__new__(cls)
        layer.__dict__ = _shallow(module) | attributes
        layer.hw, layer.digital_class = hw, type(module)
        layer.build(path)
        return layer

    def to_digital(self) -> nn.Module:
        """The layer that this one was made from, of the same class and with the same parameters."""
        module = self.digital_class.__new__(self.digital_class)
        module.__dict__ = _shallow(self)
        del module.__dict__["hw"], module.__dict__["digital_class"]
        module._modules = {k: m for k, m in self._modules.items() if not _is_arrays(m)}
        return module

    def build(self, path: str) -> None:
        """Add the `AnalogMatrix` modules. `path` is the layer's place in the network."""
        self.matrix = AnalogMatrix(self.hw, path)

    def views(self) -> Iterator[MatrixView]:
        """Every matrix of the layer, without those of its sub-modules."""
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Other weights than the programmed ones are refused: no chip would compute with them."""
        for view in self.views():
            given, own = state_dict.get(prefix + view.parameter), self.get_parameter(view.parameter)
            if given is None or not view.matrix.programmed or given.shape != own.shape:
                continue
            if not torch.equal(given.to(own), own):
                raise WrongSetting(
                    "other weights were to be loaded into a programmed chip, whose cells would not change",
                    "load them into the network that to_analog returned, and program it again", path=view.matrix.path,
                )  # fmt: skip
        super()._load_from_state_dict(state_dict, prefix, *rest)
        for view in self.views():
            if view.matrix.programmed:  # the same values were copied: no change (`mho.chip.programmed`)
                view.matrix.source.version = None


def layer_paths(net: nn.Module) -> dict[str, str]:
    """Path of the layer that each matrix belongs to, by the matrix's own path: what `digital` takes."""
    layers = ((path, module) for path, module in net.named_modules() if isinstance(module, AnalogLayer))
    return {view.matrix.path: path for path, layer in layers for view in layer.views()}


def held(layer: AnalogLayer, view: MatrixView) -> Tensor:
    """What a change in place of a matrix's weight has to be made to: the view itself, or the parameter that it is computed from.

    Raises:
        NotYet: It is neither.
    """
    parameter, weight = layer.get_parameter(view.parameter).detach(), view.weight.detach()
    if weight.untyped_storage().data_ptr() == parameter.untyped_storage().data_ptr():
        return weight
    if weight.shape != parameter.shape:
        raise NotYet(
            f"{view.parameter} {tuple(parameter.shape)} is no matrix in memory", "store it as (columns, rows)",
            path=view.matrix.path,
        )  # fmt: skip
    return parameter


def schemes(net: nn.Module, some: Iterable[AnalogMatrix]) -> dict[AnalogMatrix, Scheme]:
    """The conversions of some of a network's matrices."""
    layers = (module for module in net.modules() if isinstance(module, AnalogLayer))
    found = {view.matrix: view.matrix.scheme(view.weight, view.operator) for layer in layers for view in layer.views()}
    return {matrix: found[matrix] for matrix in some}


def check_calibrated(net: nn.Module) -> None:
    """Refuse a network none of whose converters has the range that it takes from data. (Layers that never run have none.)

    Raises:
        WrongSetting: It was never calibrated.
    """
    found = schemes(net, matrices(net))
    needed = {m: s for m, s in found.items() if s.needs_input_range or s.needs_adc_range}
    if needed and all(m.input_range is None and m.adc_range is None for m in needed):
        matrix, scheme = next(iter(needed.items()))
        matrix.require_ranges(scheme)


def _shallow(module: nn.Module) -> dict[str, Any]:
    return {k: v.copy() if isinstance(v, dict) else v for k, v in module.__dict__.items()}


def _is_arrays(module: nn.Module | None) -> bool:
    if isinstance(module, nn.ModuleDict):
        return all(isinstance(child, AnalogMatrix) for child in module.values())
    return isinstance(module, AnalogMatrix)

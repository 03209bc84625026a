"""Modules that multiply with parameters in a forward of their own: `F.linear(x, self.weight)`, `x @ self.w`, `self.qkv.weight`
read by the parent, experts in one parameter.

Their `forward` runs as it is written; where it calls torch's operator with one of the parameters that were found
(`mho.convert.reading`), the arrays answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mho.crossbar import Operator
from mho.hardware import Hardware
from mho.nn.calls import Read, product_of
from mho.nn.layer import AnalogLayer, MatrixView
from mho.nn.matrix import AnalogMatrix, below


class _Answers(TorchFunctionMode):
    """Sends products with the module's parameters to their arrays."""

    def __init__(self, layer: Functional) -> None:
        super().__init__()
        self.layer = layer
        self.names = {id(layer.get_parameter(name)): name for name in layer.reads}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        found = product_of(func, args, kwargs, self.names)
        if found is None:
            return func(*args, **kwargs)
        return found.answer(
            lambda part, x, bias: self.layer.product(found.parameter, part, x, bias, found.read.operator)
        )


class Functional(AnalogLayer):
    """Mixin for the classes that `functional` makes.

    Attributes:
        reads: How each parameter (a path below the module) is read.
    """

    reads: dict[str, Read]
    written_as: ClassVar[type[nn.Module]]

    def to_digital(self) -> nn.Module:
        """See `AnalogLayer`."""
        module = super().to_digital()
        del module.__dict__["reads"]
        return module

    def build(self, path: str) -> None:
        """One matrix a parameter, or one for each of its parts."""
        self.matrices = nn.ModuleDict()
        for name, read in self.reads.items():
            where = below(path, name)
            for part in range(read.parts or 1):
                self.matrices[_key(name, part)] = AnalogMatrix(self.hw, f"{where}.{part}" if read.parts else where)

    def views(self) -> Iterator[MatrixView]:
        """Every matrix. Padding and stride of convolutions are those of the first call that was seen."""
        for name, read in self.reads.items():
            for part in range(read.parts or 1):
                matrix = self.matrices[_key(name, part)]
                assert isinstance(matrix, AnalogMatrix)
                yield MatrixView(name, matrix, self._weight(name, part), read.operator)

    def product(self, name: str, part: int, x: Tensor, bias: Tensor | None, operator: Operator) -> Tensor:
        """One matrix's answer."""
        return self.matrices[_key(name, part)](x, self._weight(name, part), operator, bias)

    def _weight(self, name: str, part: int) -> Tensor:
        """One matrix in torch's layout. Under no_grad a view of a parameter would ask for gradients that it has no node for."""
        read = self.reads[name]
        weight: Tensor = self.get_parameter(name)
        if read.parts or read.transposed or read.columns:
            weight = weight if torch.is_grad_enabled() else weight.detach()
            if read.columns:
                return weight.permute(*read.columns, *read.rows).flatten(len(read.columns)).flatten(0, -2)
            weight = weight[part] if read.parts else weight
            return weight.T if read.transposed else weight
        return weight

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The module's own forward, with the arrays in place of the products with its parameters."""
        with _Answers(self):
            return super().forward(*args, **kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _empty, (type(self).written_as,), self.__getstate__()


class Reads(NamedTuple):
    """What stands for an analog class where the parameters that are read have been found by looking.

    Attributes:
        cls: The module's class.
        reads: How each parameter is read, by its path below the module.
    """

    cls: type[nn.Module]
    reads: dict[str, Read]

    def from_digital(self, module: nn.Module, hw: Hardware, path: str) -> AnalogLayer:
        """See `AnalogLayer`."""
        return _class(self.cls).from_digital(module, hw, path, reads=self.reads)


def _key(name: str, part: int) -> str:
    return f"{name.replace('.', '/')}/{part}"


_classes: dict[type[nn.Module], type[Functional]] = {}


def _class(cls: type[nn.Module]) -> type[Functional]:
    """The analog version of a module's class; the same one each time."""
    if cls not in _classes:
        members = {"__doc__": cls.__doc__, "written_as": cls}
        _classes[cls] = type(f"Analog{cls.__name__}", (Functional, cls), members)
    return _classes[cls]


def _empty(cls: type[nn.Module]) -> Functional:
    analog = _class(cls)
    return analog.__new__(analog)

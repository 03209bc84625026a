"""Layers of the user's that derive from torch's and compute in a `forward` of their own.

Their `forward` runs as it is written; where it calls torch's operator with the layer's own weight, the arrays answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mho.crossbar import Operator
from mho.errors import NotYet
from mho.nn.layer import AnalogLayer, MatrixView

_CONVOLUTIONS: dict[Any, int] = {
    F.conv1d: 1, F.conv2d: 2, F.conv3d: 3, torch.conv1d: 1, torch.conv2d: 2, torch.conv3d: 3,
}  # fmt: skip


class _Answer(TorchFunctionMode):
    """Sends operators on one weight to that weight's arrays."""

    def __init__(self, layer: OwnForward) -> None:
        super().__init__()
        self.layer, self.read = layer, False

    def __enter__(self) -> _Answer:
        super().__enter__()
        return self

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        weight = args[1] if len(args) > 1 else kwargs.get("weight")
        if weight is self.layer.weight and (func in _CONVOLUTIONS or func is F.linear):
            self.read = True
            return _through_arrays(self.layer, func, *args, **kwargs)
        return func(*args, **kwargs)


def _through_arrays(
    layer: OwnForward, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
) -> Tensor:
    operator = Operator() if func is F.linear else _convolution(_CONVOLUTIONS[func], *args, **kwargs)
    return layer.matrix(input, weight, operator, bias)


def _convolution(dims: int, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1) -> Operator:
    def wide(value: Any) -> Any:
        return value if isinstance(value, str) else (value,) * dims if isinstance(value, int) else tuple(value)

    return Operator(dims, wide(stride), wide(padding), wide(dilation), groups)


class OwnForward(AnalogLayer):
    """Mixin for the classes that `analog_class` makes."""

    weight: Tensor
    written_as: ClassVar[type[nn.Module]]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The user's own forward, with the arrays in place of the operator on `weight`."""
        with _Answer(self) as answer:
            y = super().forward(*args, **kwargs)
        if not answer.read:
            raise NotYet(
                f"the forward of {type(self).written_as.__name__} does not give its own weight to torch's operator, "
                "so that its arrays are never read",
                f"keep it digital: hw.replace(digital=['{self.matrix.path}']), or compute the weight once and for all "
                "and use torch's layer",
                path=self.matrix.path,
            )
        return y

    def views(self) -> Iterator[MatrixView]:
        """The one matrix. Padding and stride are those of the attributes; the forward may use others."""
        if isinstance(self, nn.Linear):
            operator = Operator()
        else:
            assert isinstance(self, nn.modules.conv._ConvNd)
            dims = len(self.kernel_size)
            operator = _convolution(dims, self.stride, 0, self.dilation, self.groups)
        yield MatrixView("weight", self.matrix, self.weight, operator)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _empty, (type(self).written_as,), self.__getstate__()


_classes: dict[type[nn.Module], type[OwnForward]] = {}


def analog_class(cls: type[nn.Module]) -> type[OwnForward]:
    """The analog version of a user's layer class; the same one each time."""
    if cls in _classes:
        return _classes[cls]
    members = {"__module__": __name__, "__doc__": cls.__doc__, "written_as": cls}
    _classes[cls] = type(f"Analog{cls.__name__}", (OwnForward, cls), members)
    return _classes[cls]


def _empty(cls: type[nn.Module]) -> OwnForward:
    analog = analog_class(cls)
    return analog.__new__(analog)

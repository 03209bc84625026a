"""Layers of the user's that derive from torch's and compute in a `forward` of their own.

Their `forward` runs as it is written; where it calls torch's operator with the layer's own weight, or with a weight that it has
computed from it (weight-standardised convolutions), the arrays answer. They hold the weight that the operator is given.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mho.crossbar import Operator
from mho.errors import NotYet
from mho.nn.calls import CONVOLUTIONS, Read, convolution, product_of
from mho.nn.layer import AnalogLayer, MatrixView


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
        layer = self.layer
        if layer.computed:
            weight = args[1] if len(args) > 1 else kwargs.get("weight")
            if not (func in CONVOLUTIONS or func is F.linear) or not layer.is_weight(weight):
                return func(*args, **kwargs)
            self.read = True
            return _through_arrays(layer, func, *args, **kwargs)
        found = product_of(func, args, kwargs, {id(layer.weight): "weight"})
        if found is None or found.read != Read(found.read.operator):
            return func(*args, **kwargs)
        self.read = True
        return found.answer(lambda _, x, bias: layer.matrix(x, layer.weight, found.read.operator, bias))


class _Given(Exception):
    """Carries the weight that a forward gives to torch's operator."""


class _Catch(TorchFunctionMode):
    """Ends a forward where it gives a weight of that shape to torch's operator."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape = shape

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        weight = args[1] if len(args) > 1 else kwargs.get("weight")
        if (func in CONVOLUTIONS or func is F.linear) and isinstance(weight, Tensor) and weight.shape == self.shape:
            raise _Given(weight)
        return func(*args, **kwargs)


def _through_arrays(
    layer: OwnForward, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
) -> Tensor:
    operator = Operator() if func is F.linear else convolution(CONVOLUTIONS[func], *args, **kwargs)
    return layer.matrix(input, weight, operator, bias)


class OwnForward(AnalogLayer):
    """Mixin for the classes that `analog_class` makes.

    Attributes:
        computed: The forward computes the weight anew from the parameter each time.
    """

    weight: Tensor
    computed: bool
    written_as: ClassVar[type[nn.Module]]

    def build(self, path: str) -> None:
        """See `AnalogLayer`.

        Raises:
            NotYet: The weight depends on the input.
        """
        super().build(path)
        with torch.no_grad():
            given = [self._given(fill) for fill in (0.0, 1.0)]
        self.computed = given[0] is not None and given[0] is not self.weight and not isinstance(given[0], nn.Parameter)
        if self.computed and (given[1] is None or not torch.equal(given[0], given[1])):  # type: ignore[arg-type]
            raise NotYet(
                f"the forward of {type(self).written_as.__name__} computes another weight for each input",
                f"keep it digital: hw.replace(digital=['{path}'])",
                path=path,
            )

    def to_digital(self) -> nn.Module:
        """See `AnalogLayer`."""
        module = super().to_digital()
        del module.__dict__["computed"]
        return module

    def is_weight(self, weight: Any) -> bool:
        """True for what the forward has computed from its parameter."""
        return isinstance(weight, Tensor) and not isinstance(weight, nn.Parameter) and weight.shape == self.weight.shape

    def trial_input(self, fill: float) -> Tensor:
        """The smallest input that torch's class would take, all of it of one value."""
        if isinstance(self, nn.modules.conv._ConvNd):
            size = [d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
            return self.weight.new_full((1, self.in_channels, *size), fill)
        return self.weight.new_full((1, self.weight.shape[1]), fill)

    def _given(self, fill: float) -> Tensor | None:
        """The weight that the forward gives to torch's operator for an input of one value; None where it gives none."""
        x = self.trial_input(fill)
        try:
            twin = copy.deepcopy(self, {id(parameter): parameter for parameter in self.parameters()})
            with _Catch(self.weight.shape):  # a forward may count its calls
                super(OwnForward, twin).forward(x)
        except _Given as found:
            weight: Tensor = found.args[0]
            return weight
        except Exception:  # a forward that needs other inputs than this one
            return None
        return None

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
        """The one matrix. How it moves over images is what the forward says, call by call."""
        weight = self._given(0.0) if self.computed else self.weight
        assert weight is not None
        yield MatrixView("weight", self.matrix, weight, self.operator(self))

    @staticmethod
    def operator(module: nn.Module) -> Operator:
        """The operator of torch's class that a module derives from: which kind, without the geometry that a call gives."""
        if isinstance(module, nn.Linear):
            return Operator()
        assert isinstance(module, nn.modules.conv._ConvNd)
        return Operator(len(module.kernel_size), groups=module.groups)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _empty, (type(self).written_as,), self.__getstate__()


_classes: dict[type[nn.Module], type[OwnForward]] = {}


def analog_class(cls: type[nn.Module]) -> type[OwnForward]:
    """The analog version of a user's layer class; the same one each time."""
    if cls in _classes:
        return _classes[cls]
    members = {"__doc__": cls.__doc__, "written_as": cls}
    _classes[cls] = type(f"Analog{cls.__name__}", (OwnForward, cls), members)
    return _classes[cls]


def _empty(cls: type[nn.Module]) -> OwnForward:
    analog = analog_class(cls)
    return analog.__new__(analog)

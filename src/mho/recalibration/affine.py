"""`RecalibrateAffine`: one digital scale and shift a column, so that each layer answers as the digital one does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from mho.chip.programmed import Programmed
from mho.convert.rules import decide
from mho.crossbar import Operator
from mho.errors import BadInput, MhoError, WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogLayer
from mho.nn.calling import call
from mho.nn.layer import MatrixView
from mho.nn.partial import computed_whole
from mho.recalibration.base import Recalibration
from mho.recalibration.digital import natively, reference
from mho.recalibration.moments import by_channel

K = TypeVar("K")
Call = tuple[str, int]
"""Path of a layer, and which of its calls in a batch."""
_IDEAL = Hardware.preset("ideal")
_CONSTANT = 1e-10
"""A column whose variance is below this share of its mean square does not vary: its scale stays."""


@dataclass(frozen=True, eq=False, repr=False)
class RecalibrateAffine(Recalibration):
    """A digital scale and shift for every output column (channel) of linear layers, convolutions, and layers of one's own
    that have one matrix and a `bias`.

    y' = a y + b for each column, with y the chip's output over the batches and d the digital network's:
    "moments": a = std(d) / std(y), b = mean(d) - a mean(y), so that mean and standard deviation are the digital ones;
    "regression": a = cov(d, y) / var(y), the least squares of d on y, which shrinks noisy columns.
    The scale goes into the chip's digital factors, the shift into the layer's bias, which is made where there is none.

    One pass: while it lasts, each layer's output goes on corrected by what its batch alone says, so that the next layer
    sees nearly what it will see; sums are pooled over the batches. With all inputs in one batch this is layer by layer
    in order of execution, each with those before it corrected. For networks with and without norms. Matrices of
    attention and recurrent layers, and layers that change their matrix's output themselves, are left alone and named.
    A network that drops blocks is computed with all of them, on the chip and digitally.

    Args:
        batches: Inputs without labels.
        digital_net: The digital network, or what `to_analog` returned; copied.
        fit: "moments" or "regression" (this one holds every layer's digital output of a batch in memory).
    """

    digital_net: nn.Module
    fit: Literal["moments", "regression"] = "moments"
    _wanted: tuple[dict[Call, _Sums], ...] = field(init=False)
    kind: ClassVar[str] = "affine"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fit not in ("moments", "regression"):
            raise WrongSetting(f"fit = {self.fit!r}", "'moments' or 'regression'", path="fit")
        object.__setattr__(self, "digital_net", reference(self.digital_net))
        wanted = tuple(self._digital(x, _Sums.of) for x in self.inputs)
        object.__setattr__(self, "_wanted", wanted)

    def apply(self, net: nn.Module) -> str:
        """Scale and shift of every layer that has a digital counterpart."""
        layers, left = _layers(net), _others(net)
        if not layers:
            raise WrongSetting(
                f"no linear layer or convolution is on arrays; there are {', '.join(left)}",
                "RecalibrateOutput shifts the network's last outputs instead",
            )
        made = [layer for layer in layers.values() if layer.bias is None]
        for layer in made:
            view = _view(layer)
            plan = view.matrix.scheme(view.weight, view.operator).plan
            layer.bias = nn.Parameter(view.weight.new_zeros(plan.groups * plan.columns))
        pooled: dict[str, _Sums] = {}
        spoiled: set[str] = set()
        for x, wanted in zip(self.inputs, self._wanted, strict=True):
            digital = self._digital(x, lambda rows: rows) if self.fit == "regression" else {}

            def correct(
                call: Call, y: Tensor, own: bool, wanted: Any = wanted, digital: Any = digital
            ) -> Tensor | None:
                path = call[0]
                if not own or call not in wanted:
                    spoiled.add(path)
                    return None
                sums = _Sums.of(digital.get(call), y, _view(layers[path]).operator.axis, wanted[call], path)
                pooled[path] = pooled[path] + sums if path in pooled else sums
                scale, shift = sums.affine(self.fit)
                operator = _view(layers[path]).operator
                return y * operator.per_column(scale).to(y) + operator.per_column(shift).to(y)

            with _watched(layers, correct), computed_whole(net):
                call(net, x)
        for path, layer in layers.items():
            if path in pooled and path not in spoiled:
                _put(layer, *pooled[path].affine(self.fit), path)
            elif layer in made:
                layer.bias = None
        done = [path for path in layers if path in pooled and path not in spoiled]
        left += [path or "(the network)" for path in layers if path not in done]
        if not done:
            raise BadInput(
                f"no layer of the chip has a counterpart in the digital network: {', '.join(left)}",
                "give the network that was converted, with the same paths",
                path="digital_net",
            )
        return f"{len(done)} layers" + (f"; left alone: {', '.join(left)}" if left else "")

    def _digital(self, x: Any, keep: Callable[[Tensor], K]) -> dict[Call, K]:
        """What `keep` makes of the (values, columns) of each call of each layer of the digital network."""
        layers = {path: (m, _operator(m, path)) for path, m in self.digital_net.named_modules()}
        calls: Counter[str] = Counter()
        found: dict[Call, K] = {}

        def note(path: str, operator: Operator) -> Callable[[Any, Any, Any], None]:
            def run(module: Any, args: Any, y: Any) -> None:
                if isinstance(y, Tensor):
                    found[path, calls[path]] = keep(by_channel(y, operator.axis))
                calls[path] += 1

            return run

        handles = [m.register_forward_hook(note(path, op)) for path, (m, op) in layers.items() if op is not None]
        try:
            with natively(self.digital_net), computed_whole(self.digital_net):
                call(self.digital_net, x)
        finally:
            for handle in handles:
                handle.remove()
        return found

    def _options(self) -> dict[str, Any]:
        return {"fit": self.fit}

    def _targets(self) -> Iterable[Tensor]:
        return (sums.d for wanted in self._wanted for sums in wanted.values())

    def __str__(self) -> str:
        return self.kind if self.fit == "moments" else f"{self.kind} ({self.fit})"


@dataclass(frozen=True)
class _Sums:
    """Sums over values, float64: Σd and Σd² of the digital outputs, Σy and Σy² of the chip's, Σdy; each (…, columns)."""

    count: int
    d: Tensor
    y: Tensor
    dy: Tensor

    @classmethod
    def of(
        cls, d: Tensor | None, y: Tensor | None = None, axis: int = -1, wanted: _Sums | None = None, path: str = ""
    ) -> _Sums:
        """Of (values, columns) digital outputs and a chip's, or of what is known of the digital ones already."""
        rows = None if y is None else by_channel(y, axis)
        if wanted is None:
            assert d is not None
            first = torch.stack([d.sum(0), d.square().sum(0)]).cpu()
        else:
            first = wanted.d
        if rows is None:
            return cls(len(d) if d is not None else 0, first, torch.zeros_like(first), torch.zeros_like(first[0]))
        count = wanted.count if wanted is not None else len(rows)
        if count != len(rows) or rows.shape[1] != first.shape[1]:
            raise BadInput(
                f"the chip's layer gives {tuple(rows.shape)} values, the digital one {(count, first.shape[1])}",
                "give the network that was converted",
                path=path,
            )
        both = torch.zeros_like(first[0]) if d is None else (rows * d.to(rows)).sum(0).cpu()
        return cls(count, first, torch.stack([rows.sum(0), rows.square().sum(0)]).cpu(), both)

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.count + other.count, self.d + other.d, self.y + other.y, self.dy + other.dy)

    def affine(self, fit: str) -> tuple[Tensor, Tensor]:
        """Scale and shift of each column."""
        n = self.count
        mean_d, mean_y = self.d[0] / n, self.y[0] / n
        var_d = (self.d[1] / n - mean_d.square()).clamp(min=0)
        var_y = (self.y[1] / n - mean_y.square()).clamp(min=0)
        varies = var_y > _CONSTANT * self.y[1] / n
        safe = torch.where(varies, var_y, 1.0)
        scale = (var_d / safe).sqrt() if fit == "moments" else (self.dy / n - mean_d * mean_y) / safe
        scale = torch.where(varies, scale, 1.0)
        return scale, mean_d - scale * mean_y


def _layers(net: nn.Module) -> dict[str, Any]:
    """Layers with one matrix and a bias, or room for one, by path."""
    analog = {path: m for path, m in net.named_modules() if isinstance(m, AnalogLayer) and "bias" in m._parameters}
    return {path: layer for path, layer in analog.items() if len(list(layer.views())) == 1}


def _others(net: nn.Module) -> list[str]:
    done = _layers(net)
    return [
        f"{path} ({type(m).__name__.removeprefix('Analog')})"
        for path, m in net.named_modules()
        if isinstance(m, AnalogLayer) and path not in done and list(m.views())
    ]


def _view(layer: AnalogLayer) -> MatrixView:
    return next(iter(layer.views()))


def _operator(module: nn.Module, path: str) -> Operator | None:
    """What reads the one matrix of a layer, or would read it on arrays; None where there is none, or several."""
    if not isinstance(module, AnalogLayer):
        try:
            analog = decide(module, path, chosen=False).analog
        except MhoError:  # it stays digital
            return None
        if analog is None:
            return None
        module = analog.from_digital(module, _IDEAL, path)
    views = list(module.views())
    return views[0].operator if len(views) == 1 else None


@contextmanager
def _watched(layers: dict[str, Any], correct: Callable[[Call, Tensor, bool], Tensor | None]) -> Iterator[None]:
    """Each layer's output goes on as `correct` gives it; it is told whether that output is the matrix's with the bias.

    A layer with a hook is never folded with the norm behind it.
    """
    calls: Counter[str] = Counter()
    seen: dict[str, tuple[Any, Any]] = {}
    handles = []
    for path, layer in layers.items():

        def note(matrix: Any, args: Any, y: Any, path: str = path) -> None:
            seen[path] = (y, args[3] if len(args) > 3 else None)

        def answer(layer: Any, args: Any, y: Any, path: str = path) -> Any:
            own = path in seen and seen[path][0] is y and seen[path][1] is layer.bias
            calls[path] += 1
            return correct((path, calls[path] - 1), y, own)

        handles += [_view(layer).matrix.register_forward_hook(note), layer.register_forward_hook(answer)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _put(layer: Any, scale: Tensor, shift: Tensor, path: str) -> None:
    """y' = scale · y + shift, for y with the bias that the layer has."""
    if not bool(scale.isfinite().all() and shift.isfinite().all()):
        raise BadInput("the outputs are not finite", "check the calibration data", path=path)
    view = _view(layer)
    source = view.matrix.source
    if not isinstance(source, Programmed):
        raise WrongSetting("this layer holds no chip's cells", "pass what mho.program(net).at(t) returned", path=path)
    view.matrix.source = source.scaled(scale, view.operator)
    layer.bias = nn.Parameter((scale.to(layer.bias) * layer.bias + shift.to(layer.bias)).detach())

"""The test that every conversion with an example runs: same outputs, and nothing computed around the arrays."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mho.convert.counting import address, at, is_view
from mho.convert.trial import first_trial, trial
from mho.crossbar.cells import decode, whole
from mho.errors import NotYet, WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogLayer, AnalogMatrix
from mho.nn.functional import Functional
from mho.nn.matrix import digitally, matrices
from mho.nn.source import Digital, Effective, Exact, Source, sources

_RELATIVE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
_PROBE = 65
"""Weights from -1 to 1 that an encoding is tried on."""


def self_test(model: nn.Module, net: nn.Module, *example: Any) -> None:
    """Run one batch with every non-ideality off and compare with the original, in eval mode. Neither is touched.

    Arrays are read block by block, readout by readout, so cutting, encoding and scaling are all exercised. Where an encoding
    rounds, they are compared with the weights that it holds, and the original with the weights in digital form. A layer that
    the example does not reach (an expert, an exit) is no error.

    Raises:
        NotYet: The outputs differ, or a layer's arrays were not read although its forward ran, or its weight was read by a
            fused path or a functional call.
        BadInput: The example does not fit the model.
    """
    expected = first_trial(copy.deepcopy(model), *example)
    twin = copy.deepcopy(net)
    read: set[str] = set()
    for matrix in matrices(twin):
        matrix.hw = matrix.hw.ideal()
        matrix.register_forward_hook(lambda m, _args, _out: read.add(m.path))
    found = _answer(twin, Exact, example)
    if missed := around(twin, [m for m in matrices(twin) if m.path not in read], [example]):
        raise NotYet(
            f"never read in a forward pass: {', '.join(missed)}",
            "the network reads these weights around their layer's forward, or the forward computes with others; keep them "
            f"digital: hw.replace(digital={missed!r})",
            path=missed[0],
        )
    if any(matrix.hw.encoding.straight_through for matrix in matrices(twin)):
        _compare(model, expected, _answer(twin, Digital, example), "with its weights in digital form")
        expected = _answer(twin, Effective, example)
    _compare(model, expected, found, "with every non-ideality off")


def _answer(net: nn.Module, source: type[Source], example: Any) -> Any:
    """What a network answers whose weights all come from such a source."""
    with sources(matrices(net), lambda _: source()):
        return trial(net, *example)


def _compare(model: nn.Module, expected: Any, found: Any, how: str) -> None:
    """Raises NotYet where two answers differ by more than rounding."""
    pairs = list(zip(_tensors(expected), _tensors(found), strict=True))
    if not pairs:
        raise NotYet(
            f"the model answers with {type(expected).__name__}, in which no tensor is found to compare",
            "convert without an example, and compare the outputs yourself",
        )
    coarsest = max((_RELATIVE.get(parameter.dtype, 0.0) for parameter in model.parameters()), default=0.0)
    for a, b in pairs:
        relative = max(_RELATIVE[a.dtype], coarsest) if a.dtype in _RELATIVE else 0.0
        tolerance = relative * max(1.0, _largest(a[a.isfinite()]))
        difference = _largest((a.double() - b.double())[~torch.isclose(a, b, rtol=0.0, atol=0.0, equal_nan=True)])
        if not difference <= tolerance:
            raise NotYet(
                f"the converted network differs from the original by {difference:.3g} (tolerance {tolerance:.3g}) {how}",
                "look for layers that read another module's weight, or keep suspects digital with hw.replace(digital=[...])",
            )


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def around(net: nn.Module, unread: Collection[AnalogMatrix], examples: Iterable[Any]) -> list[str]:
    """Paths of the layers that compute around their arrays: their forward runs, or an operator reads their weight, although one
    of their matrices is never read.

    Args:
        net: The converted network, with no chip and no watcher; it is put into eval mode.
        unread: The matrices that were not read.
        examples: The arguments of each run that was looked at.
    """
    if not unread:
        return []
    layers = [(path, module) for path, module in net.named_modules() if isinstance(module, AnalogLayer)]
    weights = [(path, v.weight) for path, layer in layers for v in layer.views() if v.matrix in unread]
    ran: set[str] = set()
    # Of what a forward multiplies with itself, it may skip some (experts).
    hooks = [
        layer.register_forward_pre_hook(lambda _l, _a, path=path: ran.add(path))
        for path, layer in layers
        if not isinstance(layer, Functional)
    ]
    try:
        with digitally(net), torch.compiler.set_stance("force_eager"), _Reads() as reads:
            for example in examples:
                trial(net, *example)
    finally:
        for hook in hooks:
            hook.remove()
    return sorted({path for path, weight in weights if path in ran or at(weight, reads.times)})


class _Reads(TorchDispatchMode):
    """Context that counts how often operators read at each address."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.times: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not (isinstance(func, torch._ops.OpOverload) and is_view(func)):
            self.times.update(address(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
        return func(*args, **(kwargs or {}))


def _tensors(output: Any) -> Iterator[Tensor]:
    """Every tensor in an answer: in lists, in dicts, and in the attributes of objects such as data classes."""
    if isinstance(output, Tensor):
        output = torch.view_as_real(output) if output.is_complex() else output
        yield output.byte() if output.dtype is torch.bool else output
    else:
        parts = output.values() if isinstance(output, dict) else output
        if not isinstance(output, (dict, tuple, list)):
            parts = vars(output).values() if hasattr(output, "__dict__") else ()
        for value in parts:
            yield from _tensors(value)


def check_encoding(hw: Hardware) -> None:
    """Try an encoding on weights from -1 to 1: cells that hold their targets must give them back, and the gradient of the
    way there must be 1, unless the encoding says that it rounds.

    Raises:
        WrongSetting: They do not.
    """
    encoding, name = hw.encoding, type(hw.encoding).__name__
    weight = torch.linspace(-1, 1, _PROBE, dtype=torch.float64).reshape(1, 1, -1)
    weight.requires_grad_(not encoding.straight_through)
    with torch.enable_grad():
        found = whole(decode(encoding.encode(weight, hw.cell), encoding.readouts(hw.cell)), encoding.readouts(hw.cell))
        slope = _slope(found, weight)
    off = float((found - weight).detach().abs().max())
    if encoding.straight_through:
        if not off <= 1:
            raise WrongSetting(
                f"{name} gives weights back that are off by {off:.3g} of the largest", "check encode and readouts",
                path="encoding",
            )  # fmt: skip
        return
    if not off <= 1e-9 or not bool((slope - 1).abs().median() <= 1e-9):
        raise WrongSetting(
            f"{name} does not give weights back: off by {off:.3g} of the largest, with gradient {float(slope.median()):.3g}",
            "check encode and readouts; one that rounds says so: straight_through: ClassVar[bool] = True",
            path="encoding",
        )


def _slope(found: Tensor, weight: Tensor) -> Tensor:
    """The gradient of an encoding and back; 0 where its operations have none."""
    try:
        return torch.autograd.grad(found.sum(), weight)[0] if found.requires_grad else torch.zeros_like(weight)
    except RuntimeError:
        return torch.zeros_like(weight)

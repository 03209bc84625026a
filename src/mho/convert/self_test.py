"""The test that every conversion with an example runs: same outputs, and every layer that runs reads its arrays."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mho.crossbar.cells import decode, whole
from mho.errors import BadInput, NotYet, WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogLayer
from mho.nn.matrix import digitally, matrices
from mho.nn.source import Effective, Exact

_RELATIVE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
_PROBE = 65
"""Weights from -1 to 1 that an encoding is tried on."""


def self_test(model: nn.Module, net: nn.Module, *example: Any) -> list[str]:
    """Run one batch and compare, in eval mode: the network with its weights in digital form with the original, and the
    network with every non-ideality off with its weights as the encoding holds them.

    Arrays are read block by block, readout by readout, so cutting, encoding and scaling are all exercised. Neither `model`
    nor `net` is touched.

    Returns:
        Paths of the layers that never ran.

    Raises:
        NotYet: The outputs differ, or a layer ran without reading its arrays (a fused path or a functional call went
            around them), or a weight is read by somebody else than its layer.
        BadInput: The example does not fit the model.
    """
    twin = copy.deepcopy(net).eval()
    for matrix in matrices(twin):
        matrix.hw = matrix.hw.ideal()
    read, ran = set[str](), set[str]()
    for path, module in twin.named_modules():
        if isinstance(module, AnalogLayer):
            module.register_forward_hook(lambda _m, _args, _out, path=path: ran.add(path))
    for matrix in matrices(twin):
        matrix.register_forward_hook(lambda m, _args, _out: read.add(m.path))
    with torch.no_grad():
        try:
            expected = copy.deepcopy(model).eval()(*example)
        except (RuntimeError, TypeError, ValueError) as error:
            raise BadInput(
                f"the model does not run on the example ({error})", "give one batch of its inputs"
            ) from error
        with digitally(twin):
            digital = twin(*example)
        _compare(expected, digital, "with its weights in digital form")
        held = expected
        if any(matrix.hw.encoding.straight_through for matrix in matrices(twin)):
            _set(twin, Effective)
            held = twin(*example)
        _set(twin, Exact)
        _compare(held, twin(*example), "with every non-ideality off")
        return _unread(twin, read, ran, expected, example)


def _set(net: nn.Module, source: Any) -> None:
    for matrix in matrices(net):
        matrix.source = source()


def _unread(net: nn.Module, read: set[str], ran: set[str], expected: Any, example: tuple[Any, ...]) -> list[str]:
    """Layers that never ran, after a look at whether anybody else reads their weights."""
    layers = {path: m for path, m in net.named_modules() if isinstance(m, AnalogLayer)}
    left = {path: [v for v in m.views() if v.matrix.path not in read] for path, m in layers.items()}
    for path, views in left.items():
        if views and path in ran:
            _refuse(path, views[0].matrix.path, "its layer ran without reading it")
    never = [path for path, views in left.items() if views]
    for path in never:  # a weight that is not a number shows in the output of whoever reads it
        before = [view.weight.detach().clone() for view in left[path]]
        for view in left[path]:
            view.weight.detach().fill_(torch.nan)
        spoiled = not _same(expected, net(*example))
        for view, weight in zip(left[path], before, strict=True):
            view.weight.detach().copy_(weight)
        if spoiled:
            _refuse(path, left[path][0].matrix.path, "the network reads it around its layer's forward")
    return never


def _refuse(layer: str, matrix: str, why: str) -> None:
    raise NotYet(
        f"never read in a forward pass: {why}", f"keep it digital: hw.replace(digital=['{layer}'])", path=matrix
    )


def _same(a: Any, b: Any) -> bool:
    try:
        _compare(a, b, "")
    except NotYet:
        return False
    return True


def _compare(expected: Any, found: Any, how: str) -> None:
    for a, b in zip(_tensors(expected), _tensors(found), strict=True):
        tolerance = _RELATIVE.get(a.dtype, 0.0) * max(1.0, float(a.abs().max()) if a.numel() else 0.0)
        difference = float((a - b).abs().max()) if a.numel() else 0.0
        if not difference <= tolerance:
            raise NotYet(
                f"the converted network differs from the original by {difference:.3g} (tolerance {tolerance:.3g}) {how}",
                "look for layers that read another module's weight, or keep suspects digital with hw.replace(digital=[...])",
            )


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, (tuple, list)):
        for value in output:
            yield from _tensors(value)


def check_encoding(hw: Hardware) -> None:
    """Try an encoding on weights from -1 to 1: cells that hold their targets must give them back, and the gradient of the
    way there must be 1, unless the encoding says that it rounds.

    Raises:
        WrongSetting: They do not.
    """
    encoding, name = hw.encoding, type(hw.encoding).__name__
    weight = torch.linspace(-1, 1, _PROBE, dtype=torch.float64).reshape(1, 1, -1).requires_grad_()
    with torch.enable_grad():
        found = whole(decode(encoding.encode(weight, hw.cell), encoding.readouts(hw.cell)), encoding.readouts(hw.cell))
        slope = torch.autograd.grad(found.sum(), weight)[0] if found.requires_grad else torch.zeros_like(weight)
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

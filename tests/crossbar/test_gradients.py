"""Every product has the gradients of the reference executor, whichever executor takes it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mho
from mho.crossbar import Held, Operator, Scheme, hold, ideal_cells, product, reference
from mho.hardware import Hardware

CONV = Operator(2, (1, 1), (1, 1), (1, 1))
HW: dict[str, Any] = {"dac": {"bits": 5}, "adc": {"bits": 6}, "array__rows": 18}
DROP = {"ir_drop": {"scale": 1.0, "conductance_ratio": 100.0}}
# What a layer may be, and what may be asked of it: settings of the hardware, changes of what is held, who is differentiated.
CASES: dict[str, tuple[Operator, dict[str, Any], dict[str, Any], str]] = {
    "plain": (CONV, {}, {}, "x weight reach bias"),
    "weights alone": (CONV, {}, {}, "weight"),
    "inputs alone": (CONV, {}, {}, "x"),
    "bias alone": (CONV, {}, {}, "bias"),
    "range of the inputs alone": (CONV, {}, {}, "reach"),
    "range of the inputs, no bias": (CONV, {}, {"bias": None}, "x reach"),
    "range of the converter": (CONV, {}, {}, "x weight adc_range"),
    "range of the converter alone": (CONV, {}, {}, "adc_range"),
    "gain": (CONV, {}, {}, "x gain"),
    "shift": (CONV, {}, {"shift": True}, "x weight reach bias"),
    "a range for every patch": (CONV, {"dac__range": "abs_max"}, {}, "x weight bias"),
    "a range for every vector": (Operator(), {"dac__range": "abs_max"}, {}, "x weight bias"),
    "offset": (CONV, {"encoding": {"kind": "offset"}}, {}, "x weight reach bias"),
    "two readouts": (CONV, {"encoding": {"kind": "differential", "subtract": "digital"}}, {}, "x weight reach bias"),
    "IR drop": (CONV, DROP, {}, "x weight reach bias"),
    "padding same": (Operator(2, (1, 1), "same", (1, 1)), {}, {}, "x weight reach bias"),
    "padding valid": (Operator(2, (1, 1), "valid", (1, 1)), {}, {}, "x weight reach bias"),
    "one image": (CONV, {}, {"size": (4, 6, 6)}, "x weight reach bias"),
    "one image, weights alone": (CONV, {}, {"size": (4, 6, 6)}, "weight"),
    "one image, inputs alone": (CONV, {}, {"size": (4, 6, 6)}, "x"),
    "one vector": (Operator(), {}, {"size": (36,)}, "x weight reach bias"),
    "one vector, weights alone": (Operator(), {}, {"size": (36,)}, "weight"),
    "sequences": (Operator(), {}, {"size": (2, 3, 36)}, "x weight reach bias"),
    "no vector at all": (Operator(), {}, {"size": (0, 36)}, "x weight bias"),
    "no image at all": (CONV, {}, {"size": (0, 4, 6, 6)}, "x weight bias"),
    "unipolar": (CONV, {"adc": {"bits": 6, "unipolar": True}}, {}, "x weight reach bias"),
}
SIZES = {0: ((5, 36), (7, 36)), 2: ((5, 4, 3, 3), (3, 4, 6, 6))}


def case(name: str) -> tuple[Held, Operator, Tensor, Tensor, Tensor, Tensor | None, list[Tensor]]:
    operator, settings, given, wanted = CASES[name]
    shape, size = SIZES[operator.dims]
    size = given.get("size", size)
    draw = torch.Generator().manual_seed(1)
    of = lambda *shape: torch.randn(shape, generator=draw, dtype=torch.float64)  # noqa: E731
    scheme = Scheme.of(operator, shape, Hardware.preset("ideal", **{**HW, **settings}))
    held = hold(ideal_cells(operator.to_matrix(of(*shape)), scheme), operator, scheme)
    operands = tuple(o._replace(weight=o.weight.detach()) for o in held.operands)
    held = held._replace(operands=operands, shift=of(5) if "shift" in given else None)
    x, reach, bias = of(*size), torch.tensor(1.5, dtype=torch.float64), of(5) if "bias" not in given else None
    adc_range = 3 + of(len(scheme.readouts.columns), len(scheme.blocks)).abs()
    places = {"x": [x], "reach": [reach], "bias": [bias], "adc_range": [adc_range],
              "weight": [o.weight for o in operands], "gain": [o.gain for o in operands]}  # fmt: skip
    leaves = [leaf.requires_grad_() for name in wanted.split() for leaf in places[name]]
    return held, operator, x, reach, adc_range, bias, leaves


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_the_references_whoever_computes_them(name):
    found = []
    for execute in (product, reference.compute):
        *arguments, leaves = case(name)
        y = execute(*arguments)
        g = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        found.append([y.detach(), *torch.autograd.grad((y * g).sum(), leaves)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-7 * max([1.0, *theirs.abs().flatten().tolist()]))
    assert all(bool(theirs.any()) for theirs in found[1]) or not found[1][0].numel()


def test_each_polarity_has_the_gradient_of_its_own_column():
    """Positive weights of 1 clip the converter of their column; the other one still learns, and only from what it holds."""
    hw = Hardware.preset(
        "ideal",
        encoding={"kind": "differential", "subtract": "digital"},
        adc={"bits": 12, "range": "fixed", "bound": 1.5},
    )
    layer = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.9, -0.5]]))
    net = mho.calibrate(mho.to_analog(nn.Sequential(layer), hw), [torch.ones(1, 3)])
    net(torch.ones(1, 3)).sum().backward()
    assert float(net(torch.ones(1, 3)).detach()) == pytest.approx(1.5 - 0.5, abs=0.01)
    torch.testing.assert_close(net[0].weight.grad, torch.tensor([[0.0, 0.0, 1.0]]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("output", [0.0, 0.03])
def test_vectors_of_zeros_have_gradients_under_weight_noise(output):
    """Where nothing is multiplied the noise has no spread, whose root has no slope."""
    hw = Hardware.preset("ideal", dac={"bits": 8}, noise={"weight": 0.03, "output": output})
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Tanh(), nn.Linear(4, 3))
    x = torch.cat([torch.zeros(1, 4), torch.randn(4, 4)])
    analog = mho.calibrate(mho.to_analog(net, hw), [x])
    analog(x).square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in analog.parameters())
    assert bool((analog[0](x)[0] == 0).all()) == (output == 0)

"""Conversions that nothing keeps apart are one product, with the same answer and the same noise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mho
from mho.hardware import Hardware
from mho.nn.linear import LINEAR
from mho.nn.matrix import matrices
from mho.nn.source import Exact, sources

SIGNS = [{"sign": "pair", "subtract": "digital"}, {"sign": "offset"}, {"sign": "twos_complement"}]
SLICED = [{"kind": "bit_sliced", "cell_bits": 3, **sign} for sign in SIGNS]
ENCODINGS = [*SLICED, {"kind": "offset"}, {"kind": "differential", "subtract": "digital"}]


def hardware(encoding, **changes):
    settings = {"array": {"rows": 20}, "dac": {"bits": 6, "slice_bits": 1}, "adc": {"bits": None}} | changes
    return Hardware.preset("ideal", encoding=encoding, cell={"kind": "ideal", "g_min_us": 1.0}, **settings)


def converted(hw, x, model=None):
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Conv2d(8, 6, 3, padding=1, groups=2), nn.Flatten(), nn.Linear(96, 5))
    return mho.calibrate(mho.to_analog(model.double(), hw, example=x), [x])


@pytest.mark.parametrize("range_", ["calibrated", "abs_max"])
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: "-".join(map(str, e.values())))
def test_one_product_answers_like_all_of_them(encoding, range_):
    x = torch.randn(3, 8, 4, 4, dtype=torch.float64)
    for scale in ("column", "array", "none"):
        hw = hardware(encoding, dac={"bits": 6, "range": range_, "slice_bits": 2}, mapping={"scale": scale})
        net = converted(hw, x)
        with torch.no_grad():
            together = net(x)
            with sources(matrices(net), lambda matrix: Exact()):
                apart = net(x)
        torch.testing.assert_close(together, apart, rtol=1e-11, atol=1e-12)


def test_it_takes_one_product_a_layer():
    x = torch.randn(2, 8, 4, 4, dtype=torch.float64)
    chip = mho.program(converted(hardware(SLICED[1]), x)).at("1 s")
    assert [len(m.source.held().operands) for m in matrices(chip)] == [1, 1]
    assert [len(m.source.held().scheme.plan.blocks) for m in matrices(chip)] == [1, 1]
    lossy = mho.program(converted(hardware(SLICED[1], adc={"bits": 6}), x)).at("1 s")
    assert all(len(m.source.held().operands) > 1 for m in matrices(lossy))


@pytest.mark.parametrize("noise", [{"output": 0.05}, {"weight": 0.05}, {"output": 0.03, "weight": 0.05}])
@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda e: "-".join(map(str, e.values())))
def test_its_noise_has_the_variance_of_all_of_them(encoding, noise):
    x = torch.randn(1, 60, dtype=torch.float64)
    net = converted(hardware(encoding, noise=noise, dac={"bits": 6}), x, nn.Sequential(nn.Linear(60, 4)))
    assert net[0].matrix.scheme(net[0].weight, LINEAR).joined is not None
    with torch.no_grad():
        many = x.expand(4000, -1)
        together = net(many)
        with sources(matrices(net), lambda matrix: Exact()):
            apart = net(many)
    ratio = together.var(0) / apart.var(0)
    assert float((ratio - 1).abs().max()) < 6 * (4 / 4000) ** 0.5
    z = (together.mean(0) - apart.mean(0)) / (2 * apart.var(0) / 4000).sqrt()
    assert float(z.abs().max()) < 5


def test_what_is_not_linear_stays_apart():
    def joined(**changes):
        net = mho.to_analog(nn.Sequential(nn.Linear(60, 4)), hardware(SLICED[1], **changes))
        return net[0].matrix.scheme(net[0].weight, LINEAR).joined is not None

    assert joined() and joined(noise={"output": 0.1})
    assert not joined(adc={"bits": 4}) and not joined(ir_drop={"scale": 1.0})
    assert not joined(noise={"weight": 0.1}), "every slice of the input draws weights of its own"
    assert not joined(dac={"bits": 6}, noise={"input": 0.1}), "the digital side knows the inputs without their noise"
    clips = {"bits": None, "range": "fixed", "bound": 1.0, "on_clip": "halve_input"}
    assert not joined(dac={"bits": 6}, adc=clips), "an analog bound"


def test_gradients_are_those_of_all_conversions():
    x = torch.randn(5, 60, dtype=torch.float64)
    net = converted(hardware(SLICED[0]), x, nn.Sequential(nn.Linear(60, 4)))
    found = []
    for exact in (False, True):
        net.zero_grad()
        with sources(matrices(net), lambda matrix, exact=exact: Exact() if exact else None):
            net(x).square().sum().backward()
        found.append(net[0].weight.grad.clone())
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-10)

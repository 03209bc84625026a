"""WAGE as published: its quantisers, scales and update in closed form, and that a small network learns with it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.data import load
from mho.errors import BadInput, WrongSetting
from mho.training import Wage, fit
from mho.training.wage import OneHot, QuantisedActivation, QuantisedErrors, WageSGD, quantise, shift, step
from mho.training.wage.optimizer import change


def _model():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1, bias=False),
        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10, bias=False),
    )  # fmt: skip


def _hardware(wage, **changes):
    base = mho.Hardware.preset("neurosim-rram").replace(
        cell={"kind": "ideal", "g_min_us": 0.0, "g_max_us": 100.0, "levels": 16}, dac={"bits": None}, adc={"bits": None},
        encoding={"kind": "bit_sliced", "bits": 8, "cell_bits": 4, "sign": "offset", "reference": "fixed_column"},
    )  # fmt: skip
    return wage.hardware(base.replace(**changes))


def test_numbers_of_few_bits():
    x = torch.tensor([-2.0, -0.75, -0.3, -0.25, 0.0, 0.2, 0.26, 0.74, 0.76, 5.0])
    assert quantise(x, 2).tolist() == [-0.5, -0.5, -0.5, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5]
    assert step(8) == 1 / 128 and quantise(torch.tensor([1.0, 0.1]), 8).tolist() == [127 / 128, 13 / 128]
    sizes = shift(torch.tensor([1.0, 0.35, 0.36, 3.0, 0.0, 1e-30]))
    assert sizes[:5].tolist() == [1.0, 0.25, 0.5, 4.0, 1.0] and sizes[5] == 2.0**-100


@pytest.mark.parametrize(
    ("bits", "inputs", "bound", "scale"),
    [
        (2, 144, 0.75, 4.0),
        (2, 1152, 0.75, 16.0),
        (8, 144, 144**-0.5 * 3**0.5, 1.0),
        (5, 1152, 0.09375, 2.0),
        (2, 3, 1.0, 1.0),
    ],
)
def test_how_layers_begin(bits, inputs, bound, scale):
    assert Wage(weight_bits=bits).begin(inputs) == pytest.approx((bound, scale))


def test_errors_and_activations():
    x = torch.tensor([-0.5, 0.5021, 0.2, 1.5], requires_grad=True)
    y = QuantisedActivation(8, 8)(x)
    assert y.tolist() == [0.0, 64 / 128, 26 / 128, 127 / 128]
    y.backward(torch.tensor([3.0, 1.0, -0.01, 7.0]))
    # 7 does not pass the clip: the largest is 3, and its power of two is 4. Negative inputs stop behind the quantiser.
    assert x.grad.tolist() == [0.0, 32 / 128, 0.0, 0.0]
    e = torch.zeros(3, requires_grad=True)
    QuantisedErrors(8)(e).backward(torch.tensor([5.0, -1.0, 0.02]))
    assert e.grad.tolist() == [127 / 128, -32 / 128, 1 / 128]  # 5/4 saturates, 0.02/4 is 0.64 of a step


def test_the_update():
    g = torch.tensor([1.0, -0.25, 0.3, 0.0])
    assert change(g, 8.0, 8, torch.zeros(4)).tolist() == [8 / 128, -2 / 128, 2 / 128, 0.0]
    assert change(g, 8.0, 8, torch.full((4,), 0.7)).tolist() == [8 / 128, -2 / 128, 3 / 128, 0.0]
    many = change(torch.full((20000,), 0.3), 1.0, 8, torch.rand(20000, generator=torch.Generator().manual_seed(0)))
    assert many.mean() * 128 == pytest.approx(0.3 / 0.25, abs=0.015)  # unbiased
    weight = nn.Parameter(torch.tensor([0.4, -0.5]))
    optimizer = WageSGD([weight], 16.0)
    weight.grad = torch.tensor([-1.0, 1.0])
    optimizer.step()
    assert weight.tolist() == [0.5, -0.5]  # 0.4 + 16/128 and -0.5 - 16/128, clipped at 1 - σ(2)


def test_arrays_compute_what_is_published():
    wage = Wage()
    net = wage.prepare(_model())
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    found = mho.to_analog(net, _hardware(wage), example=x)(x)

    def layer(x, weight, scale):
        made = F.conv2d(x, quantise(weight, 2), padding=1) if weight.dim() == 4 else F.linear(x, quantise(weight, 2))
        return made / scale

    weights = [p.detach() for p in net.parameters()]
    assert {float(v) for w in weights for v in w.unique()} == {-0.5, 0.0, 0.5}
    y = F.max_pool2d(quantise(layer(quantise(x, 8), weights[0], wage.begin(9)[1]).relu(), 8), 2)
    y = F.max_pool2d(quantise(layer(y, weights[1], 4.0).relu(), 8), 2)
    torch.testing.assert_close(found, layer(y.flatten(1), weights[2], wage.begin(64)[1]))


def test_a_network_learns_digits_through_slices_and_converters():
    """And weights stay whole multiples of σ(k_G), which a programmed chip holds in cells of few states."""
    wage = Wage(weight_bits=8)
    training, test = load("digits?split=train&n=640"), load("digits?n=200")
    hw = _hardware(wage, dac={"bits": 9}, adc={"bits": 10})
    net = mho.calibrate(mho.to_analog(wage.prepare(_model()), hw, example=training.inputs[:2]), training)
    before = mho.accuracy(net, test)
    fit(net, training, epochs=4, batch=32, optimizer=wage.optimizer, schedule="constant", task=OneHot(), progress=False)
    weight = next(net.parameters()).detach()
    assert torch.equal(weight * 128, (weight * 128).round()) and weight.abs().max() <= 1 - step(8)
    assert before < 0.3 and mho.accuracy(net, test) > 0.7
    assert mho.accuracy(mho.program(net).at(0.0), test) > 0.7


def test_what_is_refused():
    wage = Wage()
    with pytest.raises(WrongSetting, match="1.bias: WAGE has neither biases nor norms"):
        wage.prepare(nn.Sequential(nn.ReLU(), nn.Linear(2, 2)))
    with pytest.raises(WrongSetting, match=r"no nn.ReLU .* use modules"):
        wage.prepare(nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)))
    with pytest.raises(WrongSetting, match="no convolution"):
        wage.prepare(nn.ReLU())
    with pytest.raises(WrongSetting, match="'differential' holds no bits"):
        wage.hardware("pcm")
    with pytest.raises(WrongSetting, match="dac.range: ranges that are learned would be updated as weights are"):
        _hardware(wage, dac={"bits": 8, "range": "learned"})
    with pytest.raises(BadInput, match="beyond ±1 -> prepare"):
        wage.optimizer([nn.Parameter(torch.tensor([1.5]))])
    with pytest.raises(WrongSetting, match="lr"):
        WageSGD([nn.Parameter(torch.zeros(1))], lr=0)

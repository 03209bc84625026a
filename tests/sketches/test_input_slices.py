"""A sketch of inputs in slices: a converter that gives its codes bit by bit, each bit converted on its own."""

from __future__ import annotations

import functools
import math
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mho
from mho.hardware import ADC, DAC, InputSlice
from mho.training.injections import Gaussian


def bit_of(u: Tensor, bit: int, half: float) -> Tensor:
    """One bit of the magnitude of the code, with the code's sign."""
    code = (u * half).round()
    return code.sign() * (code.abs() / 2**bit).floor().remainder(2)


class BitSerial(DAC):
    """Magnitudes go to the rows bit by bit, the lowest first; the sign is that of the voltage."""

    def slices(self) -> tuple[InputSlice, ...]:
        """One a bit of the magnitude."""
        half = self.half_steps
        bits = range(math.ceil(math.log2(half + 1)))
        return tuple(InputSlice(functools.partial(bit_of, bit=k, half=half), 2**k / half) for k in bits)


ROWS, COLUMNS, REACH, CODES = 21, 5, 1.7, 7
"""Three bits of magnitude and a sign."""


def hardware(dac: DAC, adc: ADC | None = None, **changes: object) -> mho.Hardware:
    hw = mho.Hardware.preset("ideal", array={"rows": 9}, adc=adc or ADC(bits=None), **changes)
    return hw.model_copy(update={"dac": dac})


def network(hw: mho.Hardware, model: nn.Module) -> nn.Module:
    net = mho.to_analog(model, hw)
    for module in net.modules():
        if isinstance(module, mho.nn.AnalogMatrix):
            module.set_range("input_range", torch.tensor(REACH, dtype=torch.float64))
    return net


MODELS = {
    "linear": (lambda: nn.Linear(ROWS, COLUMNS), (40, ROWS)),
    "conv": (lambda: nn.Conv2d(3, 4, 3, padding=1, stride=2), (4, 3, 6, 6)),
    "transposed": (lambda: nn.ConvTranspose1d(3, 4, 3, stride=2), (4, 3, 6)),
}


@pytest.mark.parametrize("encoding", [{"kind": "differential"}, {"kind": "offset"}], ids=["pair", "offset"])
@pytest.mark.parametrize("ranges", ["calibrated", "abs_max"])
@pytest.mark.parametrize("kind", MODELS)
def test_without_converters_behind_them_slices_are_the_whole_input(kind, ranges, encoding):
    if kind == "transposed" and ranges == "abs_max":
        return
    make, size = MODELS[kind]
    model, x = make().double(), torch.randn(size, dtype=torch.float64)
    sliced, plain = (
        network(hardware(dac, encoding=encoding), model)
        for dac in (BitSerial(bits=4, range=ranges), DAC(bits=4, range=ranges))
    )
    with torch.no_grad():
        torch.testing.assert_close(sliced(x), plain(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(mho.program(sliced).at("1 day")(x), plain(x), rtol=0, atol=1e-12)
        assert float((plain(x) - model(x)).abs().max()) > 0.01


def by_integers(x: np.ndarray, weight: np.ndarray, half: float, bound: float) -> np.ndarray:
    """Weights are whole multiples of 1/10 of the scale of their column; every bit is converted on its own."""
    scale = np.abs(weight).max(1, keepdims=True)
    tenths = np.rint(10 * weight / scale).astype(np.int64)
    codes = np.clip(np.rint(x * CODES / REACH), -CODES, CODES).astype(np.int64)
    total = np.zeros((len(x), len(weight)))
    for start in range(0, ROWS, 9):
        rows = slice(start, start + 9)
        for bit in range(3):
            ones = np.sign(codes[:, rows]) * (np.abs(codes[:, rows]) >> bit & 1)
            y = ones @ tenths[:, rows].T
            total += 2**bit * bound * np.clip(np.rint(y * half / (10 * bound)), -half, half) / half
    return total * REACH / CODES * scale.T


def test_each_slice_has_a_conversion_of_its_own():
    model = nn.Linear(ROWS, COLUMNS, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.randint(-9, 10, (COLUMNS, ROWS)) / 10)
        model.weight[:, 4] = 1
    x = torch.randn(60, ROWS, dtype=torch.float64)
    adc = ADC(bits=None, steps=62, range="fixed", bound=2.3)
    net = network(hardware(BitSerial(bits=4), adc), model)
    scheme = net.matrix.scheme(net.weight, mho.nn.linear.LINEAR)
    assert len(scheme.conversions) == 3 * 3 and scheme.only_by_reference == "inputs come in slices"
    expected = by_integers(x.numpy(), model.weight.detach().numpy(), 31, 2.3)
    with torch.no_grad():
        np.testing.assert_allclose(net(x).numpy(), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(mho.program(net).at("1 year")(x).numpy(), expected, rtol=0, atol=1e-12)
        plain = network(hardware(DAC(bits=4), adc), model)(x)
    assert float(np.abs(plain.numpy() - expected).max()) > 0.1


def test_noise_of_outputs_is_drawn_for_every_slice():
    model = nn.Linear(9, COLUMNS, bias=False).double()
    net = network(hardware(BitSerial(bits=4), noise={"output": 0.1}), model)
    x = torch.randn(1, 9, dtype=torch.float64)
    with torch.no_grad():
        noise = net(x.expand(4000, -1))
    scale = model.weight.detach().abs().amax(1)
    expected = 0.1 * REACH * math.sqrt(1 + 4 + 16) / CODES * scale
    torch.testing.assert_close(noise.std(0), expected, rtol=0.06, atol=0)


def test_calibration_looks_at_slices():
    model, x = nn.Sequential(nn.Linear(ROWS, 8), nn.ReLU(), nn.Linear(8, COLUMNS)), torch.randn(50, ROWS)
    sliced, plain = (
        mho.calibrate(mho.to_analog(model, hardware(dac(bits=4), ADC(bits=12)), example=x), [x])
        for dac in (BitSerial, DAC)
    )
    assert bool((sliced[0].matrix.adc_range > plain[0].matrix.adc_range).all())  # one bit of a code is a full input
    with torch.no_grad():
        torch.testing.assert_close(sliced(x), plain(x), rtol=0, atol=0.02)
    mho.HWA(weights=Gaussian(sigma=0.01)).attach(sliced, steps=2)
    sliced(x).sum().backward()
    pickle.loads(pickle.dumps(sliced))(x)


@pytest.mark.parametrize("kind", MODELS)
def test_the_way_back_is_that_of_the_whole_input(kind):
    make, size = MODELS[kind]
    model, x, found = make().double(), torch.randn(size, dtype=torch.float64), []
    for dac in (BitSerial(bits=4), DAC(bits=4)):
        net, leaf = network(hardware(dac), model), x.clone().requires_grad_()
        net(leaf).square().sum().backward()
        found.append((leaf.grad, net.weight.grad))
    assert bool((found[0][0] != 0).any())
    torch.testing.assert_close(*found, rtol=0, atol=1e-11)


class Twice(DAC):
    """Every input is given twice, and the mean of the two answers is taken."""

    def slices(self) -> tuple[InputSlice, ...]:
        """Two halves of the answer."""
        return (InputSlice(weight=0.5), InputSlice(weight=0.5))


def test_inputs_may_be_repeated():
    model, x = nn.Linear(9, COLUMNS, bias=False).double(), torch.randn(1, 9, dtype=torch.float64).expand(4000, -1)
    twice, once = (network(hardware(dac(bits=4), noise={"output": 0.1}), model) for dac in (Twice, DAC))
    for programmed in (False, True):
        with torch.no_grad():
            two, one = ((mho.program(net).at(0.0) if programmed else net)(x) for net in (twice, once))
        torch.testing.assert_close(two.mean(0), one.mean(0), rtol=0, atol=0.02)
        torch.testing.assert_close(two.std(0) * math.sqrt(2), one.std(0), rtol=0.08, atol=0)

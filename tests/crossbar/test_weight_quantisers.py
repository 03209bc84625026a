"""Weights as whole numbers: symmetric, WAGE, modified WAGE and NeuroSim's, with reference columns of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.nn.linear import LINEAR

G_MIN, G_MAX, REACH, CODES = 2.0, 34.0, 2.0, 15


def hardware(quantiser="symmetric", *, cell=None, adc=None, scale="tensor", **encoding):
    encoding = {"kind": "bit_sliced", "bits": 6, "cell_bits": 3, "sign": "offset", "quantiser": quantiser} | encoding
    cell = {"kind": "ideal", "g_min_us": G_MIN, "g_max_us": G_MAX} | (cell or {})
    return Hardware.preset("ideal", cell=cell, array={"rows": 64}, dac={"steps": 2 * CODES}, mapping={"scale": scale},
                           adc=adc or {"bits": None}, encoding=encoding)  # fmt: skip


def network(hw, weight):
    net = mho.to_analog(nn.Sequential(nn.Linear(weight.shape[1], len(weight), bias=False)).double(), hw)
    with torch.no_grad():
        net[0].weight.copy_(weight)
    net[0].matrix.set_range("input_range", torch.tensor(REACH, dtype=torch.float64))
    return net


def quantised(w, quantiser, bits=6):
    """By the papers' formulas, on weights within [-1, 1]."""
    if quantiser == "symmetric":
        largest = 2 ** (bits - 1) - 1
        return np.rint(w * largest) / largest
    if quantiser == "wage":
        step = 2.0 ** (1 - bits)
        return np.clip(np.rint(w / step) * step, -1 + step, 1 - step)
    return 2 * np.rint((2**bits - 1) / 2 * (w + 1)) / (2**bits - 1) - 1


@pytest.mark.parametrize("reference", ["digital", "column", "fixed_column"])
@pytest.mark.parametrize("scale", ["tensor", "column", "unit"])
@pytest.mark.parametrize("quantiser", ["symmetric", "wage", "neurosim"])
def test_weights_are_the_papers_numbers(quantiser, scale, reference):
    torch.manual_seed(0)
    weight, x = 0.7 * torch.randn(5, 23, dtype=torch.float64), torch.randn(30, 23, dtype=torch.float64)
    w = weight.numpy()
    size = {"tensor": np.abs(w).max(), "column": np.abs(w).max(1, keepdims=True), "unit": 1.0}[scale]
    held = quantised(np.clip(w / size, -1, 1), quantiser) * size
    codes = np.clip(np.rint(x.numpy() * CODES / REACH), -CODES, CODES) * REACH / CODES
    net = network(hardware(quantiser, scale=scale, reference=reference), weight)
    with torch.no_grad():
        for found in (net(x), mho.program(net).at(0.0)(x)):
            np.testing.assert_allclose(found.numpy(), codes @ held.T, rtol=0, atol=1e-11)
    assert (np.abs(w / size) > 1).any() == (scale == "unit")


def test_a_reference_that_is_converted_on_its_own():
    """Σ_k f_k (ADC(Σ x g_k) - ADC(Σ x D)), D in the middle of the range in every row (NeuroSim's dummy column)."""
    torch.manual_seed(1)
    weight, x = 0.4 * torch.randn(5, 23, dtype=torch.float64), torch.rand(30, 23, dtype=torch.float64)
    hw = hardware("neurosim", scale="unit", reference="fixed_column", subtract="digital",
                  adc={"bits": 5, "unipolar": True, "range": "fixed", "bound": 13.37})  # fmt: skip
    codes = np.rint(x.numpy() * CODES / REACH)
    level = np.rint(63 / 2 * (np.clip(weight.numpy(), -1, 1) + 1)).astype(int)

    def adc(current):
        unit = current / CODES / (G_MAX - G_MIN)
        return 13.37 * np.clip(np.rint(unit * 31 / 13.37), 0, 31) / 31

    total = np.zeros((30, 5))
    for k in range(2):
        g = G_MIN + (G_MAX - G_MIN) * (level >> 3 * k & 7) / 7
        dummy = np.full((1, 23), (G_MIN + G_MAX) / 2)
        total += 2 ** (3 * k) * 7 * (adc(codes @ g.T) - adc(codes @ dummy.T))
    with torch.no_grad():
        found = network(hw, weight)(x)
    np.testing.assert_allclose(found.numpy(), total * REACH / 31.5, rtol=0, atol=1e-11)


def test_fixed_columns_have_no_errors_and_others_have():
    weight = 0.4 * torch.randn(64, 40, dtype=torch.float64)
    for reference, noisy in (("column", True), ("fixed_column", False)):
        hw = hardware(reference=reference).replace(
            variations=[
                {"sigma": 0.1, "relative_to": "ideal"},
                {"sigma": 0.1, "relative_to": "gmax", "redraw": "read"},
            ],
            faults={"stuck_low": 0.2},
        )
        arrays = mho.program(network(hw, weight)).arrays["0"]
        planes = arrays.conductances(10.0)
        assert [bool((g != t).any()) for g, t in zip(planes, arrays.targets, strict=True)] == [True, noisy] * 2


def test_mvm_variation_spares_fixed_columns():
    weight = 0.4 * torch.randn(5, 40, dtype=torch.float64)
    found = []
    for reference in ("column", "fixed_column"):
        hw = hardware(reference=reference).replace(variations=[{"sigma": 0.1, "relative_to": "gmax", "redraw": "mvm"}])
        net = network(hw, weight)
        held = net[0].matrix.source.values(net[0].matrix, net[0].weight, LINEAR)
        found.append(held.operands[0].variance)
    torch.testing.assert_close(found[0], 2 * found[1])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"quantiser": "neurosim", "sign": "pair"}, "sign 'offset'"),
        ({"quantiser": "neurosim", "cell_bits": 4}, "hold all bits and no more"),
        ({"quantiser": "dorefa"}, "quantiser"), ({"sign": "pair", "reference": "fixed_column"}, "no constant part"),
        ({"subtract": "digital"}, "nothing is subtracted"),
        ({"quantiser": "neurosim", "reference": "column", "cell": {"levels": 8}}, "half-way states"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(changes, named):
    with pytest.raises(WrongSetting, match=named):
        hardware(**({"quantiser": "symmetric"} | changes))


def test_scale_unit_and_analog_addition_say_when_they_mean_nothing():
    with pytest.raises(WrongSetting, match="clip_sigma has no effect"):
        Hardware.preset("ideal", mapping={"scale": "unit", "clip_sigma": 2.5})
    with pytest.raises(WrongSetting, match="comes whole"):
        Hardware.preset("ideal", dac={"bits": 8, "shift_and_add": "analog"})


def test_inputs_added_as_charge_are_converted_once():
    weight, x = torch.randn(5, 23, dtype=torch.float64), torch.randn(30, 23, dtype=torch.float64)
    hw = hardware(sign="pair", adc={"bits": 5, "range": "fixed", "bound": 5.1})
    whole, charge = network(hw, weight), network(hw.replace(dac__slice_bits=1, dac__shift_and_add="analog"), weight)
    with torch.no_grad():
        assert torch.equal(whole(x), charge(x))
    assert charge[0].matrix.hw.dac.cycles() == 4 and len(charge[0].matrix.hw.dac.slices()) == 1


def test_a_network_with_weights_beyond_one_converts_on_scale_unit():
    model = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        model[0].weight.mul_(10)
    for encoding in ({"kind": "differential"}, {"kind": "bit_sliced"}):
        hw = Hardware.preset("ideal", mapping={"scale": "unit"}, encoding=encoding)
        net = mho.to_analog(model, hw, example=torch.randn(2, 4))
        held = net[0].matrix.source.values(net[0].matrix, net[0].weight, LINEAR)
        found = held if isinstance(held, torch.Tensor) else mho.crossbar.effective(held, LINEAR)
        torch.testing.assert_close(found, model[0].weight.detach().clamp(-1, 1), rtol=0, atol=1 / 127)

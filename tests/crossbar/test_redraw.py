"""Variation drawn anew for every conversion of a batch: NeuroSim's redraw per input bit, under its own name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mho
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.hardware.variation import Variation


def network(redraw, *, slice_bits=1, adc=None, rows=40, encoding=None):
    encoding = encoding or {"kind": "bit_sliced", "cell_bits": 4, "sign": "offset"}
    hw = Hardware.preset("ideal", encoding=encoding, array={"rows": 64}, dac={"bits": 8, "slice_bits": slice_bits},
                         adc=adc or {"bits": None},
                         variations=[{"sigma": 0.1, "relative_to": "ideal", "redraw": redraw, "clip": "none"}])  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = mho.to_analog(nn.Sequential(nn.Linear(rows, 200, bias=False)).double(), hw)
    net[0].matrix.set_range("input_range", torch.tensor(1.0, dtype=torch.float64))
    return net


def error(net, x):
    quiet = network("program", slice_bits=net[0].matrix.hw.dac.slice_bits)  # no chip: no variation of program
    with torch.no_grad():
        return (net(x) - quiet(x)) / net[0].weight.abs().amax(1)


def test_all_vectors_of_a_batch_share_a_draw_and_calls_do_not():
    net, x = network("conversion"), torch.rand(1, 40, dtype=torch.float64).expand(3, -1)
    a, b = error(net, x), error(net, x)
    assert torch.allclose(a[0], a[1], rtol=0, atol=1e-12) and not torch.allclose(a, b, atol=1e-4)
    mvm = error(network("mvm"), x)
    assert not torch.allclose(mvm[0], mvm[1], atol=1e-4)


def test_its_bits_average_where_a_frozen_error_does_not():
    """peers.md 2.6, 3. An input of 1 everywhere: Σ w_s² / (Σ w_s)² of the variance that a frozen draw has."""
    x = torch.ones(1, 40, dtype=torch.float64)
    frozen = network("program")
    with torch.no_grad():
        of_chips = torch.cat([mho.program(frozen, seed=s).at(0.0)(x) for s in range(20)])
        exact = frozen(x)
    program = float(((of_chips - exact) / frozen[0].weight.detach().abs().amax(1)).var())
    bits = float(torch.cat([error(network("conversion"), x) for _ in range(20)]).var())
    weights = torch.tensor([2.0**i / 127 for i in range(7)])
    assert bits / program == pytest.approx(float(weights.square().sum()), rel=0.1)
    whole = float(torch.cat([error(network("conversion", slice_bits=None), x) for _ in range(20)]).var())
    assert whole / program == pytest.approx(1.0, rel=0.1)


def test_it_is_named_and_needs_a_normal_distribution():
    variation = Variation(sigma=0.1, relative_to="ideal", redraw="conversion")
    assert "drawn per conversion" in str(variation.definition())
    with pytest.raises(WrongSetting, match="cannot be drawn per conversion"):
        Variation(sigma=0.1, relative_to="ideal", redraw="conversion", distribution="uniform")
    with pytest.raises(WrongSetting, match="has no effect"):
        Variation(sigma=0.1, relative_to="ideal", redraw="conversion", clip="range")


def test_chips_have_it_with_lossy_converters():
    net = network("conversion", adc={"bits": 8, "range": "maximum"})
    chip, x = mho.program(net).at(0.0), torch.rand(2, 40, dtype=torch.float64)
    with torch.no_grad():
        assert not torch.equal(chip(x), chip(x))

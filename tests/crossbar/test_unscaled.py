"""Columns that are read in units of a weight of 1, as AIHWKit does by default."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import mho
from mho.hardware import Hardware

N, X = 256, torch.rand(400, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
X[:, 0] = 1.0  # the largest of every vector
QUIET = {"cell": {"kind": "ideal", "g_max_us": 25.0}, "dac.bits": None, "adc": {"bits": None}}
NO_FACTOR = {"compensation": "none"}


def _linear(size):
    torch.manual_seed(0)
    layer = nn.Linear(N, 64, bias=False)
    layer.weight.data.uniform_(-size, size)
    return layer


@pytest.mark.parametrize("size", [0.01, 0.5, 3.0])
@pytest.mark.parametrize("programmed", [False, True])
def test_output_noise_does_not_follow_the_size_of_the_weights(size, programmed):
    for scale, expected in (("none", 0.06), ("tensor", 0.06 * size)):
        layer = _linear(size)
        net = mho.to_analog(
            layer, Hardware.preset("aihwkit-default", **QUIET, **NO_FACTOR, mapping__scale=scale)
        ).eval()
        net = mho.program(net).at("1 h") if programmed else net
        with torch.no_grad():
            error = net(X) - layer(X)
        assert (
            float(error.std()) == pytest.approx(expected, rel=0.03) and abs(float(error.mean())) < 0.01 * expected * 3
        )


def test_a_weight_beyond_one_is_programmed_whole():
    layer = _linear(3.0)
    hw = Hardware.preset("aihwkit-default", **QUIET, **NO_FACTOR, noise__output=0.0)
    assert torch.allclose(mho.program(mho.to_analog(layer, hw)).at("1 h")(X), layer(X), atol=1e-3)


def test_the_converter_is_in_units_of_weights_and_bound_management_halves_the_input():
    """9 bits at 12: a step of 12/255 real units, whatever the weights; beyond 12 the input is halved, and the step doubled."""
    fine = {k: v for k, v in QUIET.items() if k != "adc"}
    for size, step in ((0.01, 12 / 255), (3.0, None)):
        layer = _linear(size)
        net = mho.to_analog(layer, Hardware.preset("aihwkit-default", **fine, noise__output=0.0)).eval()
        with torch.no_grad():
            error = (net(X) - layer(X)).abs()
            largest = layer(X).abs().amax(1)
        top = 12 * (1 - 0.5 / 255)  # from here on the largest code
        halvings = torch.log2(largest / top).ceil().clamp(0, 5)
        steps = 12 / 255 * 2**halvings
        assert bool((error <= steps[:, None] / 2 + 1e-4).all()), size
        assert float(error.max()) > 0.45 * float(steps.max())
        assert (step is None) == bool((halvings > 0).any())


def test_the_preset_has_the_numbers_of_aihwkit():
    hw = Hardware.preset("aihwkit-default")
    assert (hw.dac.half_steps, hw.dac.range, hw.adc.half_steps, hw.adc.bound, hw.noise.output) == (
        63,
        "abs_max",
        255,
        12,
        0.06,
    )
    assert (hw.adc.on_clip, 2**hw.adc.max_halvings) == ("halve_input", 32)  # until beyond 0.25 · 126
    scaled = Hardware.preset("aihwkit-scaled")
    assert scaled.replace(mapping__scale="none", name=hw.name, sources=hw.sources) == hw
    assert math.isclose(scaled.cell.g_max_us, 25.0) and scaled.compensation.kind == "global"


def test_compensation_reads_through_the_noise_of_the_columns():
    """A reading of single weights of 0.01 in a noise of 0.06 says little; scaled to the column it says all."""
    layer, found = _linear(0.01), {}
    for name in ("aihwkit-default", "aihwkit-scaled"):
        hw = Hardware.preset(name, **QUIET)
        factors = []
        for chip in range(4):
            net = mho.program(mho.to_analog(layer, hw), chip=chip).at("1 h")
            source = net.matrix.source
            factors.append(float((source.weight(next(net.views()).operator) / layer.weight.detach()).median()))
        found[name] = torch.tensor(factors).std()
    assert found["aihwkit-default"] > 3 * found["aihwkit-scaled"]

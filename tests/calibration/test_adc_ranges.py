"""Bounds of the smallest error at the layer's output, against integrals and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn

import mho
from mho.calibration.kept import Kept
from mho.crossbar import Operator
from mho.hardware import Hardware

PCM = Hardware.preset("pcm-cells", dac__bits=None)
V = np.linspace(-10, 10, 200_001)
DENSITY = np.exp(-V * V / 2) / np.sqrt(2 * np.pi) * (V[1] - V[0])


def _error(bound, half, spread=1.0, towards=1.0):
    """E (Q(v) - towards v)² for v ~ N(0, spread²), by integration."""
    v = V * spread
    q = np.clip(np.round(v * half / bound), -half, half) * bound / half
    return float(((q - towards * v) ** 2 * DENSITY).sum())


def _layer(weight, hw):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return mho.to_analog(nn.Sequential(layer), hw)


def _normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _spreads(net):
    """Standard deviation of the columns for standard normal inputs."""
    w, matrix = net[0].weight.detach(), net[0].matrix
    return (w.norm(dim=1) / w.abs().amax(1) / matrix.input_range).numpy(), w.abs().amax(1).numpy()


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_normal_outputs_have_the_known_optimum(bits):
    weight = _normal(16, 64)
    weight = weight.sign() * weight.abs().mean(1, keepdim=True)  # all columns spread alike
    net = mho.calibrate(_layer(weight, PCM.replace(adc__bits=bits)), [_normal(16_384, 64, seed=9)], method="error")
    spread, half = float(_spreads(net)[0][0]), 2 ** (bits - 1) - 1
    best = minimize_scalar(lambda b: _error(b, half), bounds=(1, 8), method="bounded")
    found = float(net[0].matrix.adc_range) / spread
    assert found == pytest.approx(best.x, rel=0.06)
    assert _error(found, half) < 1.015 * best.fun


def test_columns_count_with_the_square_of_their_factor():
    """Column A is wide and its factor small, column B narrow with a large one: B decides."""
    weight = torch.stack([0.05 * _normal(64).sign(), _normal(64, seed=1) * 0.02])
    weight[1, 0] = 1.0
    hw, x = PCM.replace(adc__bits=5), _normal(16_384, 64, seed=2)
    net = mho.calibrate(_layer(weight, hw), [x], method="error")
    spread, factor = _spreads(net)

    def error(bound, factors):
        return sum(f * f * _error(bound, 15, s) for s, f in zip(spread, factors, strict=True))

    best = minimize_scalar(lambda b: error(b, factor), bounds=(0.1 * spread[1], 6 * spread[0]), method="bounded")
    alike = minimize_scalar(lambda b: error(b, (1, 1)), bounds=(0.1 * spread[1], 6 * spread[0]), method="bounded")
    found = float(net[0].matrix.adc_range)
    assert found == pytest.approx(best.x, rel=0.06) and alike.x > 1.5 * found


def test_noise_before_the_converter_widens_its_range():
    """E (Q(y + n) - y)² with v = y + n: given v, y is normal around v s²/(s² + σ²)."""
    weight, x = _normal(16, 64).sign(), _normal(16_384, 64, seed=2)
    quiet = mho.calibrate(_layer(weight, PCM.replace(adc__bits=6)), [x], method="error")
    s = float(_spreads(quiet)[0][0])
    net = mho.calibrate(_layer(weight, PCM.replace(adc__bits=6, noise__output=0.5 * s)), [x], method="error")
    total = 1.25**0.5 * s
    best = minimize_scalar(lambda b: _error(b, 31, total, 1 / 1.25), bounds=(s, 8 * s), method="bounded")
    found = float(net[0].matrix.adc_range)
    assert _error(found, 31, total, 1 / 1.25) - best.fun < 0.01 * _error(4 * s, 31, s)
    assert found == pytest.approx(best.x, rel=0.15)


def test_calibration_with_noise_is_repeatable_and_draws_nothing_of_others():
    hw, x = PCM.replace(adc__bits=6, dac__bits=6, noise__output=0.1, noise__weight=0.02), _normal(256, 64)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        for method in ("error", "max"):
            matrix = mho.calibrate(_layer(_normal(8, 64, seed=5), hw), [x], method=method)[0].matrix
            found.append((matrix.input_range, matrix.adc_range))
        fresh = nn.Linear(64, 8)
        torch.random.set_rng_state(state)
        for _ in range(2):
            nn.Linear(64, 8, bias=False)
        assert torch.equal(fresh.weight, nn.Linear(64, 8).weight)
    assert all(
        torch.equal(a, b)
        for first, second in ((0, 2), (1, 3))
        for a, b in zip(found[first], found[second], strict=True)
    )


ENCODINGS = {
    "two polarities": {"encoding": {"kind": "differential", "subtract": "digital"}},
    "two polarities, both sides": {"encoding": {"kind": "differential", "subtract": "digital", "sides": "two"}},
    "row blocks": {"array__rows": 32},
    "offset": {"encoding": {"kind": "offset", "reference": "digital"}},
    "offset column": {"encoding": {"kind": "offset", "reference": "column"}},
    "ranges of each vector": {"dac__range": "abs_max", "dac__bits": 6},
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_no_other_bounds_are_clearly_better_at_the_output(name):
    """Brute force over the bounds, measured by the layer itself against the digital one."""
    hw = PCM.replace(adc__bits=5, **ENCODINGS[name])
    x, weight = _normal(1024, 64, seed=3).relu(), _normal(8, 64, seed=4)
    net = mho.calibrate(_layer(weight, hw), [x], method="error")
    matrix = net[0].matrix
    chosen = matrix.adc_range.clone()
    assert chosen.numel() == (2 if name in ("two polarities", "two polarities, both sides", "row blocks") else 1)

    def error(bounds):
        matrix.adc_range.copy_(bounds.reshape(chosen.shape))
        with torch.no_grad():
            return float((net(x) - x @ weight.T).square().sum())

    reached, factors = error(chosen), np.geomspace(0.25, 2.5, 25)
    tried = [
        error(chosen * torch.tensor(pair, dtype=torch.float32).reshape(chosen.shape))
        for pair in itertools.product(factors, repeat=chosen.numel())
    ]
    assert reached < 1.03 * min(tried)
    mho.calibrate(net, [x], method="max")
    assert reached < error(matrix.adc_range.clone())


def test_a_convolution_counts_its_positions():
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=False)
    net = mho.to_analog(nn.Sequential(layer), PCM.replace(adc__bits=5, dac__bits=5, array__rows=9))
    x = torch.randn(8, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    mho.calibrate(net, [x], method="error")
    assert net[0].matrix.adc_range.shape == (1, 2)
    with torch.no_grad():
        error = float((net(x) - layer(x)).square().sum())
        mho.calibrate(net, [x])
        assert error < 0.8 * float((net(x) - layer(x)).square().sum())


def test_kept_inputs_are_an_even_sample_of_whole_items():
    kept = Kept(torch.zeros(2**8, 2**10), Operator())
    items = torch.arange(4 * 700.0).reshape(4, 700)[:, :, None].expand(4, 700, 2**10)
    for part in items:
        kept.add(part, torch.zeros(700, 2**8))
    found = torch.cat(list(kept))[:, 0]
    assert torch.equal(found, torch.arange(0, 2800.0, 4)) and kept.largest == 2799
    images = Kept(torch.zeros(1, 1, 1, 1), Operator(2, (1, 1), (0, 0), (1, 1)))
    images.add(torch.ones(1, 5, 5), torch.ones(1, 5, 5))
    images.add(torch.ones(3, 1, 4, 4), torch.ones(3, 1, 4, 4))
    assert [tuple(chunk.shape) for chunk in images] == [(1, 1, 5, 5), (3, 1, 4, 4)]

"""Offsets and curves of columns against AIHWKit's formulas, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.crossbar.plan import Plan
from mho.crossbar.read_voltage import draw_columns
from mho.errors import WrongSetting
from mho.hardware import Array, Columns, Hardware
from mho.rng import Stream

REACH = 2.0


def network(columns, **changes):
    torch.manual_seed(0)
    settings = {"array": {"rows": 16}, "dac": {"bits": None}, "adc": {"bits": None}} | changes
    hw = Hardware.preset("ideal", columns=columns, **settings)
    net = mho.to_analog(nn.Sequential(nn.Linear(24, 5, bias=False)).double(), hw)
    net[0].matrix.set_range("input_range", torch.tensor(REACH, dtype=torch.float64))
    return net


def by_formula(w, u, v, n, columns):
    """One block: w (columns, rows) and u (vectors, rows) in units of full weight and input."""
    y = u @ w.T
    y = (1 - v) * y - 2 * v * columns.get("reference", 0.0) * u.sum(1, keepdims=True)
    f = 1 + columns.get("nonlinearity", 0.0) * columns.get("exact_at", 0.0)
    return f * y / (1 + n * np.abs(y))


@pytest.mark.parametrize("columns", [
    {"offset": 0.2}, {"offset": 0.2, "reference": 0.5}, {"nonlinearity": 0.1, "nonlinearity_std": 0.3, "exact_at": 2.0},
    {"offset": 0.1, "reference": 0.3, "nonlinearity": 0.05},
])  # fmt: skip
def test_a_chips_columns_follow_the_formula(columns):
    net = network(columns)
    chip, x = mho.program(net, seed=4), torch.randn(7, 24, dtype=torch.float64)
    arrays, total = chip.arrays["0"], np.zeros((7, 5))
    scale = net[0].weight.detach().abs().amax(1).numpy()
    for b, rows in enumerate((slice(0, 16), slice(16, 24))):
        v, n = arrays.columns[0, b].double().numpy().T
        w = (net[0].weight.detach().numpy() / scale[:, None])[:, rows]
        total += by_formula(w, x.numpy()[:, rows] / REACH, v, n, columns) * scale * REACH
    with torch.no_grad():
        np.testing.assert_allclose(chip.at(0.0)(x).numpy(), total, rtol=1e-9, atol=1e-10)


def test_without_a_chip_columns_have_their_mean():
    columns = {"offset": 0.3, "nonlinearity": 0.1, "nonlinearity_std": 0.5}
    net, x = network(columns, array={"rows": 24}), torch.randn(7, 24, dtype=torch.float64)
    scale = net[0].weight.detach().abs().amax(1).numpy()
    w = net[0].weight.detach().numpy() / scale[:, None]
    expected = by_formula(w, x.numpy() / REACH, 0.0, 0.1, columns) * scale * REACH
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-9, atol=1e-10)
    net(x).sum().backward()
    assert bool(torch.isfinite(net[0].weight.grad).all())


def test_draws_have_their_size_and_offsets_are_not_negative():
    columns = Columns(offset=0.2, nonlinearity=0.1, nonlinearity_std=0.2)
    v, n = draw_columns(columns, Plan(1, 20000, 4, 1, Array()), Stream((0,))).T
    assert float(v.min()) == 0 and abs(float((v > 0).float().mean()) - 0.5) < 0.02
    assert float(v.square().mean()) == pytest.approx(0.02, rel=0.06)
    assert float(n.mean()) == pytest.approx(0.1, rel=0.01) and float(n.std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(
    "columns", [{"reference": 0.5}, {"nonlinearity_std": 0.1}, {"exact_at": 1.0}, {"offset": -0.1}]
)
def test_what_means_nothing_is_refused(columns):
    with pytest.raises(WrongSetting):
        Hardware.preset("ideal", columns=columns)

"""Noise of the inputs behind the DAC: its size, that all columns see it, and that it needs a range."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mho


def _net(layer, sigma, x, **changes):
    hw = mho.Hardware.preset("pcm-cells", dac={"bits": None}, adc={"bits": None}, noise={"input": sigma}, **changes)
    net = mho.to_analog(layer, hw)
    return mho.calibrate(net, [x]).eval()


@pytest.mark.parametrize(
    ("layer", "x"),
    [(nn.Linear(30, 6), torch.rand(8000, 30)), (nn.Conv2d(5, 6, 3, bias=False), torch.rand(800, 5, 5, 5)),
     (nn.Conv2d(6, 6, 1, groups=3), torch.rand(4000, 6, 2, 2))],
)  # fmt: skip
def test_its_variance_is_that_of_the_product(layer, x):
    net = _net(layer, 0.1, x)
    with torch.no_grad():
        noise = (net(x) - layer(x)).movedim(1, -1).flatten(0, -2)
        matrix = layer.weight.flatten(1)
        expected = (0.1 * float(x.max())) ** 2 * matrix.square().sum(1)
        assert torch.allclose(noise.var(0), expected, rtol=0.12)
        if (
            not isinstance(layer, nn.Conv2d) or layer.groups == 1
        ):  # one draw a row: columns are correlated as the weights are
            wanted = torch.nn.functional.cosine_similarity(matrix[0], matrix[1], dim=0)
            assert float(torch.corrcoef(noise.T)[0, 1]) == pytest.approx(float(wanted), abs=0.05)


def test_columns_that_are_read_apart_see_the_same_input():
    """Two readouts of one pair: their difference cancels noise that both saw, for a weight of zero mean conductance."""
    layer = nn.Linear(20, 4, bias=False)
    x = torch.rand(3000, 20)
    both = _net(layer, 0.1, x, encoding={"kind": "differential", "subtract": "digital", "sides": "two"})
    one = _net(layer, 0.1, x)
    with torch.no_grad():
        a, b = ((net(x) - layer(x)).var(0) for net in (both, one))
    assert torch.allclose(a, b, rtol=0.15)


def test_it_trains_and_is_refused_without_a_range():
    layer, x = nn.Linear(20, 4), torch.rand(64, 20)
    net = _net(layer, 0.05, x).train()
    net(x).square().mean().backward()
    assert bool(torch.isfinite(net.weight.grad).all()) and bool((net.weight.grad != 0).any())
    bare = mho.to_analog(layer, mho.Hardware.preset("ideal", noise={"input": 0.1}))
    with pytest.raises(mho.errors.WrongSetting, match="no range yet"):
        bare(x)
    assert "row input: σ = 0.05" in str(net.hw)

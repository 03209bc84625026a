"""Quantisation-aware training: slices and converters in the graph, gradients straight through, ranges that learn."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import mho


def _net(**changes):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(96, 4))
    x = torch.rand(32, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    hw = mho.Hardware.preset("neurosim-rram").replace(
        cell={"kind": "ideal", "g_min_us": 0, "g_max_us": 100, "levels": 16}, array={"rows": 64},
        encoding={"kind": "bit_sliced", "bits": 8, "cell_bits": 4, "sign": "pair"}, dac={"bits": None}, adc={"bits": None},
    )  # fmt: skip
    return mho.calibrate(mho.to_analog(model, hw.replace(**changes), example=x), [x]), x


def test_gradients_pass_slices_as_if_weights_were_not_rounded():
    """Without converters the gradient of a weight is that of the digital layer of the rounded weights."""
    net, x = _net()
    effective = mho.to_digital(net)
    with torch.no_grad():
        for layer in (effective[0], effective[3]):
            full = layer.weight.abs().max() / 127
            layer.weight.copy_((layer.weight / full).round() * full)
    labels = torch.arange(32) % 4
    for module in (net, effective):
        F.cross_entropy(module(x), labels).backward()
    for name, parameter in effective.named_parameters():
        torch.testing.assert_close(net.get_parameter(name).grad, parameter.grad, rtol=1e-4, atol=1e-6)


def test_weights_and_ranges_learn_through_lossy_converters():
    net, x = _net(dac={"bits": 6, "range": "learned"}, adc={"bits": 5, "range": "learned"})
    labels = (x.mean((1, 2, 3)) * 40).long() % 4
    ranges = {name: p.detach().clone() for name, p in net.named_parameters() if name.endswith("range")}
    assert len(ranges) == 4
    optimizer, losses = torch.optim.Adam(net.parameters(), 5e-3), []
    for _ in range(25):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.85 * losses[0]
    assert all(not torch.equal(net.get_parameter(name), before) for name, before in ranges.items())

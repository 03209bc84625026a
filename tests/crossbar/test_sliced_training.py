"""Training through slices and converters: straight-through gradients, ranges that are learned."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mho
from mho.hardware import Hardware


@pytest.mark.parametrize("slice_bits", [None, 1])
@pytest.mark.parametrize("encoding", [
    {"sign": "pair"}, {"sign": "offset", "reference": "column"}, {"sign": "twos_complement"},
    {"sign": "offset", "quantiser": "wage"},
], ids=lambda e: "-".join(e.values()))  # fmt: skip
def test_a_few_steps_learn_weights_and_ranges(encoding, slice_bits):
    torch.manual_seed(0)
    hw = Hardware.preset("ideal", encoding={"kind": "bit_sliced", "bits": 6, "cell_bits": 3, **encoding}, array={"rows": 8},
                         dac={"bits": 5, "range": "learned", "slice_bits": slice_bits}, adc={"bits": 6, "range": "learned"},
                         mapping={"scale": "tensor"})  # fmt: skip
    x = torch.randn(64, 12)
    y = (x[:, :3].sum(1) > 0).long()
    net = mho.to_analog(nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 2)), hw, example=x[:2])
    net = mho.calibrate(net, [x])
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    assert sum("range" in name for name in before) == 4
    optimizer, losses = torch.optim.SGD(net.parameters(), lr=0.1), []
    for _ in range(8):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    moved = {name for name, p in net.named_parameters() if not torch.equal(p, before[name])}
    assert {n for n in before if "weight" in n or "range" in n} <= moved
    assert all(bool(torch.isfinite(p).all()) for p in net.parameters())

"""What can be fused is read off a network once, for all chips and ages; recalibrated networks are looked at each time."""

from __future__ import annotations

import sys

import torch
from torch import nn

import mho
from mho.chip.fuse import Fusion
from mho.chip.graph import trace
from mho.measure import TestData
from mho.measure.chip_job import ChipJob
from mho.recalibration import RecalibrateNorms


def test_a_network_is_traced_once(monkeypatch):
    traced = []
    monkeypatch.setattr(sys.modules["mho.chip.fuse"], "trace", lambda net: traced.append(net) or trace(net))
    torch.manual_seed(0)
    x, y = torch.randn(12, 3, 6, 6), torch.arange(12) % 4
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(80, 4)).eval()
    model[1].running_mean.normal_()
    net = mho.calibrate(mho.to_analog(model, "pcm", example=x), [x]).train()
    fusion = Fusion.of(net)
    assert fusion == Fusion({"0": "1"}, True) and net.training and len(traced) == 1
    result = mho.drift(net, [(x, y)], ["1 h", "1 day"], chips=2)
    assert len(traced) == 2
    data = TestData.of([(x, y)])
    each = [m for i in range(2) for m in ChipJob(net, data, 0)((i, (3600.0, 86400.0)))]
    assert len(traced) == 6 and [m.loss for m in each] == [m.loss for m in result.measurements]
    mho.drift(net, [(x, y)], ["1 h", "1 day"], chips=2, recalibrate=RecalibrateNorms([(x, y)]))
    assert len(traced) == 10
    assert isinstance(mho.fuse(mho.program(net).at(0))[1], nn.Identity)

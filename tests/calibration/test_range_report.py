"""What ranges clip and cost, counted by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import mho
from mho.calibration import load_ranges, ranges_of, save_ranges
from mho.calibration.range_report import range_report
from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware

PCM = Hardware.preset("pcm-cells")


def _net(hw):
    torch.manual_seed(0)
    return mho.to_analog(nn.Sequential(nn.Linear(20, 6), nn.ReLU(), nn.Linear(6, 3)).eval(), hw)


def _x():
    return torch.randn(300, 20, generator=torch.Generator().manual_seed(0))


def test_the_counts_are_those_of_the_tensors():
    net, x = mho.calibrate(_net(PCM), [_x()], quantile=0.9), _x()
    first, second = range_report(net, [x])
    reach, bound = net[0].matrix.input_range, net[0].matrix.adc_range
    w = net[0].weight.detach()
    u = (x / reach * 127).round().clamp(-127, 127) / 127
    columns = u @ (w / w.abs().amax(1, keepdim=True)).T
    assert (first.path, second.path) == ("0", "2") and first.input_range == float(reach)
    assert first.adc_ranges == (float(bound),)
    assert first.inputs_clipped == int((x.abs() > reach).sum()) / x.numel() > 0.09
    assert first.outputs_clipped == pytest.approx(float((columns.abs() > bound).float().mean()), abs=2e-3)
    with torch.no_grad():
        wanted = x @ w.T
        lost = net[0](x) - net[0].bias - wanted
    assert first.decibels == pytest.approx(10 * math.log10(wanted.square().sum() / lost.square().sum()), abs=1e-3)


def test_ideal_converters_lose_nothing():
    rows = range_report(_net(Hardware.preset("ideal")), [_x()])
    assert all(
        r.input_range is None and not r.adc_ranges and not r.inputs_clipped and not r.outputs_clipped for r in rows
    )
    assert all(r.decibels > 100 for r in rows)


def test_a_bit_is_worth_six_decibels():
    levels = []
    for bits in (7, 8):
        net = mho.calibrate(_net(PCM.replace(dac__bits=bits, adc__bits=bits)), [_x()])
        levels.append([row.decibels for row in range_report(net, [_x()])])
    assert all(5 < b - a < 7 for a, b in zip(*levels, strict=True))


def test_ranges_travel_in_a_file(tmp_path):
    from safetensors.torch import load_file

    net = mho.calibrate(_net(PCM.replace(dac__range="learned")), [_x()], method="error")
    file = save_ranges(net, tmp_path / "new" / "ranges.safetensors")
    assert set(load_file(file)) == set(ranges_of(net)) == {
        f"{layer}.matrix.{name}" for layer in (0, 2) for name in ("input_range", "adc_range")
    }  # fmt: skip
    other = _net(PCM.replace(dac__range="learned"))
    assert not other.load_state_dict(load_file(file), strict=False).unexpected_keys
    assert torch.equal(other(_x()), net(_x()))
    with pytest.raises(WrongSetting, match="no range"):
        save_ranges(_net(PCM), tmp_path / "none")
    with pytest.raises(BadInput, match="cannot write"):
        save_ranges(net, file / "inside")


class _Counting(nn.Module):
    """Counts its calls in a buffer, and keeps a thing that is no tensor."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.norm = nn.Linear(20, 6), nn.BatchNorm1d(6)
        self.register_buffer("calls", torch.tensor(0))

    def get_extra_state(self):
        return {"made": "by hand"}

    def set_extra_state(self, state):
        pass

    def forward(self, x):
        self.calls += 1
        return self.norm(self.linear(x))


def test_ranges_fit_the_same_network_whatever_it_has_counted(tmp_path):
    hw = PCM.replace(dac__range="calibrated")
    net = mho.calibrate(mho.to_analog(_Counting().eval(), hw), [_x()])
    file = save_ranges(net, tmp_path / "ranges.safetensors")
    other = _Counting().eval()
    other.norm.num_batches_tracked += 7
    fresh = load_ranges(mho.to_analog(other, hw), file)
    assert torch.equal(fresh(_x()), net(_x()))
    double = load_ranges(mho.to_analog(other, hw).double(), file)
    assert float(double.linear.matrix.input_range) == float(net.linear.matrix.input_range) > 0
    other.norm.running_mean += 1
    with pytest.raises(BadInput, match="another network or other weights"):
        load_ranges(mho.to_analog(other, hw), file)


def test_what_is_not_calibrated_says_so():
    with pytest.raises(WrongSetting, match="mho.calibrate"):
        range_report(_net(PCM), [_x()])

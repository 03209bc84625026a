"""Costs from a placement alone: of stored runs, in reports, and as what a sweep notes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import mho
from mho.costs import cost, cost_of_placement, known_cost
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.sweeps.costs import costs_of

X = torch.rand(3, 2, 8, 8)


def _net(hw: Hardware, example: torch.Tensor | None = X) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(256, 3, bias=False))
    return mho.to_analog(layers.eval(), hw, example=example)


def test_a_placement_says_what_running_says(hardware, round_numbers):
    for hw in (hardware, hardware.replace(encoding={"kind": "bit_sliced", "bits": 5, "cell_bits": 2}),
               hardware.replace(layers={"2": {"adc.bits": 4}}), hardware.replace(dac__slice_bits=1)):  # fmt: skip
        net = _net(hw)
        ran = cost(net, example=X, technology=round_numbers)
        told = cost_of_placement(net.placement.rows(), hw, technology=round_numbers, net=net)
        assert told.latency_ns == ran.latency_ns and told.area_um2 == pytest.approx(ran.area_um2)
        assert told.energy_pj == pytest.approx(ran.energy_pj, rel=1e-6)  # nothing digital but a reshape
        drawn = cost_of_placement(net.placement.rows(), hw, technology=round_numbers)
        assert drawn.by_component()["adc"] == ran.by_component()["adc"]
        assert drawn.by_component()["cells"] == pytest.approx(ran.by_component()["cells"], rel=0.5)


def test_parameters_of_several_matrices_are_several(hardware, round_numbers):
    x = torch.rand(2, 5, 8)
    net = mho.to_analog(nn.LSTM(8, 6, batch_first=True).eval(), hardware, example=x)
    told = cost_of_placement(net.placement.rows(), hardware, technology=round_numbers)
    assert sum(layer.macs for layer in told.layers) == 5 * 4 * 6 * (8 + 6)
    assert sum(layer.arrays for layer in told.layers) == net.placement.arrays


def test_what_was_not_counted_is_refused_by_name(hardware):
    net = _net(hardware, None)
    with pytest.raises(WrongSetting, match="not counted on an example"):
        cost_of_placement(net.placement.rows(), hardware)
    with pytest.raises(WrongSetting, match="no weight stands on arrays"):
        cost_of_placement([], hardware)


def test_a_drift_report_says_what_an_inference_costs(tmp_path):
    net = mho.calibrate(_net(Hardware.preset("pcm")), [X])
    result = mho.drift(net, [(X, torch.tensor([0, 1, 2]))], ["1 h"], chips=1)
    found, why = known_cost(result.header)
    assert found is not None and not why and found.energy_pj > 0
    text = mho.report(result, tmp_path).read_text()
    assert "What an inference costs" in text and "Energy of an inference" in text
    found, why = known_cost(replace(result.header, placement=()))
    assert found is None and "no weight stands on arrays" in why


def test_a_sweep_notes_costs(hardware):
    net = _net(hardware)
    noted = costs_of(net, ["energy_pj", "latency_ns", "area_um2", "arrays"])
    assert (
        noted["energy_pj"] > 0
        and noted["arrays"] == net.placement.arrays
        and noted["latency_ns"] > 0 < noted["area_um2"]
    )
    finer = costs_of(_net(hardware.replace(adc__bits=8)), ["energy_pj"])
    assert finer["energy_pj"] > noted["energy_pj"]

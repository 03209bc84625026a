"""Costs of networks: what must hold whatever the numbers are, capacity, bad input, files."""

from __future__ import annotations

import csv
import json

import pytest
import torch
import yaml
from torch import nn

import mho
from mho.costs import Technology, cost, peak
from mho.errors import BadInput, MhoError, WrongSetting

X = torch.zeros(2, 3, 8, 8)


def _net(hw):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(64, 5)
    )
    return mho.to_analog(model.eval(), hw, example=X)


def test_the_whole_is_the_sum_of_its_parts(hardware, round_numbers, analog):
    found = cost(_net(hardware), example=X, technology=round_numbers)
    beside = sum(e.energy_pj for e in found.entries if e.layer == "digital part")
    assert found.energy_pj == pytest.approx(sum(found.by_component().values()))
    assert found.energy_pj == pytest.approx(sum(layer.energy_pj for layer in found.layers) + beside) and beside > 0
    assert found.latency_ns == sum(layer.time_ns for layer in found.layers)
    assert found.area_um2 == pytest.approx(sum(found.area_by_component().values()))
    assert found.digital_macs == 0 and found.digital_operations == 3 * 6 * 36  # the norm counts two
    alone = cost(analog(nn.Conv2d(3, 6, 3), hardware, X), example=X, technology=round_numbers)
    assert alone.layers[0].conversions == found.layers[0].conversions


def test_what_stays_digital_is_counted(hardware, round_numbers):
    found = cost(_net(hardware.replace(digital=["5"])), example=X, technology=round_numbers)
    assert found.digital_macs == 320 and "5" not in {layer.path for layer in found.layers}
    assert any("operands of digital products" in note for note in found.not_counted)


@pytest.mark.parametrize("adc", [
    {"kind": "survey"}, {"kind": "figure_of_merit", "walden_fj": 30, "source": "s"},
    {"kind": "figure_of_merit", "schreier_db": 165, "source": "s"},
    {"kind": "block", "bits": 8, "energy": 2, "node_nm": 32, "source": "s"},
    {"kind": "block", "bits": 8, "energy": 2, "node_nm": 32, "per_bit": "double", "source": "s"},
])  # fmt: skip
def test_finer_converters_take_more(adc, hardware, round_numbers, analog):
    technology = round_numbers.replace(adc=adc)
    energies = [
        cost(analog(nn.Linear(16, 4), hardware.replace(adc__bits=b), X[:, 0, 0, :2].repeat(1, 8)),
             example=torch.zeros(1, 16), technology=technology).energy_pj
        for b in (4, 6, 8, 10)
    ]  # fmt: skip
    assert energies == sorted(energies) and len(set(energies)) == 4


def test_layers_at_once_and_copies_of_the_slowest(hardware, round_numbers):
    net = _net(hardware)
    one = cost(net, example=X, technology=round_numbers)
    times, arrays = [layer.time_ns for layer in one.layers], [layer.arrays for layer in one.layers]
    at_once = cost(net, example=X, technology=round_numbers, schedule="pipelined")
    assert at_once.interval_ns == max(times) and at_once.latency_ns == sum(times) == one.interval_ns
    twice = cost(net, example=X, technology=round_numbers, replication=2)
    assert twice.capacity.needed == 2 * sum(arrays) and twice.latency_ns == one.latency_ns / 2
    assert twice.area_um2 == pytest.approx(2 * one.area_um2) and twice.energy_pj == pytest.approx(one.energy_pj)
    most = sum(arrays) + 2 * arrays[0]
    balanced = cost(net, example=X, technology=round_numbers, replication="balanced", arrays=most)
    assert balanced.capacity.needed <= most and balanced.interval_ns < one.interval_ns
    assert max(layer.copies for layer in balanced.layers) > 1
    some = cost(net, example=X, technology=round_numbers, replication={"0": 3})
    assert [layer.copies for layer in some.layers] == [3, 1, 1]


def test_does_it_fit_and_what_does_writing_take(hardware, round_numbers):
    net = _net(hardware.replace(write_verify={"rounds": 3}))
    found = cost(net, example=X, technology=round_numbers)
    cells = 2 * (6 * 27 + 4 * 54 + 5 * 64)
    assert found.capacity.cells == cells and found.capacity.fits is None and found.capacity.writes == 3
    assert found.capacity.write_energy_pj == cells * 3 * 2.0
    few = cost(net, example=X, technology=round_numbers, arrays=4)
    loads = -(-found.capacity.needed // 4)
    assert few.capacity.fits is False and few.capacity.loads == loads
    assert few.energy_pj == pytest.approx(found.energy_pj + few.capacity.write_energy_pj)
    assert few.latency_ns == pytest.approx(found.latency_ns + loads * few.capacity.write_time_ns)
    assert "too many for 4" in few.sentence()
    many = cost(net, example=X, technology=round_numbers, arrays=1000)
    assert many.capacity.fits and many.energy_pj == pytest.approx(found.energy_pj)


def test_data_are_measured_and_chips_age(hardware, round_numbers):
    torch.manual_seed(0)
    x = torch.rand(4, 3, 8, 8)
    net = _net(hardware.replace(cell={"kind": "pcm"}))
    with pytest.raises(WrongSetting, match="no range yet"):
        cost(net, [x], technology=round_numbers)
    mho.calibrate(net, [x])
    full, dim = (cost(net, [scale * x], technology=round_numbers).by_component() for scale in (1.0, 0.5))
    assert dim["cells"] < full["cells"] and dim["adc"] == full["adc"]
    chip = mho.program(net, seed=1)
    young, old = (
        cost(chip, [x], technology=round_numbers, age=age).by_component()["cells"] for age in ("1 min", "1 year")
    )
    assert old < young


def test_recurrent_attention_and_transposed_layers_are_counted(hardware, round_numbers, analog):
    x = torch.rand(2, 5, 8)
    net = mho.to_analog(nn.LSTM(8, 6, batch_first=True).eval(), hardware, example=x)
    found = cost(net, example=x, technology=round_numbers)
    assert sum(layer.macs for layer in found.layers) == 5 * 4 * 6 * (8 + 6)
    image = torch.rand(1, 3, 4, 4)
    up = analog(nn.ConvTranspose2d(3, 2, 2, stride=2), hardware, image)
    mho.calibrate(up, [image])
    found = cost(up, [image], technology=round_numbers)
    assert found.layers[0].products == 64 and found.by_component()["cells"] > 0


def test_vectors_with_ranges_of_their_own_and_repetitions_are_named(hardware, round_numbers, analog):
    x = torch.rand(2, 16)
    hw = hardware.replace(dac__range="abs_max", adc={"range": "fixed", "bits": 6, "on_clip": "halve_input"})
    found = cost(analog(nn.Linear(16, 4), hw, x), [x], technology=round_numbers)
    assert {e.component: e.count for e in found.entries}["digital_operation"] == 16
    assert any("repetitions" in note for note in found.not_counted)


def test_nothing_is_silently_zero(hardware, round_numbers):
    bare = round_numbers.replace(components={})
    found = cost(_net(hardware), example=X, technology=bare)
    for name in ("row_driver", "sample_hold", "adder", "multiplier", "buffer", "interconnect", "digital_operation"):
        assert any(f"energy of {name}: no constant" in note for note in found.not_counted), name
    assert set(found.by_component()) == {"cells", "adc"}
    assert all(found.rests_on()[name] for name in found.by_component())


def test_files_hold_all_of_it(hardware, round_numbers, tmp_path):
    found = cost(_net(hardware), example=X, technology=round_numbers, name="small net")
    stored = json.loads(found.to_json(tmp_path / "cost.json").read_text())
    assert stored["energy_pj"] == pytest.approx(found.energy_pj) and len(stored["layers"]) == 3
    rows = list(csv.DictReader(found.to_csv(tmp_path / "cost.csv").read_text().splitlines()))
    assert sum(float(row["energy_pj"]) for row in rows) == pytest.approx(found.energy_pj)
    assert {"layer", "component", "action", "count", "energy_pj", "rests_on"} == set(rows[0])
    assert "small net" in str(found) and "assumed:" in str(found)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput):
        mho.report(found, tmp_path / "file")


BAD = [
    ({"technology": "vacuum tubes"}, "unknown technology 'vacuum tubes'"), ({"technology": 3}, "the technology is a int"),
    ({"node_nm": 3}, "technology node of 3"), ({"node_nm": "22"}, "technology node of 22"), ({"arrays": 0}, "arrays = 0"),
    ({"schedule": "both"}, "unknown schedule 'both'"), ({"replication": 0}, "replication = 0"),
    ({"replication": "balanced"}, "how many arrays"), ({"replication": {"conv": 2}}, "no layer 'conv'"),
    ({"example": None}, "nothing is known of the inputs"), ({"age": "1 day"}, "has no age"), ({"max_batches": 0}, "max_batches"),
]  # fmt: skip


@pytest.mark.parametrize("settings, problem", BAD)
def test_bad_input_is_refused_by_name(settings, problem, hardware, analog):
    with pytest.raises(WrongSetting, match=problem):
        cost(analog(nn.Linear(16, 4), hardware, torch.zeros(1, 16)), **{"example": torch.zeros(1, 16), **settings})


def test_what_costs_nothing_that_is_known_is_refused(hardware, analog):
    x = torch.zeros(1, 16)
    for change, problem in (({"adc__bits": None}, "set adc.bits"), ({"dac__bits": None}, "set dac.bits")):
        with pytest.raises(WrongSetting, match=problem):
            cost(analog(nn.Linear(16, 4), hardware.replace(**change), x), example=x)
    with pytest.raises(WrongSetting, match="convert it first"):
        cost(nn.Linear(16, 4), example=x)
    with pytest.raises(WrongSetting, match="give what mho.to_analog"):
        cost("net", example=x)


@pytest.mark.parametrize("change, problem", [
    ({"cells": {"kind": "current", "source": "s"}}, "without voltage_v"),
    ({"adc": {"kind": "figure_of_merit", "source": "s"}}, "Walden's or Schreier's"),
    ({"adc": {"kind": "dice"}}, "unknown converter model"),
    ({"components": {"flux": {"energy_pj": 1, "source": "s"}}}, "unknown component 'flux'"),
    ({"components": {"adder": {"energy_pj": 1}}}, "source"), ({"components": {"adder": {"energy_pj": -1, "source": "s"}}}, "-1"),
    ({"node_nm": 500}, "node of 500"), ({"colour": "red"}, "unknown key 'colour'"),
])  # fmt: skip
def test_a_technology_that_cannot_be_is_refused(change, problem, described, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({**described, **change}))
    with pytest.raises(MhoError, match=problem):
        Technology.of(file)


def test_a_file_may_begin_with_a_shipped_technology(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("preset: isaac\nname: mine\nnode_nm: 14\n")
    mine = Technology.of(file)
    assert mine.name == "mine" and mine.cells == Technology.preset("isaac").cells
    assert peak("isaac", mine).by_component()["adc"] < peak("isaac").by_component()["adc"]


def test_inputs_that_are_not_finite_are_refused_by_the_layer(hardware, round_numbers):
    net = _net(hardware)
    mho.calibrate(net, [X + 1])
    with pytest.raises(BadInput, match="inputs of 0 are not finite"):
        cost(net, [X + float("nan")], technology=round_numbers)

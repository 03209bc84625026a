"""A run's header says what hardware the arrays stand on, also where single layers were given another one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mho
from mho.advice.bits import SmallestBits
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.nn.in_place import definitions_in_place, hardware_in_place
from mho.tasks.score import ACCURACY

PCM = Hardware.preset("pcm-cells")
BITS = {"0": {"dac.bits": 4, "adc.bits": 5}, "2": {"dac.bits": 6, "adc.bits": 7}}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(1)
    return [(torch.randn(40, 8), torch.randint(0, 3, (40,)))]


def applied(model, layers, dac=None, adc=None):
    found = SmallestBits(dac, adc, layers, 0.9, 40, 0.01, 0.95, ACCURACY, ())
    return found.apply(mho.to_analog(model, PCM))


def test_bits_by_layer_are_in_the_header(model, data):
    net = mho.calibrate(applied(model, BITS), data)
    header = mho.drift(net, data, ["1 h"], chips=1).header
    assert header.hardware["layers"] == BITS
    assert header.hardware_digest == PCM.replace(layers=BITS).digest() != PCM.digest()
    described = Hardware.parse(header.hardware)
    for layer in ("0", "2"):
        matrix = net.get_submodule(layer).matrix
        assert (described.for_layer(layer).dac, described.for_layer(layer).adc) == (matrix.hw.dac, matrix.hw.adc)


def test_a_network_on_what_the_header_says_computes_the_same(model, data):
    first = mho.drift(mho.calibrate(applied(model, BITS), data), data, ["1 h"], chips=2)
    again = mho.to_analog(model, Hardware.parse(first.header.hardware))
    second = mho.drift(mho.calibrate(again, data), data, ["1 h"], chips=2)
    assert (first.accuracy == second.accuracy).all() and first.header.hardware == second.header.hardware


def test_bits_for_all_layers_alike_are_those_of_the_network(model):
    assert hardware_in_place(applied(model, {}, 5, 6)) == PCM.replace(dac__bits=5, adc__bits=6)


def test_what_was_asked_for_is_told_as_it_was_asked_for(model):
    asked = PCM.replace(layers={"*": {"adc.bits": 7}, "2": {"dac.bits": 3}})
    assert hardware_in_place(mho.to_analog(model, PCM)) is PCM
    assert hardware_in_place(mho.to_analog(model, asked)) == asked


def test_one_layer_of_another_cell_and_sigmas_of_its_own(model, data):
    net = mho.to_analog(model, PCM)
    net[2].matrix.hw = PCM.replace(cell={"kind": "ideal", "g_min_us": 0.1, "g_max_us": 20.0}, noise__output=0.05)
    mho.calibrate(net, data)
    header = mho.drift(net, data, ["1 h"], chips=1).header
    assert header.hardware["layers"]["2"]["cell"]["kind"] == "ideal" and "0" not in header.hardware["layers"]
    own = set(map(str, net[2].matrix.hw.definitions())) - set(map(str, PCM.definitions()))
    assert own and {f"2: {text}" for text in own} <= set(header.definitions)
    assert set(map(str, PCM.definitions())) <= set(header.definitions)


def test_matrices_of_one_layer_that_differ_are_named_by_their_own_paths():
    net = mho.to_analog(nn.Sequential(nn.Linear(5, 5), nn.GRU(5, 4)), PCM)
    net[1].matrices["weight_hh_l0"].hw = PCM.replace(adc__bits=5)
    assert hardware_in_place(net).layers == {"1.weight_hh_l0": {"adc.bits": 5}}
    net[1].matrices["weight_ih_l0"].hw = PCM.replace(adc__bits=5)
    assert hardware_in_place(net).layers == {"1": {"adc.bits": 5}}
    net[0].matrix.hw = PCM.replace(adc__bits=5)
    assert hardware_in_place(net) == PCM.replace(adc__bits=5)


def test_of_a_layer_only_what_it_is_made_of_is_said(model):
    net = mho.to_analog(model, PCM)
    net[2].matrix.hw = PCM.replace(
        name="another", sources=["somebody"], digital=["9"], layers={"8": {"adc.bits": 3}}, adc__bits=5
    )
    assert hardware_in_place(net).layers == {"2": {"adc.bits": 5}}


def test_what_was_asked_for_some_layers_and_then_changed_everywhere_is_what_there_is(model):
    net = mho.to_analog(model, PCM.replace(layers={"2": {"dac.bits": 3}}))
    for layer in (net[0], net[2]):
        layer.matrix.hw = PCM.replace(dac__bits=4)
    assert hardware_in_place(net) == PCM.replace(dac__bits=4)
    net[2].matrix.hw = PCM.replace(dac__bits=5)
    found = hardware_in_place(net)
    for path in ("0", "2"):
        assert found.for_layer(path).dac == net.get_submodule(path).matrix.hw.dac


def test_a_definition_that_holds_everywhere_is_said_once():
    hw = PCM.replace(layers={"2": {"noise.output": 0.05}, "3": {"adc.bits": 5}})
    found = definitions_in_place(hw)
    assert found[: len(PCM.definitions())] == tuple(map(str, PCM.definitions()))
    own = set(map(str, hw.for_layer("2").definitions())) - set(map(str, PCM.definitions()))
    assert set(found[len(PCM.definitions()) :]) == {f"2: {text}" for text in own} != set()


def test_networks_without_arrays_and_chips_are_refused(model):
    with pytest.raises(WrongSetting, match="no arrays"):
        hardware_in_place(model)
    with pytest.raises(WrongSetting, match="one chip already"):
        hardware_in_place(mho.program(mho.to_analog(model, "ideal")).at(0))

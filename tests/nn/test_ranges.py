"""Which networks need ranges from data, and which of them lack some."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import mho
from mho.errors import WrongSetting
from mho.nn.layer import check_calibrated

X = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
NEEDS: dict[str, dict[str, Any]] = {
    "both": {"dac": {"bits": 8}, "adc": {"bits": 8}},
    "inputs": {"dac": {"bits": 8}, "adc": {"bits": None}},
    "inputs, fixed converter": {"dac": {"bits": 8}, "adc": {"bits": 8, "range": "fixed"}},
    "outputs": {"dac": {"bits": 8, "range": "abs_max"}, "adc": {"bits": 8}},
    "inputs, for their noise": {"dac": {"bits": None}, "noise": {"output": 0.1}},
    "inputs, for IR drop": {"dac": {"bits": None}, "ir_drop": {"scale": 1.0, "conductance_ratio": 100.0}},
    "inputs, for the curve of columns": {"columns": {"nonlinearity": 0.1}},
}  # fmt: skip
NEEDS_NONE: dict[str, dict[str, Any]] = {
    "ideal": {}, "cells alone": {"cell__levels": 8}, "own ranges": {"dac": {"bits": 8, "range": "abs_max"}},
    "all fixed": {"dac": {"bits": 8, "range": "abs_max"}, "adc": {"bits": 8, "range": "fixed"}},
}  # fmt: skip
CANCELS: dict[str, dict[str, Any]] = {
    "cells, product by product": {"variations": [{"sigma": 0.1, "relative_to": "gmax", "redraw": "mvm"}]},
    "weights, product by product": {"variations": [{"sigma": 0.1, "relative_to": "weight_max", "redraw": "mvm"}]},
    "cells, conversion by conversion": {"variations": [{"sigma": 0.1, "relative_to": "gmax", "redraw": "conversion"}]},
    "noise of weights": {"noise": {"weight": 0.1}, "array": {"rows": 4, "cols": 4}},
    "offsets of columns": {"columns": {"offset": 0.1, "reference": 0.2}, "encoding": "offset"},
    "wires": {"wires": {"column": 100.0}, "noise": {"weight": 0.1}},
}  # fmt: skip
"""Something between inputs and outputs, which does not depend on what a full input is."""


class Net(nn.Module):
    """The second layer never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


def convert(changes: dict[str, Any]) -> nn.Module:
    return mho.to_analog(Net(), mho.Hardware.preset("ideal", **changes))


@pytest.mark.parametrize("name", NEEDS)
def test_what_comes_from_data_has_to_be_asked_of_it(name):
    net = convert(NEEDS[name])
    with pytest.raises(WrongSetting, match="the converters have no range yet") as error:
        check_calibrated(net)
    assert error.value.path == "used"
    with pytest.raises(WrongSetting, match="the converters have no range yet"):
        net(X)
    check_calibrated(mho.calibrate(net, [X]))
    net(X)
    with pytest.raises(WrongSetting, match="the converters have no range yet") as error:
        net.unused(X)
    assert error.value.path == "unused"
    scheme = net.used.matrix.scheme(net.used.weight, next(net.used.views()).operator)
    assert (net.used.matrix.input_range is not None) == scheme.needs_input_range == ("outputs" not in name)
    assert (net.used.matrix.adc_range is not None) == scheme.needs_adc_range == (name in ("both", "outputs"))


class UnusedFirst(Net):
    def __init__(self) -> None:
        super().__init__()
        self.used = self._modules.pop("used")


@pytest.mark.parametrize("name", NEEDS)
def test_a_layer_that_never_runs_asks_for_nothing_where_it_comes_first(name):
    net = mho.to_analog(UnusedFirst(), mho.Hardware.preset("ideal", **NEEDS[name]))
    assert next(iter(net._modules)) == "unused"
    check_calibrated(mho.calibrate(net, [X]))


@pytest.mark.parametrize("name", CANCELS)
def test_no_range_is_asked_for_where_it_cancels(name):
    """The same draws with a range as without one: the same answers, on a network and on a chip, which are not the ideal ones."""
    net, draws = convert(CANCELS[name]), []
    check_calibrated(net)
    for reach in (None, 0.37):
        if reach is not None:
            net.used.matrix.set_range("input_range", torch.tensor(reach))
        torch.manual_seed(0)
        chip = mho.program(net).at(0.0)
        draws.append((net.used(X), chip(X), mho.to_digital(net)(X)))
    for found, again in zip(*draws, strict=True):
        assert torch.allclose(found, again, rtol=1e-5, atol=1e-6)
    assert (draws[0][1] - draws[0][2]).abs().max() > 1e-3
    mho.calibrate(net, [X])
    assert net.used.matrix.adc_range is None and net.unused.matrix.input_range is None


def test_noise_of_products_has_its_size_without_a_range():
    """Every weight varies by σ of the largest: outputs by σ w_max |x|."""
    net = convert({"variations": [{"sigma": 0.1, "relative_to": "weight_max", "redraw": "mvm"}]})
    x = X[:1].expand(4000, 6)
    found = (net(x) - mho.to_digital(net)(x)).std(0) / x[0].norm() / net.used.weight.abs().max()
    assert torch.allclose(found, torch.full((4,), 0.1), rtol=0.06)


@pytest.mark.parametrize("name", NEEDS_NONE)
def test_what_needs_no_data_runs_without(name):
    net = convert(NEEDS_NONE[name])
    check_calibrated(net)
    assert net(X).shape == net.unused(X).shape == (8, 4)


def test_ranges_can_be_taken_again():
    for rule in ("calibrated", "learned"):
        net = mho.calibrate(convert({**NEEDS["both"], "dac": {"bits": 8, "range": rule}}), [X])
        first = float(net.used.matrix.input_range.detach())
        mho.calibrate(net, [3 * X])
        assert float(net.used.matrix.input_range.detach()) > 2 * first
        assert isinstance(net.used.matrix.input_range, nn.Parameter) == (rule == "learned")


def test_a_range_is_learned_or_not_as_the_hardware_of_the_moment_says():
    net = convert({**NEEDS["both"], "dac": {"bits": 8, "range": "learned"}})
    matrix, learned = net.used.matrix, net.used.matrix.hw
    for i, hw in enumerate((learned, learned.replace(dac__range="calibrated"), learned)):
        matrix.hw = hw
        matrix.set_range("input_range", torch.tensor(1.0 + i))
        assert isinstance(matrix.input_range, nn.Parameter) == (hw is learned)
        assert list(matrix.state_dict()) == ["input_range"] and float(matrix.state_dict()["input_range"]) == 1 + i


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv1d(6, 4, 1), nn.Conv1d(6, 4, 1, groups=2)])
def test_a_vector_of_zeros_has_a_range_too(layer):
    net = mho.to_analog(layer, mho.Hardware.preset("ideal", **NEEDS_NONE["own ranges"]))
    x = torch.cat([torch.zeros(1, 6), X[:1]])
    x = x if isinstance(layer, nn.Linear) else x[..., None]
    found = net(x)
    torch.testing.assert_close(found[0].flatten(), layer.bias)
    torch.testing.assert_close(found[1], layer(x)[1], rtol=0.05, atol=0.05)

"""What is kept from call to call follows all that it rests on."""

from __future__ import annotations

import copy
import weakref

import pytest
import torch
from torch import Tensor, nn

import mho
from mho.crossbar import Operator
from mho.nn.conv import AnalogConv2d

HW = mho.Hardware.of("pcm").replace(noise__output=0.0, adc__range="fixed", adc__bound=10.0)


@pytest.fixture
def case() -> tuple[nn.Module, Tensor]:
    """A fused chip of two layers that has run, and its input."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)), torch.randn(4, 3, 8, 8)
    net = mho.fuse(mho.program(mho.calibrate(mho.to_analog(model, HW), [x])).at("1 day"))
    with torch.no_grad():
        net(x)
    return net, x


def _double_input_range(layer: nn.Module) -> None:
    layer.matrix.input_range.mul_(2)


def _double_input_range_unseen(layer: nn.Module) -> None:
    layer.matrix.input_range.data.mul_(2)


def _other_input_range(layer: nn.Module) -> None:
    layer.matrix.input_range = layer.matrix.input_range * 2


def _double_gain(layer: nn.Module) -> None:
    layer.matrix.source.cells_gain_0.mul_(2)


def _other_gain(layer: nn.Module) -> None:
    layer.matrix.source.cells_gain_0 = layer.matrix.source.cells_gain_0 * 2


def _other_cells(layer: nn.Module) -> None:
    layer.matrix.source.cells_weight_0 = layer.matrix.source.cells_weight_0.flip(0).contiguous()


def _other_bias(layer: nn.Module) -> None:
    layer.bias.data = layer.bias.data + 1


def _other_source(layer: nn.Module) -> None:
    view = next(layer.views())
    view.matrix.source = view.matrix.source.scaled(torch.full((len(layer.weight),), 3.0), view.operator)


CHANGES = [
    _double_input_range, _double_input_range_unseen, _other_input_range, _double_gain, _other_gain, _other_cells,
    _other_bias, _other_source,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__[1:])
@pytest.mark.parametrize("place", [0, 3])
def test_a_change_is_seen_by_the_next_call(case, change, place):
    net, x = case
    copied = copy.deepcopy(net)  # has never run
    with torch.no_grad():
        before = net(x)
        change(net[place])
        change(copied[place])
        assert torch.equal(net(x), copied(x)) and not torch.equal(net(x), before)


def test_moving_to_another_format_and_back(case):
    net, x = case
    with torch.no_grad():
        before = net(x)
        assert net.double()(x.double()).dtype == torch.float64
        torch.testing.assert_close(net.float()(x), before, rtol=0, atol=1e-6)


def test_swapped_buffers_count_only_inside(case):
    net, x = case
    swapped = {"3.matrix.source.cells_gain_0": net[3].matrix.source.cells_gain_0 * 2}
    with torch.no_grad():
        before = net(x)
        inside = torch.func.functional_call(net, swapped, (x,))
        torch.testing.assert_close(inside - net[3].bias, 2 * (before - net[3].bias))
        assert torch.equal(net(x), before)


@torch.no_grad()
def test_every_layout_batch_and_slice_has_its_own_shape(case):
    net, x = case
    one = torch.cat([net(x[i : i + 1]) for i in range(4)])
    wide = torch.zeros(4, 6, 8, 8)
    wide[:, ::2] = x
    for given in (
        x,
        x.contiguous(memory_format=torch.channels_last),
        x.mT.contiguous().mT,
        wide[:, ::2],
        x.flip(0).flip(0),
    ):
        torch.testing.assert_close(net(given), one, rtol=1e-4, atol=1e-4)


def test_an_operator_is_found_again_and_follows_its_layer():
    layer = AnalogConv2d.from_digital(nn.Conv2d(2, 3, 3, padding=1), HW, "layer")
    first = layer._operator()
    assert first is layer._operator() and first == Operator(2, (1, 1), (1, 1), (1, 1), 1)
    layer.stride = (2, 2)
    assert layer._operator().stride == (2, 2)


def test_cells_that_changed_their_dtype_are_not_kept_twice(case):
    net, x = case
    cells = weakref.ref(net[0].matrix.source.cells_weight_0)
    assert cells() is not None
    net.double()
    assert cells() is None
    with torch.no_grad():
        assert net(x.double()).dtype == torch.float64

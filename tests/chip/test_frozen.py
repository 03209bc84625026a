"""A programmed chip does not follow its digital weights: who changes them is told so."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import mho
from mho.errors import WrongSetting

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.last = nn.Linear(6, 3)

    def forward(self, x):
        x = x[:, None]
        x = self.attention(x, x, x)[0]
        return self.last(self.lstm(x)[0][:, 0])


def _net():
    torch.manual_seed(0)
    return mho.calibrate(mho.to_analog(Net().eval(), "pcm-cells"), [X])


def test_other_weights_are_not_loaded_into_a_chip():
    net = _net()
    chip = mho.program(net).at("1 day")
    before, weights = chip(X), net.last.weight.clone()
    other = {name: 2 * value for name, value in net.state_dict().items()}
    with pytest.raises(WrongSetting, match="other weights were to be loaded into a programmed chip"):
        chip.load_state_dict(other)
    chip.load_state_dict(chip.state_dict())  # what it has already changes nothing
    assert torch.equal(chip(X), before) and torch.equal(net.last.weight, weights)
    net.load_state_dict(other)  # the converted network follows, as ever
    assert not torch.equal(mho.program(net).at("1 day")(X), before)


@pytest.mark.parametrize("name", ["last.weight", "attention.in_proj_weight", "lstm.weight_hh_l0"])
def test_a_weight_that_is_changed_in_place_is_refused(name):
    chip = mho.program(_net()).at("1 day")
    for one in (chip, copy.deepcopy(chip)):
        one(X)
        with torch.no_grad():
            one.get_parameter(name).mul_(2)
        with pytest.raises(WrongSetting, match=r"was changed, but its cells are as they were programmed"):
            one(X)


def test_a_network_that_goes_on_training_leaves_its_chips_alone():
    net = _net()
    chip = mho.program(net).at("1 day")
    before = chip(X)
    with torch.no_grad():
        net.last.weight.mul_(2)
    assert torch.equal(chip(X), before)
    optimizer = torch.optim.SGD(chip.parameters(), lr=0.1)
    chip(X).sum().backward()
    optimizer.step()  # biases are digital, and may be trained on a chip
    assert not torch.equal(chip(X), before)

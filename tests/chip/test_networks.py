"""What a chip's network shares, keeps apart and refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import mho
from mho.errors import WrongSetting

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


class Tied(nn.Module):
    """Two layers of one weight, which a digital table reads, too, or not."""

    def __init__(self, table: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6, bias=False), nn.Linear(6, 6)
        self.b.weight = self.a.weight
        if table:
            self.table = nn.Embedding(6, 6)
            self.table.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.b(self.a(x))
        return y + self.table.weight.sum(0) if hasattr(self, "table") else y


def convert(table: bool = False, **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    hw = mho.Hardware.preset("pcm-cells", **changes)
    return mho.calibrate(mho.to_analog(Tied(table), hw, example=X), [X])


def test_a_weight_of_two_layers_is_one_parameter_of_the_chips_network():
    net = convert()
    net.b.bias.requires_grad_(False)
    chip = mho.program(net).at("1 day")
    assert chip.a.weight is chip.b.weight and chip.a.weight is not net.a.weight
    assert [name for name, _ in chip.named_parameters()] == [name for name, _ in net.named_parameters()]
    assert not chip.b.bias.requires_grad
    for frozen in (True, False):
        net.a.weight.requires_grad_(not frozen)
        assert mho.program(net).at(0).a.weight.requires_grad is not frozen
    assert list(chip.state_dict()) == list(net.state_dict()), "what the cells hold is not saved with the network"


def test_attention_of_two_layers_stays_one_parameter():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (nn.MultiheadAttention(6, 2, batch_first=True) for _ in range(2))
            self.b.in_proj_weight = self.a.in_proj_weight

        def forward(self, x):
            return self.b(*[self.a(x, x, x)[0]] * 3)[0]

    chip = mho.program(mho.calibrate(mho.to_analog(Twice().eval(), "pcm-cells"), [X[None]])).at(0)
    assert chip.a.in_proj_weight is chip.b.in_proj_weight
    chip(X[None])
    with torch.no_grad():
        chip.b.in_proj_weight[:1].mul_(2)
    with pytest.raises(WrongSetting, match="was changed"):
        chip(X[None])


def test_dicts_that_do_not_fit_are_torchs_matter():
    chip = mho.program(convert()).at(0)
    expected = chip(X)
    assert chip.load_state_dict({"b.bias": chip.b.bias.clone()}, strict=False).missing_keys == ["a.weight", "b.weight"]
    assert torch.equal(chip(X), expected)
    with pytest.raises(RuntimeError, match="size mismatch for a.weight"):
        chip.load_state_dict({**chip.state_dict(), "a.weight": torch.zeros(5, 6)})


@pytest.mark.parametrize("table", [False, True])
def test_what_only_arrays_read_is_not_copied_for_every_age_and_everything_else_is(table):
    net = convert(table, digital=["table"] if table else [], write_verify={"rounds": 2, "share": 0.5})
    batches = [(X, torch.zeros(4, dtype=torch.long))]
    net = mho.training.rank_weights(net, batches)
    chip = mho.program(net)
    early, late = chip.at(0), chip.at("1 year")
    assert (early.a.weight.data_ptr() == late.a.weight.data_ptr() == net.a.weight.data_ptr()) is not table
    assert early.a.matrix.rank.data_ptr() == late.a.matrix.rank.data_ptr() == net.a.matrix.rank.data_ptr()
    assert early.b.bias.data_ptr() != late.b.bias.data_ptr() != net.b.bias.data_ptr()
    assert early.a.matrix.hw is late.a.matrix.hw is net.a.matrix.hw, "descriptions cannot change"
    if table:
        before = early(X)
        with torch.no_grad():
            net.table.weight.add_(1.0)
        assert torch.equal(early(X), before) and torch.equal(chip.at(0)(X), before)


def test_a_weight_that_is_changed_before_the_first_product_is_refused_too():
    chip = mho.program(convert()).at("1 day")
    with torch.no_grad():
        chip.a.weight.mul_(2)
    with pytest.raises(WrongSetting, match="was changed"):
        chip(X)


def test_values_that_are_loaded_again_and_copies_of_that_are_no_change():
    chip = mho.program(convert()).at("1 day")
    expected = chip(X)
    chip.load_state_dict(chip.state_dict())
    assert torch.equal(chip(X), expected) and torch.equal(copy.deepcopy(chip)(X), expected)
    with torch.inference_mode():
        for one in (chip, copy.deepcopy(chip)):
            torch.testing.assert_close(one(X), expected.detach())


def test_numbers_that_are_refused_are_named():
    net = convert()
    for call, name, value in (
        (mho.program, "seed", -1), (mho.program, "chip", -1), (mho.program, "cycle", 0.5), (mho.program(net).at, "read", -1),
    ):  # fmt: skip
        first = 0 if call is not mho.program else net
        with pytest.raises(WrongSetting) as error:
            call(first, **{name: value})
        assert name != "cycle" or error.value.remedy == "a whole number; 0 is the first programming"
        assert error.value.path == name and str(error.value).startswith(f"{name}: {name} = {value}")
        call(first, **{name: 0})
    with pytest.raises(WrongSetting) as error:
        mho.program(net).at(-1.0)
    assert error.value.path == "time"


def test_layers_of_a_programmed_chip_do_not_update_their_weights_by_pulses():
    net = convert()
    for one in (net, mho.program(net).at(0)):
        matrix = one.a.matrix
        with pytest.raises(mho.errors.NotYet, match="take no updates") as error:
            matrix.source.update(matrix, next(one.a.views()).operator, torch.zeros(6, 6))
        assert error.value.path == "a"


def test_numbers_that_are_not_given_are_zero():
    net = convert(compensation="none")
    chip, explicit = mho.program(net), mho.program(net, seed=0, chip=0, cycle=0)
    assert (chip.seed, chip.index, chip.cycle) == (0, 0, 0)
    arrays, same = chip.arrays["a"], explicit.arrays["a"]
    for t in (0.0, 3600.0):
        assert torch.equal(arrays.cells(t).weight, same.cells(t, read=0).weight)
        assert torch.equal(arrays.conductances(t)[0], same.conductances(t, read=0)[0])
    assert torch.equal(chip.at("1 h")(X), explicit.at("1 h", read=0)(X))
    assert not torch.equal(chip.at("1 h")(X), chip.at("1 h", read=1)(X))

from __future__ import annotations

import pytest
import torch
from torch import nn

from mho.errors import NotYet, WrongSetting
from mho.training.loop.optimizers import make_optimizer, rate_of


def _torchs(make, steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("steps", [10, 37, 400])
def test_rates_are_torchs(steps):
    of = torch.optim.lr_scheduler
    cosine = _torchs(lambda o: of.CosineAnnealingLR(o, steps), steps)
    cycle = _torchs(lambda o: of.OneCycleLR(o, 1.0, total_steps=steps + 1, cycle_momentum=False), steps)
    assert [rate_of("cosine", steps)(s) for s in range(steps)] == pytest.approx(cosine, abs=1e-9)
    assert [rate_of("onecycle", steps + 1)(s) for s in range(steps)] == pytest.approx(cycle, abs=1e-9)
    assert {rate_of("constant", steps)(s) for s in range(steps)} == {1.0}


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_few_steps_have_rates_too(steps):
    for name in ("cosine", "onecycle"):
        rates = [rate_of(name, steps)(s) for s in range(steps)]
        assert all(0 < rate <= 1 for rate in rates), name


def test_ranges_do_not_decay():
    net = nn.Linear(2, 2)
    net.register_parameter("input_range", nn.Parameter(torch.ones(())))
    for name in ("sgd", "adamw"):
        optimizer = make_optimizer(net, name, lr=None, weight_decay=0.1, momentum=None)
        decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
        assert decays == {id(net.weight): 0.1, id(net.bias): 0.1, id(net.input_range): 0.0}


def test_frozen_parameters_stay_out():
    net = nn.Linear(2, 2)
    net.weight.requires_grad_(False)
    optimizer = make_optimizer(net, "sgd", lr=0.1, weight_decay=0.0, momentum=0.5)
    assert [len(g["params"]) for g in optimizer.param_groups] == [1] and optimizer.param_groups[0]["momentum"] == 0.5


def test_unknown_names_are_refused():
    with pytest.raises(WrongSetting, match="cosine, constant, onecycle"):
        rate_of("step", 10)
    with pytest.raises(WrongSetting, match="sgd, adamw"):
        make_optimizer(nn.Linear(1, 1), "adam", lr=None, weight_decay=0.0, momentum=None)
    with pytest.raises(NotYet, match="LBFGS"):
        make_optimizer(nn.Linear(1, 1), torch.optim.LBFGS, lr=None, weight_decay=0.0, momentum=None)

"""Optimisers by name, and learning rates as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from mho.arguments import number, one_of
from mho.errors import BadInput, NotYet, WrongSetting

SCHEDULES = ("cosine", "constant", "onecycle")
_RATES = {"sgd": 0.01, "adamw": 1e-3}
_MOMENTUM = 0.9
_RANGES = ("input_range", "adc_range")
_WARM_UP, _FIRST, _LAST = 0.3, 1 / 25, 1 / 25e4
"""torch's defaults of OneCycleLR: share of rising steps; first and last rate as shares of the largest."""

MakeOptimizer = Callable[[Sequence[Any]], torch.optim.Optimizer]


def make_optimizer(
    net: nn.Module, which: str | MakeOptimizer, *, lr: float | None, weight_decay: float, momentum: float | None
) -> torch.optim.Optimizer:
    """An optimiser of the parameters of `net` that want gradients. Learned ranges of converters do not decay.

    Args:
        net: The network.
        which: ``"sgd"``, ``"adamw"``, or a callable that makes one of a list of parameters.
        lr: None means 0.01 for SGD and 0.001 for AdamW.
        weight_decay: Of everything but ranges.
        momentum: Of SGD; None means 0.9.

    Raises:
        WrongSetting: An unknown name, a number outside its range, or a setting that the optimiser does not have.
        BadInput: Nothing to train.
        NotYet: LBFGS.
    """
    check_optimizer(which, lr=lr, weight_decay=weight_decay, momentum=momentum)
    named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
    if not named:
        raise BadInput("no parameter of the network wants a gradient", "call net.requires_grad_(True)", path="net")
    if callable(which):
        made = which([p for _, p in named])
        if not isinstance(made, torch.optim.Optimizer):
            found = f"the callable returned a {type(made).__name__}"
            raise WrongSetting(found, "return a torch.optim.Optimizer of its argument", path="optimizer")
        if isinstance(made, torch.optim.LBFGS):
            raise NotYet("LBFGS computes the loss several times in a step", "take another", path="optimizer")
        return made
    of: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for name, p in named:
        of[name.rpartition(".")[2] in _RANGES].append(p)
    groups = [{"params": of[ranges], "weight_decay": 0.0 if ranges else weight_decay} for ranges in of if of[ranges]]
    rate = _RATES[which] if lr is None else lr
    if which == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    return torch.optim.SGD(groups, lr=rate, momentum=_MOMENTUM if momentum is None else momentum)


def check_optimizer(which: Any, *, lr: Any, weight_decay: Any, momentum: Any) -> None:
    """Refuse what `make_optimizer` could not make; nothing is made.

    Raises:
        WrongSetting: An unknown name, a number outside its range, or a setting that the optimiser does not have.
    """
    if lr is not None:
        number(lr, "lr", "give a number above 0", above=0)
    number(weight_decay, "weight_decay", "give 0 or more", least=0)
    if isinstance(which, torch.optim.Optimizer):
        remedy = "give what makes one: optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1)"
        raise WrongSetting("this optimiser is made already, for parameters of its own", remedy, path="optimizer")
    if callable(which):
        if lr is not None or weight_decay or momentum is not None:
            remedy = "set them in the callable: optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1)"
            raise WrongSetting(
                "lr, weight_decay and momentum belong to optimisers given by name", remedy, path="optimizer"
            )
        return
    one_of(which, "optimizer", _RATES)
    if which == "adamw" and momentum is not None:
        raise WrongSetting("adamw has no momentum", "leave it out, or take optimizer='sgd'", path="momentum")
    if momentum is not None and not number(momentum, "momentum", "0.9 is usual", least=0) < 1:
        raise WrongSetting(f"momentum = {momentum} lies outside [0, 1)", "0.9 is usual", path="momentum")


def rate_of(schedule: str, steps: int) -> Callable[[int], float]:
    """The learning rate at a step as a share of the one given.

    Args:
        schedule: ``"constant"``; ``"cosine"``: (1 + cos(π s / steps)) / 2; ``"onecycle"``: up along a cosine from 1/25 over
            the first 30 % of the steps, then down to 1/250,000 (torch's OneCycleLR without its cycle of momenta).
        steps: Optimiser steps in all.

    Raises:
        WrongSetting: An unknown name.
    """
    if schedule == "constant":
        return lambda step: 1.0
    if schedule == "cosine":
        return lambda step: (1 + math.cos(math.pi * step / steps)) / 2
    one_of(schedule, "schedule", SCHEDULES)
    top = _WARM_UP * steps - 1

    def one_cycle(step: int) -> float:
        if step <= top:
            return _between(_FIRST, 1.0, step / top if top else 1.0)
        return _between(1.0, _LAST, (step - top) / (steps - 1 - top) if steps - 1 > top else 1.0)

    return one_cycle


def _between(a: float, b: float, share: float) -> float:
    return b + (a - b) / 2 * (1 + math.cos(math.pi * share))

"""`exit_macs`: multiply-accumulates until each exit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mho.convert.counting import MacCounter
from mho.errors import NotYet
from mho.models.multi_exit import MultiExit
from mho.nn.matrix import digitally
from mho.nn.modes import evaluating


@dataclass(frozen=True)
class ExitMacs:
    """Multiply-accumulates of one sample.

    Attributes:
        deciding: Until it has left at exit k, the side classifiers on the way included: where each of them is asked.
        alone: Until exit k without the others' side classifiers: where all samples leave there. The last is the backbone's.
    """

    deciding: tuple[int, ...]
    alone: tuple[int, ...]


@torch.no_grad()
def exit_macs(net: MultiExit, example: Tensor) -> ExitMacs:
    """Count what is computed until each exit, in one pass.

    Args:
        net: With exits: digital, converted or programmed.
        example: Inputs (N, …).

    Raises:
        NotYet: An operator whose multiply-accumulates nobody can count.
    """
    backbone: list[int] = []
    heads: list[int] = []

    def at_exit(number: int, features: Tensor) -> None:
        backbone.append(counter.macs - sum(heads))
        net.ask(number, features)
        heads.append(counter.macs - sum(heads) - backbone[-1])

    with evaluating(net), digitally(net), MacCounter() as counter:
        net.walk(example, at_exit)
    if counter.not_counted:
        names = ", ".join(counter.not_counted)
        raise NotYet(f"the products of {names} cannot be counted", "write them with torch's own layers", path="net")
    reached = [*backbone, counter.macs - sum(heads)]
    heads.append(0)
    n = len(example)
    deciding = tuple((reached[k] + sum(heads[: k + 1])) // n for k in range(len(reached)))
    return ExitMacs(deciding, tuple((r + h) // n for r, h in zip(reached, heads, strict=True)))

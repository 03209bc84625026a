"""`exit_energy`: what an inference takes on arrays until each exit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mho.costs import Technology, cost
from mho.exits.answers import check_exits
from mho.exits.decided import Decided
from mho.exits.early import Early
from mho.exits.rules import Fixed, Rule
from mho.models.multi_exit import MultiExit


@dataclass(frozen=True)
class ExitEnergy:
    """pJ of one inference, of what `mho.cost` counts.

    Attributes:
        deciding: Until it has left at exit k, the side classifiers on the way included.
        alone: Until exit k without the others' side classifiers. The last is the backbone's.
    """

    deciding: tuple[float, ...]
    alone: tuple[float, ...]

    def mean(self, decided: Decided) -> float:
        """pJ of an inference, mean over the samples of a decision: exact for these."""
        each = self.alone if decided.alone else self.deciding
        return float(torch.tensor(each, dtype=torch.float64)[decided.exits].mean())

    def share(self, decided: Decided) -> float:
        """`mean` as a share of the backbone's."""
        return self.mean(decided) / self.alone[-1]


@dataclass(frozen=True)
class _Until(Rule):
    """All samples are asked at every exit and leave at one."""

    exit: int

    def leaves(self, number: int, scores: Tensor) -> Tensor:
        return torch.full((len(scores),), number == self.exit, device=scores.device)

    def check(self, exits: int) -> None:
        pass


def exit_energy(
    net: MultiExit,
    data: Iterable[Any] | None = None,
    *,
    example: Any = None,
    technology: Technology | str | None = None,
) -> ExitEnergy:
    """Count what is computed until each exit, as `mho.cost` does.

    Args:
        net: With exits, converted.
        data: Batches of inputs, for a calibrated network: inputs as measured.
        example: In their place; only its shape counts.
        technology: See `mho.cost`.

    Raises:
        WrongSetting: `net` has no exits, or as `mho.cost` refuses it.
    """
    check_exits(net)
    held = None if data is None else list(data)

    def until(rule: Rule) -> float:
        return cost(Early(net, rule), held, example=example, technology=technology).energy_pj

    exits = range(len(net.names))
    return ExitEnergy(tuple(until(_Until(k)) for k in exits), tuple(until(Fixed(k)) for k in exits))

"""`Partial`: a network that computes only a part of itself for a sample."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from torch import nn

from mho.nn.standing_in import standing_in


class Partial(nn.Module):
    """A network some of whose layers may see no sample at all; calibration computes it whole, too, for their ranges."""

    def whole(self, inputs: Any) -> Any:
        """The answer with everything computed.

        Args:
            inputs: As those of the network.
        """
        raise NotImplementedError

    def keeps(self, inputs: Any) -> Any:
        """What is computed for each sample, as the network itself decides.

        Args:
            inputs: As those of the network.
        """
        raise NotImplementedError

    def under(self, inputs: Any, keep: Any) -> Any:
        """The answer with what is computed for each sample given.

        Args:
            inputs: As those of the network.
            keep: As `keeps` returns it.
        """
        raise NotImplementedError


def partials(net: nn.Module) -> list[Partial]:
    """The partial networks that a network is or holds."""
    return [module for module in net.modules() if isinstance(module, Partial)]


def computed_whole(net: nn.Module) -> AbstractContextManager[None]:
    """Inside the block partial networks compute everything when they are called."""
    return standing_in({module: module.whole for module in partials(net)})


def noting(net: nn.Module, into: list[Any]) -> AbstractContextManager[None]:
    """Inside the block what partial networks decide is appended to a list, call by call."""

    def noted(module: Partial, inputs: Any) -> Any:
        into.append(module.keeps(inputs))
        return module.under(inputs, into[-1])

    return standing_in({module: partial(noted, module) for module in partials(net)})


def deciding_as(net: nn.Module, noted: Iterable[Any]) -> AbstractContextManager[None]:
    """Inside the block partial networks compute what was noted, call by call, in place of what they decide."""
    left = iter(noted)
    return standing_in({
        module: partial(lambda module, inputs: module.under(inputs, next(left)), module) for module in partials(net)
    })  # fmt: skip

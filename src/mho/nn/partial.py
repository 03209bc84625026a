"""`Partial`: a network that computes only a part of itself for a sample."""

from __future__ import annotations

from contextlib import AbstractContextManager
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


def partials(net: nn.Module) -> list[Partial]:
    """The partial networks that a network is or holds."""
    return [module for module in net.modules() if isinstance(module, Partial)]


def computed_whole(net: nn.Module) -> AbstractContextManager[None]:
    """Inside the block partial networks compute everything when they are called."""
    return standing_in({module: module.whole for module in partials(net)})

"""`Partial`: a network that computes only a part of itself for a sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


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


@contextmanager
def computed_whole(net: nn.Module) -> Iterator[None]:
    """Inside the block partial networks compute everything when they are called."""
    found = partials(net)
    before = [module.__dict__.get("forward") for module in found]
    try:
        for module in found:
            module.__dict__["forward"] = module.whole
        yield
    finally:
        for module, own in zip(found, before, strict=True):
            module.__dict__.pop("forward", None)
            if own is not None:
                module.__dict__["forward"] = own

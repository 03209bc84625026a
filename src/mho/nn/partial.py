"""`Partial`: a network that computes only a part of itself for a sample."""

from __future__ import annotations

from typing import Any

from torch import nn


class Partial(nn.Module):
    """A network some of whose layers may see no sample at all; calibration computes it whole for their ranges."""

    def whole(self, inputs: Any) -> Any:
        """The answer with everything computed.

        Args:
            inputs: As those of the network.
        """
        raise NotImplementedError

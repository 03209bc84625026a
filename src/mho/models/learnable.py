"""`check_learns`: refuses to compute without gradients what the pass around it wants to learn."""

from __future__ import annotations

import torch

from mho.errors import NotYet


def check_learns(wanted: bool, path: str) -> None:
    """Called within a part of a network: whether gradients reach it.

    Reentrant checkpoints compute their part without gradients and once more in the backward pass, when nothing is told of exits
    or dropped blocks any more: heads would never learn, and dropped blocks would as if they had been computed.

    Args:
        wanted: Whether the pass itself has gradients.
        path: Of the part.

    Raises:
        NotYet: It has, and this part has not.
    """
    if wanted and not torch.is_grad_enabled():
        raise NotYet(
            "it is computed without gradients, within a checkpoint or under no_grad", "train without that", path=path
        )

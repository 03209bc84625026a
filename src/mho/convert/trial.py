"""One run of a network for a look at it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from mho.nn.calling import call


def trial(net: nn.Module, *example: Any) -> Any:
    """What `net` answers in eval mode, without gradients; puts it into that mode.

    Forwards may count, keep statistics, write into their inputs and draw random numbers, so give a copy of a network that
    others use. The inputs and torch's generators stay as they were, and two trials draw the same numbers.

    Args:
        net: Any module.
        example: Its positional arguments; a dict alone gives keyword arguments.
    """
    gpus = {tensor.device for tensor in (*net.parameters(), *net.buffers()) if tensor.device.type == "cuda"}
    with torch.no_grad(), torch.random.fork_rng(list(gpus)):
        given = tree_map_only(Tensor, torch.clone, example)
        return call(net.eval(), given[0]) if len(given) == 1 and isinstance(given[0], dict) else net.eval()(*given)

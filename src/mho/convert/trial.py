"""One run of a network for a look at it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from mho.errors import BadInput
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


def first_trial(net: nn.Module, *example: Any) -> Any:
    """`trial` of a network that may not fit the example.

    Raises:
        BadInput: It does not run. The message says what was given, which module failed, and what was raised there.
    """
    try:
        return trial(net, *example)
    except Exception as error:  # whatever a user's forward raises
        given = example[0] if len(example) == 1 else example
        said = (str(error).splitlines() or [""])[0].removesuffix(", but expected one of:")  # torch lists signatures
        kinds = dict.fromkeys(str(p.dtype).removeprefix("torch.") for p in net.parameters())
        raise BadInput(
            f"the model does not run on the example, {_described(given)} (its weights: {', '.join(kinds) or 'none'}): "
            f"{type(error).__name__}: {said}",
            "give inputs with which model(inputs) runs, in the shape and dtype that it was trained on: a tensor with the batch "
            "first, a tuple for several arguments, a dict for arguments by name",
            path=_failed(net, error),
        ) from error


def _failed(net: nn.Module, error: Exception) -> str | None:
    """Path of the innermost module in whose code the error was raised; None for the network itself."""
    paths = {module: path for path, module in net.named_modules()}
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_locals.get("self")
        found = paths.get(module, found) if isinstance(module, nn.Module) else found
    return found or None


def _described(given: Any) -> str:
    """``float32 (2, 3, 32, 32)``, or what else was given, with the tensors in it."""
    if isinstance(given, Tensor):
        place = "" if given.device.type == "cpu" else f" on {given.device}"
        return f"{str(given.dtype).removeprefix('torch.')} {tuple(given.shape)}{place}"
    if isinstance(given, Mapping):
        return f"a dict of {', '.join(f'{key}: {_described(value)}' for key, value in given.items())}"
    if isinstance(given, (tuple, list)):
        return f"a {type(given).__name__} of {', '.join(map(_described, given))}"
    return f"a {type(given).__name__}"

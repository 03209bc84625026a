"""`call`: a network on the inputs of a batch, however many it takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn


def call(net: nn.Module, inputs: Any) -> Any:
    """The network's answer to one batch of inputs.

    A dict gives keyword arguments, a tuple positional ones, where the network's forward takes as many of these names; anything
    else, lists among it, is one argument.

    Args:
        net: Any module.
        inputs: A tensor, or what a batch of the data has in its place.
    """
    if isinstance(inputs, Mapping):
        given = {str(name): value for name, value in inputs.items()}
        return net(**given) if _takes(net, (), given) else net(inputs)
    if type(inputs) is tuple and _takes(net, inputs, {}):
        return net(*inputs)
    return net(inputs)


def required(net: nn.Module) -> set[str]:
    """Names of the arguments that the network's forward cannot do without."""
    found = _signature(net).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name for p in found if p.default is p.empty and p.kind not in variable}


def _takes(net: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """True when the network's forward has these arguments."""
    try:
        _signature(net).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _signature(net: nn.Module) -> inspect.Signature:
    """That of the forward behind torch's wrappers (compiled, in several processes)."""
    while inner := [m for name in ("_orig_mod", "module") if isinstance(m := net._modules.get(name), nn.Module)]:
        if len(net._modules) > 1:
            break
        net = inner[0]
    return inspect.signature(net.forward)

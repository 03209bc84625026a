"""`one_node`: modules that torch.fx takes as one node."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

F = TypeVar("F", bound=Callable[..., Any])


def one_node(forward: F) -> F:
    """Decorator of a forward that torch.fx takes as one node, as it takes torch's own layers."""

    @functools.wraps(forward)
    def run(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, torch.fx.Proxy) for value in (*args, *kwargs.values())):
            return _call(self, args, kwargs)
        return forward(self, *args, **kwargs)

    return run  # type: ignore[return-value]


def _call(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return layer(*args, **kwargs)


torch.fx.wrap("_call")

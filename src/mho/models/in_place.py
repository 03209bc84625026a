"""`changes`: whether something works in place on what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd


def version(x: Tensor) -> int:
    """A number that rises whenever a tensor, or a view of it, is changed in place; always 0 for a tensor of inference mode."""
    return 0 if x.is_inference() else x._version


def changes(call: Callable[[Tensor], Any], x: Tensor) -> bool:
    """Whether a call changes its argument in place."""
    given = x.clone()
    before = version(given)
    call(given)
    return version(given) != before


def shares(made: Any, given: Tensor) -> bool:
    """Whether a tensor is another, or a view of the same memory."""
    return isinstance(made, Tensor) and made.untyped_storage().data_ptr() == given.untyped_storage().data_ptr()


def drops_in_place(module: nn.Module) -> bool:
    """Whether it holds a dropout that works in place, which only training shows."""
    return any(isinstance(each, _DropoutNd) and each.inplace for each in module.modules())

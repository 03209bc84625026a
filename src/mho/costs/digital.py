"""What a network computes beside its arrays: multiply-accumulates, operations on elements, and the bits that they touch."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from mho.convert.counting import MacCounter, is_view

_MOVES = ("aten::clone", "aten::copy", "aten::_to_copy", "aten::cat", "aten::stack", "aten::detach")
"""Operators that compute nothing."""
_NORMS = ("norm",)


class DigitalWork(MacCounter):
    """Context that counts, besides multiply-accumulates, operations on elements of everything that is computed inside.

    An operator that multiplies no matrices counts one operation for each element of its largest tensor, a norm two (scale
    and shift). What only moves or views memory counts none.

    Attributes:
        operations: Their number.
        elements: Elements that they, and digital products, read and write.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.elements = 0

    def saw(
        self, func: Any, name: str, macs: int | None, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """See `MacCounter`."""
        if macs or name.startswith(_MOVES) or not hasattr(func, "_schema") or is_view(func):
            return
        read = [t.numel() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        made = [t.numel() for t in tree_leaves(result) if isinstance(t, Tensor)]
        if not read or not made:
            return
        self.operations += max(*read, *made) * (2 if any(word in name for word in _NORMS) else 1)
        self.elements += max(read) + max(made)

"""Training that keeps codes instead of floats: what autograd saves of a product's output becomes the converter's codes.

Within the block (`with codes:`) saved tensors go through hooks. One that is, in memory, the untouched output of a product
whose converter's codes fit into a byte is kept as those codes and made again, exactly, when the way back asks for it: a
batch norm behind a convolution then needs one byte a value instead of four.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mho.kernels import Kept, decode


class Single(NamedTuple):
    """The codes of a product with one conversion, from which its output can be made again.

    Attributes:
        kept: See `mho.kernels`.
        factor: Output per code, (columns,).
        shift: (columns,).
    """

    kept: Kept
    factor: Tensor
    shift: Tensor


class Codes:
    """Which outputs of products are alive, and their codes. One for each training session.

    Attributes:
        hooks: Those of the blocks that are entered.
    """

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[Tensor], int, Single]] = {}
        self.hooks: list[Any] = []

    def note(self, y: Tensor, single: Single) -> None:
        """`y` can be made again from its codes, until somebody writes to it."""
        where = y.data_ptr()

        def gone(_: Any, found: dict[int, Any] = self._found) -> None:
            found.pop(where, None)

        self._found[where] = (weakref.ref(y, gone), y._version, single)

    def __enter__(self) -> Codes:
        hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, _unpack)
        hooks.__enter__()
        self.hooks.append(hooks)
        return self

    def __exit__(self, *error: Any) -> None:
        self.hooks.pop().__exit__(*error)

    def __deepcopy__(self, memo: Any) -> Codes:
        """A new one: outputs of this network are not those of its copy."""
        return Codes()

    def __reduce__(self) -> Any:
        return Codes, ()

    def _pack(self, saved: Tensor) -> Tensor | Single:
        """What autograd saves is another tensor on the same memory, so outputs are known by where they lie."""
        found = self._found.get(saved.data_ptr())
        if found is None:
            return saved
        y = found[0]()
        same = y is not None and y._version == found[1] and saved.shape == y.shape and saved.stride() == y.stride()
        return found[2] if same else saved


def _unpack(kept: Tensor | Single) -> Tensor:
    return decode(kept.kept, kept.factor, kept.shift) if isinstance(kept, Single) else kept

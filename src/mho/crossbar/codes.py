"""Training that keeps codes instead of floats: what autograd saves of a product's output becomes the converter's codes.

From `begin` to `end` saved tensors go through hooks. One that is, in memory, the untouched output of a product
whose converter's codes fit into a byte is kept as those codes and made again, exactly, when the way back asks for it: a
batch norm behind a convolution then needs one byte a value instead of four.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mho.kernels import Kept, decode
from mho.kernels.dispatch import per_group


class Single(NamedTuple):
    """All that is needed to make the output of a product with one conversion again.

    Attributes:
        kept: See `mho.kernels`.
        factor: Output per code, (columns,).
        shift: (columns,).
        each: Another factor, of every vector and group of columns of images, or None.
    """

    kept: Kept
    factor: Tensor
    shift: Tensor
    each: Tensor | None = None

    def again(self) -> Tensor:
        """The output."""
        if self.each is None:
            return decode(self.kept, self.factor, self.shift)
        found = decode(self.kept, self.factor, torch.zeros_like(self.shift))
        found = found.mul_(per_group(self.each, found.shape[-3], -3))
        return found.add_(self.shift[:, None, None]) if self.shift.any() else found


class Codes:
    """Which outputs of products are alive, and their codes. One for each training session."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[Tensor], int, Single]] = {}
        self._hooks: torch.autograd.graph.saved_tensors_hooks | None = None

    def note(self, y: Tensor, single: Single) -> None:
        """`y` can be made again from its codes, until somebody writes to it.

        It is known by its address, for autograd saves another tensor on the same memory; the weak reference tells when that
        memory may be another's.
        """
        where = y.data_ptr()

        def gone(_: Any, found: dict[int, Any] = self._found) -> None:
            found.pop(where, None)

        self._found[where] = (weakref.ref(y, gone), y._version, single)

    @property
    def inside(self) -> bool:
        """Whether `begin` was called, and `end` was not."""
        return self._hooks is not None

    def begin(self) -> None:
        """From now on, keep codes; not twice."""
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, _unpack)
        self._hooks.__enter__()

    def end(self) -> None:
        """No longer; nothing happens without a `begin`."""
        if self._hooks is not None:
            self._hooks.__exit__(None, None, None)
            self._hooks = None

    def __deepcopy__(self, memo: Any) -> Codes:
        """A new one: outputs of this network are not those of its copy."""
        return Codes()

    def __reduce__(self) -> Any:
        return Codes, ()

    def _pack(self, saved: Tensor) -> tuple[Tensor, int] | Single:
        """What autograd saves is another tensor on the same memory, so outputs are known by where they lie."""
        if saved.layout is torch.strided and not torch._C._functorch.is_functorch_wrapped_tensor(saved):
            found = self._found.get(saved.data_ptr())
            y = None if found is None else found[0]()
            same = y is not None and saved.shape == y.shape and saved.stride() == y.stride()
            if found is not None and y is not None and same and y._version == found[1]:
                return found[2]
        return saved, saved._version


def _unpack(kept: tuple[Tensor, int] | Single) -> Tensor:
    if isinstance(kept, Single):
        return kept.again()
    saved, version = kept
    if saved._version != version:  # with hooks, autograd leaves this check to them
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation: "
            f"[{saved.type()} {list(saved.shape)}] is at version {saved._version}; expected version {version} instead"
        )
    return saved

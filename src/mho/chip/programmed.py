"""`Programmed`: a chip's cells at an age, as the source of a matrix's weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mho.crossbar import Held, Operand, Operator, Scheme, effective
from mho.errors import WrongSetting
from mho.nn import AnalogMatrix
from mho.nn.source import Source


class Programmed(Source):
    """What the arrays of one matrix hold. It does not change; `scaled` makes another.

    Args:
        found: The operands, compensation included; or one weight in torch's layout, where nothing between input and
            output loses anything.
        scheme: The conversions of a product.
        like: Gives dtype and device.
        recalibrated: What recalibrations have multiplied the columns with, (columns,), or None.

    Attributes:
        scheme: The conversions of a product.
        channels_last: Images may be answered in that layout, whatever the layout of the input.
        folded: A norm of the network is in its factors (`mho.fuse`).
        version: How often the layer's parameter has been changed in place, when this was last known to be nothing; None until
            the first product (of a copy, too).
    """

    programmed = True

    def __init__(self, found: Held | Tensor, scheme: Scheme, like: Tensor, recalibrated: Tensor | None = None) -> None:
        super().__init__()
        self.scheme, self.channels_last, self.folded = scheme, False, False
        self.version: int | None = None
        self._made: tuple[list[int], Held | Tensor] | None = None
        held = Held(scheme, (Operand(found, None),)) if isinstance(found, Tensor) else found  # type: ignore[arg-type]
        self._whole = isinstance(found, Tensor)
        self._names: list[list[str]] = []
        values = {"cells_shift": held.shift, "factor": recalibrated}
        for i, operand in enumerate(held.operands):
            named = {f"cells_{field}_{i}": value for field, value in zip(Operand._fields, operand, strict=True)}
            self._names.append(list(named))
            values |= named
        for name, value in values.items():
            self.register_buffer(name, None if value is None else value.detach().to(like), persistent=False)

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins with a parameter of its own."""
        return {**self.__dict__, "version": None, "_made": None}

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Programmed:
        """Cells that move or change their dtype leave none behind."""
        self._made = None
        return super()._apply(fn, recurse)

    def values(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Held | Tensor:
        """What the chip holds: operands, or the one weight that they are.

        Raises:
            WrongSetting: The parameter was changed in place: the cells did not change with it.
        """
        if isinstance(weight, Tensor) and not torch.compiler.is_compiling() and not weight.is_inference():
            if self.version is None:
                self.version = weight._version
            if weight._version != self.version:
                raise WrongSetting(
                    "the weight of a programmed chip was changed, but its cells are as they were programmed",
                    "change the network that to_analog returned (it shares these values), and program it again",
                    path=matrix.path,
                )
        if torch.compiler.is_compiling():
            return self._make()
        # Moving a network exchanges its buffers; what was made of them is kept, so no other tensor has their ids.
        of = [self.channels_last, *map(id, self._buffers.values())]
        if self._made is None or self._made[0] != of:
            self._made = of, self._make()
        return self._made[1]

    def _make(self) -> Held | Tensor:
        cells = self._buffers
        if self._whole:
            return cells["cells_weight_0"]  # type: ignore[return-value]
        operands = []
        for names in self._names:
            operands.append(Operand(*[cells[name] for name in names]))  # type: ignore[arg-type]
        return Held(self.scheme, tuple(operands), cells["cells_shift"], self.channels_last)

    def held(self) -> Held | Tensor:
        """The operands, or the one weight in torch's layout. The same for every caller."""
        return self.values(None, None, None)  # type: ignore[arg-type]

    @property
    def recalibrated(self) -> Tensor | None:
        """What recalibrations have multiplied the columns with, (columns,), or None."""
        return self._buffers["factor"]

    def weight(self, operator: Operator) -> Tensor:
        """The weight in torch's layout that the cells stand for, compensation included.

        What converters, noise of products and IR drop add is left out.
        """
        found = self.held()
        return found if isinstance(found, Tensor) else effective(found, operator)

    def scaled(self, factor: Tensor, operator: Operator) -> Programmed:
        """The same cells with another digital factor, (columns,), on top.

        Args:
            factor: Of each column.
            operator: The operator that reads the matrix.
        """
        found, before = self.held(), self.recalibrated
        on_top = factor if before is None else before * factor.to(before)
        if isinstance(found, Tensor):
            columns = factor.to(found).reshape(self.scheme.plan.groups, self.scheme.plan.columns, 1)
            changed = operator.to_weight(operator.to_matrix(found) * columns, self.scheme.kernel)
            return Programmed(changed, self.scheme, found, on_top)
        operands = tuple([o._replace(gain=o.gain * factor.to(o.gain)) for o in found.operands])
        shift = None if found.shift is None else found.shift * factor.to(found.shift)
        return Programmed(found._replace(operands=operands, shift=shift), self.scheme, operands[0].weight, on_top)

    def extra_repr(self) -> str:
        """How many conversions a product takes."""
        return f"{len(self.scheme.conversions)} conversions a product"

"""`Source`: where the weights of a matrix come from. One at a time: the digital parameter, ideal cells, or another.

A source answers with what a product multiplies with; autograd finds its own way from there, so a source whose answer
depends on the layer's parameter has that parameter's gradient, and one that holds values of its own has theirs. Programmed
chips (`mho.chip`), injected noise (`mho.training`) and live arrays are sources, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from mho.crossbar import Held, Operator, effective, hold, ideal_cells
from mho.crossbar.cells import Change
from mho.crossbar.codes import Codes
from mho.crossbar.scheme import Scheme
from mho.errors import NotYet

if TYPE_CHECKING:
    from mho.nn.matrix import AnalogMatrix


class Source(nn.Module):
    """Where the weights of one matrix come from. A module, so that what it holds moves, copies and is saved with the network.

    Attributes:
        programmed: True where the weights are a chip's: changing the layer's parameter changes nothing.
        version: Of the layer's parameter, where a change of it is to be seen.
    """

    programmed = False
    version: int | None = None

    def values(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Held | Tensor:
        """What the product multiplies with.

        Args:
            matrix: Whose source this is.
            weight: The layer's parameter (or a part of it), in torch's layout.
            operator: The operator that reads it.

        Returns:
            Operands for the executors, or a weight in torch's layout, with which the operator is computed digitally.
        """
        raise NotImplementedError

    def update(self, matrix: AnalogMatrix, operator: Operator, change: Tensor) -> None:
        """Change the weights by about `change` (torch's layout, real units) in the way that the hardware can.

        Raises:
            NotYet: These weights change with the layer's parameter, not by updates.
        """
        raise NotYet(f"{type(self).__name__} weights take no updates", "train the layer's parameter", path=matrix.path)


class Digital(Source):
    """The layer's parameter, multiplied by torch's operator: no arrays at all."""

    def values(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Held | Tensor:
        """The parameter."""
        return weight


class Ideal(Source):
    """Arrays whose cells hold exactly their targets, made of the parameter each time; what a converted network has."""

    def values(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Held | Tensor:
        """The parameter itself where nothing between input and output loses anything."""
        return ideal(matrix.scheme(weight, operator), weight, operator)


class Exact(Source):
    """Ideal cells, computed block by block and readout by readout even where one product would do: for tests."""

    def values(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Held | Tensor:
        """Operands."""
        scheme = matrix.scheme(weight, operator)
        return hold(ideal_cells(operator.to_matrix(weight), scheme), operator, scheme)


class Effective(Source):
    """The weights that ideal cells stand for, multiplied by torch's operator."""

    def values(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Held | Tensor:
        """One weight."""
        scheme = matrix.scheme(weight, operator)
        return effective(hold(ideal_cells(operator.to_matrix(weight), scheme), operator, scheme), operator)


class Injected(Source):
    """Ideal cells with what hardware-aware training injects, in training mode; in eval mode as without.

    Attributes:
        scheme: The product with the noise that training sees.
        change: What is injected into the weights, or None.
        straight_through: Noise of products and IR drop count as constants for the gradient.
        codes: Where the converters' codes are kept.
        channels_last: While the whole network runs, images may be answered in that layout, whatever that of the input.
    """

    def __init__(
        self,
        scheme: Scheme,
        change: Change | None,
        straight_through: bool,
        codes: Codes | None,
        channels_last: bool,
    ) -> None:
        super().__init__()
        self.scheme, self.change, self.straight_through = scheme, change, straight_through
        self.codes, self.channels_last = codes, channels_last

    def __deepcopy__(self, memo: Any) -> Ideal:
        """A copy of a network in training is in no training."""
        return Ideal()

    def values(self, matrix: AnalogMatrix, weight: Tensor, operator: Operator) -> Held | Tensor:
        """With the injections of this step."""
        if not matrix.training:
            return ideal(matrix.scheme(weight, operator), weight, operator)
        found = ideal(self.scheme, weight, operator, self.change)
        if isinstance(found, Tensor):
            return found
        # A layer called by itself, outside of a pass of the whole network, answers in the layout of its input.
        inside = self.codes is not None and self.codes.inside
        return found._replace(
            straight_through=self.straight_through, codes=self.codes, channels_last=self.channels_last and inside
        )


def ideal(scheme: Scheme, weight: Tensor, operator: Operator, change: Change | None = None) -> Held | Tensor:
    """What ideal cells hold; a weight where the whole chain is one product."""
    hw = scheme.hw
    as_it_is = change is None and not hw.mapping.clips and not hw.wires and not hw.encoding.straight_through
    if scheme.lossless and as_it_is:
        return weight
    held = hold(ideal_cells(operator.to_matrix(weight), scheme, change), operator, scheme, join=True)
    return effective(held, operator) if scheme.lossless else held


@contextmanager
def sources(matrices: Iterable[AnalogMatrix], make: Callable[[AnalogMatrix], Source | None]) -> Iterator[None]:
    """Inside the block each matrix takes its weights where `make` says; None: as before. Blocks may be nested.

    Afterwards every matrix has the source that it had before, whatever happened inside.
    """
    before = [(matrix, matrix.source, make(matrix)) for matrix in matrices]
    try:
        for matrix, _, source in before:
            if source is not None:
                matrix.source = source
        yield
    finally:
        for matrix, source, _ in before:
            matrix.source = source

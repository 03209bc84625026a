"""One look at a network at work: which products its matrices take, what its inputs carry, what stays digital."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from mho.convert.trial import trial
from mho.costs.digital import DigitalWork
from mho.costs.loads import Load, assumed, measured
from mho.costs.work import Cells
from mho.crossbar import Operator, Scheme
from mho.crossbar.operator import macs
from mho.crossbar.scaling import scaled
from mho.errors import BadInput, WrongSetting
from mho.nn import AnalogMatrix
from mho.nn.matrix import digitally, matrices, watched
from mho.nn.modes import evaluating
from mho.tasks.batches import batches_of
from mho.tasks.items import length
from mho.tasks.parts import inputs_of, run

Conductances = Callable[[str, Scheme, Tensor, Operator], list[Tensor]]
"""Path, scheme, weight and operator of a matrix to the conductances of its planes, µS."""


@dataclass
class Matrix:
    """What was seen of one matrix.

    Attributes:
        scheme: Its conversions.
        cells: Its cells.
        products: Vectors that it was multiplied with.
        inputs: Elements of its inputs.
        macs: Multiply-accumulates.
        load: What its rows carried.
    """

    scheme: Scheme
    cells: Cells
    products: int = 0
    inputs: int = 0
    macs: int = 0
    load: Load = field(default_factory=Load)


@dataclass
class Seen:
    """What was seen of a network.

    Attributes:
        items: Inferences.
        matrices: By path, in the order in which they were read.
        digital_macs: Multiply-accumulates outside the arrays.
        operations: Operations on elements there.
        elements: Elements that they read and write.
        not_counted: Operators that may multiply and that nobody knows how to count, with the number of calls.
        unseen: What nobody looked at, in words.
    """

    items: int
    matrices: dict[str, Matrix]
    digital_macs: int = 0
    operations: int = 0
    elements: int = 0
    not_counted: dict[str, int] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()


def targets(path: str, scheme: Scheme, weight: Tensor, operator: Operator) -> list[Tensor]:
    """Conductances of ideal cells."""
    matrix = operator.to_matrix(weight.detach())
    unit, _ = scaled(matrix if matrix.dtype == torch.float64 else matrix.float(), scheme)
    return scheme.hw.encoding.encode(unit, scheme.hw.cell)


class Watch:
    """Is told of every product. See `mho.nn.matrix.Watcher`.

    Args:
        conductances: Of the planes of a matrix.
        duration: Inputs are durations, not amplitudes.
        data: Inputs are measured; False: assumed.
    """

    def __init__(self, conductances: Conductances, duration: bool, data: bool) -> None:
        self.conductances, self.duration, self.data = conductances, duration, data
        self.matrices: dict[str, Matrix] = {}
        self._rows: dict[str, Tensor] = {}

    def __call__(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator, y: Tensor) -> None:
        """See `mho.nn.matrix.Watcher`."""
        with _disable_current_modes():  # what is computed here is no part of the network's work
            self._note(matrix, x, weight, operator, y)

    def _note(self, matrix: AnalogMatrix, x: Tensor, weight: Tensor, operator: Operator, y: Tensor) -> None:
        path, scheme = matrix.path, matrix.scheme(weight, operator)
        if not x.isfinite().all() and self.data:
            raise BadInput(
                f"inputs of {path or 'the layer'} are not finite", "give inputs without NaN and infinity", path="data"
            )
        if path not in self.matrices:
            if not weight.isfinite().all():
                raise BadInput(
                    f"weights of {path or 'the layer'} are not finite", "give trained weights without NaN", path="net"
                )
            planes = self.conductances(path, scheme, weight, operator)
            cells = Cells.of(scheme, len(planes))
            per_plane = [g.double().sum(1) * (n / g.shape[1]) for g, n in zip(planes, cells.columns, strict=True)]
            self.matrices[path], self._rows[path] = Matrix(scheme, cells), torch.stack(per_plane).sum(0)
        found, rows = self.matrices[path], self._rows[path]
        vectors = y.numel() // (scheme.plan.groups * scheme.plan.columns)
        found.products += vectors
        found.inputs += x.numel()
        found.macs += macs(operator, x, y, weight)
        if self.data:
            found.load += measured(matrix, x, scheme, operator, rows, self.duration, vectors)
        elif not found.load.vectors and scheme.input_steps is not None:
            found.load = assumed(scheme, rows, self.duration)


@torch.no_grad()
def look(
    net: nn.Module,
    data: Iterable[Any] | None,
    example: Any,
    conductances: Conductances,
    *,
    duration: bool,
    max_batches: int,
) -> Seen:
    """Run a network digitally and note what its arrays would have to do. `net` is not touched.

    Args:
        net: A converted network, or a chip's at an age.
        data: Batches of inputs, or None.
        example: Inputs of one call where there are no data: a batch, a tuple of arguments, or a dict.
        conductances: Of the planes of a matrix.
        duration: Inputs are durations, not amplitudes.
        max_batches: Batches looked at.

    Raises:
        BadInput: No batch; an example without items; no array is read; inputs or weights that are not finite.
        WrongSetting: Neither data nor an example; no arrays.
    """
    if not matrices(net):
        raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw, example=x)")
    if data is None and example is None:
        raise WrongSetting("nothing is known of the inputs", "give data, or an example of one call", path="example")
    watch, work, twin = Watch(conductances, duration, data is not None), DigitalWork(), copy.deepcopy(net)
    for matrix in matrices(twin):
        matrix._forward_hooks.clear()  # a watcher of `net` is not told of this run
    items = 0
    with evaluating(twin), digitally(twin), watched(twin, watch), torch.compiler.set_stance("force_eager"):
        if data is None:
            items = length(example)
            with work:
                trial(twin, *(example if isinstance(example, tuple) else (example,)))
        else:
            for number, batch in enumerate(batches_of(data, path="data")):
                if number == max_batches:
                    break
                items += length(inputs_of(batch, twin))
                with work:
                    run(twin, batch)
    if not items:
        raise BadInput("there is no input to look at", "give at least one batch", path="data")
    if not watch.matrices:
        raise BadInput("no array was read", "give inputs that the network's layers see", path="example")
    analog = sum(matrix.macs for matrix in watch.matrices.values())
    digital = max(work.macs - analog, 0)
    return Seen(items, watch.matrices, digital, work.operations, work.elements, dict(work.not_counted))

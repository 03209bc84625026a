"""`recalibrated`: found on one reading of a chip, used on another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from mho.chip.programmed import Programmed
from mho.nn import AnalogLayer
from mho.nn.matrix import matrices
from mho.recalibration.base import Recalibration


@torch.no_grad()
def recalibrated(
    measured: nn.Module,
    used: nn.Module,
    recalibrations: Sequence[Recalibration],
    noise: Callable[[int], AbstractContextManager[None]] = lambda place: nullcontext(),
) -> nn.Module:
    """What recalibrations find on one reading of a chip, with the cells of another.

    Calibration data and use see different fluctuations of the cells: most of 1/f noise is faster than the time between
    the two. Found and used on the same reading, a recalibration also mends what has changed by then.

    Args:
        measured: ``chip.at(t, read=1)``; changed, and returned.
        used: ``chip.at(t)``: its cells take the place of those that were measured on, with the factors that the
            recalibrations put on top.
        recalibrations: In order.
        noise: Context in which the recalibration at a place in the order draws its noise of products.

    Returns:
        The recalibrated network.
    """
    net = measured
    for place, recalibration in enumerate(recalibrations):
        with noise(place):
            net = recalibration(net)
    cells = {matrix.path: matrix for matrix in matrices(used)}
    layers = (module for module in net.modules() if isinstance(module, AnalogLayer))
    for view in (view for layer in layers for view in layer.views()):
        found, now = view.matrix.source, cells[view.matrix.path].source
        assert isinstance(found, Programmed) and isinstance(now, Programmed)
        factor = found.recalibrated
        view.matrix.source = now if factor is None else now.scaled(factor, view.operator)
    return net

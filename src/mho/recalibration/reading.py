"""`recalibrated`: found on one reading of a chip, used on another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from mho.crossbar import Cells
from mho.nn import AnalogMatrix
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
    before = _cells(measured)
    net = measured
    for place, recalibration in enumerate(recalibrations):
        with noise(place):
            net = recalibration(net)
    found = _cells(used)
    for module in net.modules():
        if isinstance(module, AnalogMatrix):
            after, old, new = module.programmed(), before[module.path], found[module.path]
            assert after is not None
            factor = torch.where(old.gain == 0, 1.0, after.gain / old.gain)
            module.put(new._replace(gain=new.gain * factor, scale=after.scale))
    return net


def _cells(net: nn.Module) -> dict[str, Cells]:
    found = {}
    for module in net.modules():
        if isinstance(module, AnalogMatrix):
            cells = module.programmed()
            assert cells is not None
            found[module.path] = cells
    return found

"""`peak`: a whole chip at work, every array full: what papers print as operations a second and a watt."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from mho.arguments import whole
from mho.convert import to_analog
from mho.costs.of_network import cost
from mho.costs.result import Cost
from mho.costs.technology import Technology
from mho.hardware import Hardware


def peak(hw: Hardware | str, technology: Technology | str | Path | None = None, *, arrays: int | None = None) -> Cost:
    """The cost of a product on a full array, with as many arrays at work as a chip has.

    Weights are drawn from a normal distribution, and every magnitude of the inputs is as likely as another.

    Args:
        hw: Names array, encoding and converters.
        technology: As for `cost`.
        arrays: Arrays at work; None: those of a chip, or one where the technology does not say.

    Raises:
        WrongSetting: As for `cost`; an array too narrow for one weight.

    Example:
        >>> round(peak("isaac").tops, 1)        # the paper: 41.3 TOPS
        41.3
    """
    described = Hardware.of(hw).replace(digital=[], layers={})
    chosen = Technology.of(technology, described)
    number = chosen.arrays_per_tile * (chosen.tiles_per_chip or 1) if arrays is None else whole(arrays, "arrays")
    rows, encoding = described.array.rows, described.encoding
    references = len(encoding.shared_planes(described.cell))
    outputs = (described.array.cols - references) // encoding.columns_per_weight()
    layer = nn.Linear(rows, outputs, bias=False)
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(0))
    x = torch.zeros(1, rows)
    net = to_analog(nn.Sequential(layer).eval(), described)
    return cost(
        net,
        example=x,
        technology=chosen,
        replication=number,
        schedule="pipelined",
        name=f"a full array of {described.name}",
    )

"""What the wires' resistance leaves of the conductances: a linear circuit, solved once for cells, not for every input.

Cells are linear, rows are driven by voltages and columns end at a virtual ground, so the output currents are a matrix times the
input voltages. Its entries, the conductances as the converters see them, take the place of the cells' own. What is solved is
the reverse: one volt at a column's end and 0 V at every row's driver gives the same numbers as currents of the drivers
(reciprocity).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mho.crossbar.scheme import Scheme
from mho.errors import NotYet

_TOLERANCE, _MOST = 1e-7, 200
"""Largest change of a voltage in the last round, V; most rounds."""


def seen_through(planes: Sequence[Tensor], scheme: Scheme) -> list[Tensor]:
    """Conductances (µS) of each plane as the columns' ends see them; gradients pass as if wires took nothing.

    Args:
        planes: Conductances of each plane, (groups, columns or 1, rows).
        scheme: The product; asked for `wires`, the cell and the plan.

    Raises:
        NotYet: Rows with resistance where groups share arrays, or wires of which the voltages do not settle.
    """
    hw, plan = scheme.hw, scheme.plan
    if not hw.wires:
        return list(planes)
    column, row = (None if ratio is None else ratio * hw.cell.g_max_us for ratio in (hw.wires.column, hw.wires.row))
    if row is None:
        assert column is not None
        shape = torch.broadcast_shapes(*(g.shape for g in planes))
        with torch.no_grad():
            left = [torch.empty_like(g) for g in planes]
            for block in plan.blocks:
                rows = slice(block.start, block.stop)
                together = torch.stack([g[..., rows].expand(*shape[:2], -1) for g in planes])
                z = column_voltages(together, column)
                for p, part in enumerate(left):
                    part[..., rows] = z[p][:, : part.shape[1]]
        return [g * part for g, part in zip(planes, left, strict=True)]
    if plan.groups > 1:
        raise NotYet(
            "rows with resistance are not solved for grouped convolutions",
            "set wires.row to null, or keep them digital",
        )
    with torch.no_grad():
        found = _arrays(planes, scheme, row, column)
    return [g + (new - g).detach() for g, new in zip(planes, found, strict=True)]


def column_voltages(g: Tensor, wire: float) -> Tensor:
    """Voltage at each cell of a column whose end is at 1 V while all rows are at 0 V, (..., rows); row 0 is next to the end.

    y_j = g_j + w y_{j+1} / (w + y_{j+1}) is what the wire behind node j conducts, and z_j = z_{j-1} w / (w + y_j).
    """
    g = g.double()
    behind = g[..., -1]
    y = [behind]
    for j in range(g.shape[-1] - 2, -1, -1):
        behind = g[..., j] + wire * behind / (wire + behind)
        y.append(behind)
    return (wire / (wire + torch.stack(y[::-1], -1))).cumprod(-1)


def _arrays(planes: Sequence[Tensor], scheme: Scheme, row: float, column: float | None) -> list[Tensor]:
    """Array by array: planes of a weight stand beside each other, columns that all share behind them."""
    plan, shape = scheme.plan, torch.broadcast_shapes(*(g.shape for g in planes))
    found = [torch.empty(shape, dtype=g.dtype, device=g.device) for g in planes]
    own = [p for p, g in enumerate(planes) if g.shape == shape]
    shared = [p for p in range(len(planes)) if p not in own]
    for block in plan.blocks:
        rows, index = slice(block.start, block.stop), plan.array_index(block)[0]
        for array in index.unique():
            at = (index == array).nonzero()[:, 0].to(planes[0].device)
            cells = torch.stack([planes[p][0, at, rows] for p in own], 1).flatten(0, 1)
            cells = torch.cat([cells, *(planes[p][0, :1, rows] for p in shared)])
            solved = crossbar(cells.T.double(), row, column).T.to(cells)
            for i, p in enumerate(own):
                found[p][0, at, rows] = solved[i : len(at) * len(own) : len(own)]
            for i, p in enumerate(shared):
                found[p][0, at, rows] = solved[len(at) * len(own) + i]
    return found


def crossbar(g: Tensor, row: float, column: float | None) -> Tensor:
    """Conductance from each row's driver to each column's end, (rows, columns), for wires with resistance along both.

    Voltages of rows and columns are found in turn, each exactly for those of the other, until they settle. Drivers stand
    before column 0, ends before row 0.

    Args:
        g: Cells, (rows, columns), µS.
        row: Conductance of a segment of a row's wire, µS.
        column: The same of a column's; None: no resistance.

    Raises:
        NotYet: They do not settle.
    """
    rows, columns = g.shape
    ends = torch.eye(columns, dtype=g.dtype, device=g.device)  # which end is at 1 V
    along_row, along_column = _Line(g, row, 1), None if column is None else _Line(g, column, 0)
    u = torch.zeros(columns, rows, columns, dtype=g.dtype, device=g.device)  # at the rows' side of each cell
    w = ends[:, None, :].expand(columns, rows, columns)  # at the columns' side
    for _ in range(_MOST):
        before = u
        if along_column is not None:
            w = along_column.solve(g * u, column * ends)  # type: ignore[operator]
        u = along_row.solve(g * w, None)
        if float((u - before).abs().max()) < _TOLERANCE * float(u.abs().max()):
            return row * u[:, :, 0].T  # what each driver draws
    raise NotYet("the wires' resistance is so large that voltages do not settle", "set larger ratios in wires")


class _Line:
    """Wires along one axis of the cells, from a fixed voltage before the first; factorised once (Thomas's algorithm)."""

    def __init__(self, g: Tensor, wire: float, axis: int) -> None:
        self.wire, self.axis, n = wire, axis - 2, g.shape[axis]
        neighbours = torch.full((n,), 2.0 * wire, dtype=g.dtype, device=g.device)
        neighbours[-1] = wire
        diagonal = (g.movedim(axis, -1) + neighbours).unbind(-1)
        self.pivots = [diagonal[0]]
        for j in range(1, n):
            self.pivots.append(diagonal[j] - wire * wire / self.pivots[-1])

    def solve(self, current: Tensor, first: Tensor | None) -> Tensor:
        """Voltages for currents that flow into the nodes, and into the first ones from the fixed voltages."""
        into = list(current.movedim(self.axis, -1).unbind(-1))
        if first is not None:
            into[0] = into[0] + first
        for j in range(1, len(into)):
            into[j] = into[j] + self.wire / self.pivots[j - 1] * into[j - 1]
        into[-1] = into[-1] / self.pivots[-1]
        for j in range(len(into) - 2, -1, -1):
            into[j] = (into[j] + self.wire * into[j + 1]) / self.pivots[j]
        return torch.stack(into, -1).movedim(-1, self.axis)

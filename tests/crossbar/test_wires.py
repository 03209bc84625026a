"""Wires with resistance: against Kirchhoff's law at every node, for single arrays and for sliced weights on several."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.crossbar.wires import column_voltages, crossbar
from mho.errors import NotYet, WrongSetting
from mho.hardware import Hardware
from mho.nn.linear import LINEAR


def nodal(g, row, column):
    """Currents into the columns' ends for one volt at each row in turn, (rows, columns): one dense system of all nodes.

    None: no resistance, so that all nodes of a wire are one.
    """
    rows, columns = g.shape
    big = 1e9 * g.max()
    row, column = (big if wire is None else wire for wire in (row, column))
    n = rows * columns
    a, b = np.zeros((2 * n, 2 * n)), np.zeros((2 * n, rows))

    def u(i, j):
        return i * columns + j

    def w(i, j):
        return n + i * columns + j

    def join(p, q, wire):
        a[p, p] += wire
        a[q, q] += wire
        a[p, q] -= wire
        a[q, p] -= wire

    for i in range(rows):
        for j in range(columns):
            join(u(i, j), w(i, j), g[i, j])
            if j:
                join(u(i, j - 1), u(i, j), row)
            if i:
                join(w(i - 1, j), w(i, j), column)
        a[u(i, 0), u(i, 0)] += row
        b[u(i, 0), i] += row
    for j in range(columns):
        a[w(0, j), w(0, j)] += column
    voltages = np.linalg.solve(a, b)
    return column * np.stack([voltages[w(0, j)] for j in range(columns)], 1)


@pytest.mark.parametrize(("row", "column"), [(400.0, 150.0), (900.0, None), (60.0, 60.0)])
def test_an_array_is_the_circuit_that_it_is(row, column):
    g = np.random.default_rng(0).uniform(0, 3, (7, 5))
    found = crossbar(torch.from_numpy(g), row, column).numpy()
    np.testing.assert_allclose(found, nodal(g, row, column), rtol=2e-6 if column is None else 1e-6)


def test_columns_alone():
    g = np.random.default_rng(1).uniform(0, 3, (9, 4))
    z = column_voltages(torch.from_numpy(g.T), 70.0).numpy().T
    np.testing.assert_allclose(g * z, nodal(g, None, 70.0), rtol=1e-6)
    one = column_voltages(torch.tensor([[1.0]]), 4.0)
    assert float(one) == pytest.approx(4 / 5)  # a cell of 1 in series with the wire


ENCODINGS = {
    "pair": {"kind": "bit_sliced", "bits": 4, "cell_bits": 2},
    "offset, column": {"kind": "bit_sliced", "bits": 4, "cell_bits": 2, "sign": "offset", "reference": "column"},
    "twos_complement": {"kind": "bit_sliced", "bits": 4, "cell_bits": 2, "sign": "twos_complement"},
    "differential": {"kind": "differential"},
    "offset": {"kind": "offset"},
}


@pytest.mark.parametrize("row", [None, 300.0])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_weights_on_several_arrays_meet_the_wires_of_each(encoding, row):
    """Every array assembled here by hand: a weight's cells beside each other, a shared column behind all."""
    torch.manual_seed(0)
    hw = Hardware.preset("ideal", encoding=encoding, cell={"kind": "ideal", "g_min_us": 1.0, "g_max_us": 20.0},
                         array={"rows": 8, "cols": 12}, wires={"column": 100.0, "row": row}, dac={"bits": None},
                         adc={"bits": None}, variations=[{"sigma": 0.1, "relative_to": "ideal"}])  # fmt: skip
    net = mho.to_analog(nn.Sequential(nn.Linear(13, 5, bias=False)).double(), hw)
    chip = mho.program(net)
    arrays = chip.arrays["0"]
    planes = [g[0].numpy() for g in arrays.conductances(0.0)]
    plan, readouts = arrays.scheme.plan, arrays.scheme.readouts
    expected = np.zeros((5, 13))
    for b, block in enumerate(plan.blocks):
        index = plan.array_index(block)[0].numpy()
        for array in np.unique(index):
            at = np.flatnonzero(index == array)
            own = [p for p in range(len(planes)) if len(planes[p]) == 5]
            shared = [p for p in range(len(planes)) if len(planes[p]) == 1]
            cells = [planes[p][c, block.start : block.stop] for c in at for p in own]
            cells += [planes[p][0, block.start : block.stop] for p in shared]
            solved = nodal(np.stack(cells, 1), None if row is None else row * 20.0, 100.0 * 20.0).T
            for i, c in enumerate(at):
                seen = {p: solved[i * len(own) + k] for k, p in enumerate(own)}
                seen |= {p: solved[len(at) * len(own) + k] for k, p in enumerate(shared)}
                for readout in readouts.columns:
                    part = sum(f * seen[p] for p, f in enumerate(readout.coefficients))
                    expected[c, block.start : block.stop] += readout.factor * part
                expected[c, block.start : block.stop] -= readouts.offset
        scale = arrays.scale[b, 0].numpy()[:, None]
        expected[:, block.start : block.stop] *= scale
    x = torch.randn(6, 13, dtype=torch.float64)
    with torch.no_grad():
        found, clean = chip.at(0.0)(x).numpy(), x.numpy() @ net[0].weight.numpy().T
    np.testing.assert_allclose(found, x.numpy() @ expected.T, rtol=1e-5, atol=1e-5 * np.abs(clean).max())
    assert np.abs(found - clean).max() > 1e-2


def test_a_network_without_a_chip_meets_them_too_and_trains():
    hw = Hardware.preset("ideal", encoding={"kind": "differential"}, wires={"column": 500.0, "row": 800.0},
                         array={"rows": 16})  # fmt: skip
    net = mho.to_analog(nn.Sequential(nn.Linear(30, 4)), hw, example=torch.randn(2, 30))
    net = mho.calibrate(net, [torch.randn(8, 30)])
    y = net(torch.randn(5, 30))
    y.square().sum().backward()
    assert bool(net[0].weight.grad.abs().sum() > 0)
    held = net[0].matrix.source.values(net[0].matrix, net[0].weight, LINEAR)
    assert not torch.allclose(held, net[0].weight, rtol=1e-3)


def test_what_cannot_be_solved_is_refused():
    with pytest.raises(WrongSetting, match="counts twice"):
        Hardware.preset("ideal", wires={"column": 1e4}, ir_drop={"scale": 1.0})
    with pytest.raises(WrongSetting, match=r"wires.column|greater than 0"):
        Hardware.preset("ideal", wires={"column": 0.0})
    net = mho.to_analog(nn.Sequential(nn.Conv2d(4, 4, 3, groups=2)), Hardware.preset("ideal", wires={"row": 100.0}))
    with pytest.raises(NotYet, match="grouped"):
        mho.program(net).at(0.0)
    with pytest.raises(NotYet, match="do not settle"):
        crossbar(torch.ones(9, 9), 1e-3, 1e-3)

"""A chip is its numbers: the same seed gives the same cells, readings and compensation in every version.

The numbers below came from running the library once. Who changes an address changes every stored study: do it knowingly.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mho
from mho.chip.arrays import Arrays
from mho.hardware import Hardware

QUIET = {"cell.programming_noise": 0.0, "cell.read_noise": 0.0, "cell.nu_std": 0.0}
FAULTY = {"cell": "ideal", "faults": {"stuck_low": 0.4, "stuck_high": 0.3}}
LAYER = nn.Linear(4, 3, bias=False)
with torch.no_grad():
    LAYER.weight.copy_(torch.linspace(-1, 1.2, 12).reshape(3, 4))


def varied(relative_to: str, redraw: str) -> dict[str, Any]:
    return {**QUIET, "variations": [{"sigma": 0.2, "relative_to": relative_to, "redraw": redraw}]}


def cells(arrays: Arrays) -> Tensor:
    """What the readouts hold, read 1 at 1 h."""
    return arrays.cells(3600.0, 1).weight


def compensated(arrays: Arrays) -> Tensor:
    """Factor of each column at that age."""
    factor = arrays.correction(arrays.cells(3600.0, 1)).factor
    assert factor is not None
    return factor


NOISY = {"noise": {"output": 0.1}, "compensation": {"kind": "per_column"}}
CASES: dict[str, tuple[dict[str, Any], dict[str, int], Any, list[float]]] = {
    "programming": ({"cell.read_noise": 0.0}, {}, cells, [1.122318, 27.1817]),
    "a second plane": (
        {"cell.read_noise": 0.0, "encoding": {"kind": "differential", "subtract": "digital"}},
        {},
        cells,
        [6.123662, 64.97224],
    ),
    "another chip": ({"cell.read_noise": 0.0}, {"chip": 3}, cells, [0.913703, 26.32124]),
    "programmed again": ({"cell.read_noise": 0.0}, {"cycle": 2}, cells, [0.804817, 25.34782]),
    "verified": ({"cell.read_noise": 0.0, "write_verify": {"rounds": 3}}, {}, cells, [0.937861, 26.27362]),
    "read noise": ({"cell.programming_noise": 0.0, "cell.nu_std": 0.0}, {}, cells, [1.052365, 27.20207]),
    "cells, programmed": (varied("gmax", "program"), {}, cells, [2.178464, 30.99196]),
    "cells, read": (varied("gmax", "read"), {}, cells, [0.554785, 26.00464]),
    "weights, programmed": (
        {**varied("weight_max", "program"), "mapping.scale": "tensor"},
        {},
        cells,
        [0.428685, 22.19296],
    ),
    "weights, read": ({**varied("weight_max", "read"), "mapping.scale": "tensor"}, {}, cells, [-0.120923, 21.23574]),
    "faults": (FAULTY, {}, cells, [-0.8, 12.2]),
    "faults of a chip programmed again": (FAULTY, {"cycle": 2}, cells, [-0.8, 12.2]),
    "readings of a compensation": (NOISY, {}, compensated, [4.063858, 3.6131]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_seed_is_the_same_chip_in_every_version(name):
    changes, which, look, expected = CASES[name]
    hw = Hardware.preset("pcm-cells", **{"dac.bits": None, "adc": {"bits": None}, "compensation": "none", **changes})
    net = mho.calibrate(mho.to_analog(nn.Sequential(LAYER), hw), [torch.ones(1, 4)])
    found = look(mho.program(net, seed=5, **which).arrays["0"]).flatten().double()
    assert [float(found.sum()), float(found @ torch.arange(len(found)).double())] == pytest.approx(expected, rel=1e-4)

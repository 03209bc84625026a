"""Costs of one layer by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.costs import cost
from mho.costs.loads import measured
from mho.kernels.reference import quantise
from mho.nn import AnalogLayer


def test_a_linear_layer_by_hand(hardware, round_numbers, analog):
    """50 × 6 with bias on arrays of 20 × 4: row blocks of 20, 20, 10, two arrays wide."""
    x = torch.zeros(7, 50)
    layer = nn.Linear(50, 6)
    w = layer.weight.detach().clone()
    found = cost(analog(layer, hardware, x), example=x, technology=round_numbers)
    counts = {entry.component: entry.count for entry in found.entries}
    assert counts == {
        "cells": 50 * 2,  # rows driven: each by both arrays that its columns are cut over
        "adc": 3 * 6,
        "row_driver": 50 * 2,
        "sample_hold": 3 * 6,
        "shift_add": 0,  # one conversion a row block
        "adder": 2 * 6 + 6,  # three partial sums, and the bias
        "multiplier": 6,
        "buffer": (50 + 6) * 8,
        "interconnect": 50 * 8 + 2 * 6 * 16,
        "digital_operation": 0,
    }
    layer, energies = found.layers[0], found.by_component()
    assert (layer.row_blocks, layer.arrays, layer.products, layer.macs) == (3, 6, 1, 300)
    assert layer.utilisation == pytest.approx(300 / (6 * 20 * 4))
    assert energies["adc"] == 18 * 3.0 and energies["multiplier"] == 6 * 2.0
    assert energies["buffer"] == pytest.approx(448 * 0.01)
    # A pair holds 2 g_min + span |w|; codes 0 … 127 are equally likely: E[v²] = 255/762.
    siemens = float((4 + 8 * (w.abs() / w.abs().amax(1, keepdim=True))).sum())
    assert energies["cells"] == pytest.approx(0.25 * siemens * 255 / 762 * 20 * 1e-3, rel=1e-6)
    # 5 + 20 ns, then four columns of the fuller array on two converters of 4 ns.
    assert found.latency_ns == 25 + 2 * 4
    assert found.tops == pytest.approx(600 / 33 * 1e-3) and found.tops_per_watt == pytest.approx(600 / found.energy_pj)
    assert found.power_mw == pytest.approx(found.energy_pj / 33)


def test_a_convolution_by_hand(hardware, round_numbers, analog):
    """3 → 4 channels of 3 × 3 on 5 × 5: row blocks of two channels and one, 25 products."""
    x = torch.zeros(2, 3, 5, 5)
    found = cost(analog(nn.Conv2d(3, 4, 3, padding=1, bias=False), hardware, x), example=x, technology=round_numbers)
    counts = {entry.component: entry.count for entry in found.entries}
    assert (found.layers[0].row_blocks, found.layers[0].products, found.layers[0].macs) == (2, 25, 25 * 108)
    assert counts["adc"] == 25 * 2 * 4 and counts["row_driver"] == 25 * 27 and counts["adder"] == 25 * 4
    assert counts["buffer"] == 25 * (27 + 4) * 8 and counts["interconnect"] == 75 * 8 + 25 * 4 * 16
    assert found.latency_ns == 25 * (25 + 2 * 4)


def test_slices_planes_and_phases_multiply_what_they_touch(hardware, round_numbers, analog):
    x = torch.zeros(1, 16)
    bit = hardware.replace(
        encoding={"kind": "bit_sliced", "bits": 5, "cell_bits": 2}, dac__slice_bits=1, array__cols=16
    )
    net = analog(nn.Linear(16, 4, bias=False), bit, x)
    found = cost(net, example=x, technology=round_numbers)
    conversions = 7 * 2 * 4  # seven slices of the magnitude, two slices of the weight, subtracted in the array
    counts = {entry.component: entry.count for entry in found.entries}
    assert counts["adc"] == counts["shift_add"] == conversions and counts["row_driver"] == 7 * 16
    assert found.latency_ns == 7 * (25 + 1 * 4)  # eight conversions on eight converters
    four = round_numbers.replace(timing__phases=4)
    more = cost(net, example=x, technology=four)
    assert more.latency_ns == 4 * found.latency_ns and more.by_component()["adc"] == 4 * conversions * 3.0
    assert more.by_component()["cells"] == found.by_component()["cells"]  # each polarity is read when it is there


def test_an_offset_takes_the_sum_of_the_inputs(hardware, round_numbers, analog):
    x = torch.zeros(1, 16)
    net = analog(nn.Linear(16, 4, bias=False), hardware.replace(encoding="offset"), x)
    counts = {e.component: e.count for e in cost(net, example=x, technology=round_numbers).entries}
    assert counts["adc"] == 4 and counts["adder"] == 16 + 4 and counts["multiplier"] == 2 * 4


@pytest.mark.parametrize("layer, shape", [
    (nn.Linear(12, 5), (6, 12)), (nn.Conv2d(4, 6, 3, padding=1, stride=2), (2, 4, 7, 7)),
    (nn.Conv2d(4, 8, (3, 2), groups=2, dilation=(1, 2)), (2, 4, 6, 6)), (nn.Conv1d(3, 4, 3), (2, 3, 9)),
])  # fmt: skip
@pytest.mark.parametrize("bits", [None, 1, 3])
def test_what_rows_carry_is_that_of_the_patches(layer, shape, bits, hardware, analog):
    """Against the patches written out, quantised and cut into bits."""
    torch.manual_seed(1)
    x = torch.randn(shape)
    net = analog(layer, hardware.replace(dac__slice_bits=bits), x)
    mho.calibrate(net, [x], quantile=0.9)  # some clip
    view = next(v for m in net.modules() if isinstance(m, AnalogLayer) for v in m.views())
    scheme = view.matrix.scheme(view.weight, view.operator)
    plan = scheme.plan
    g = torch.rand(plan.groups, plan.rows)
    u = quantise(x, view.matrix.input_range, 127.0)
    if isinstance(layer, nn.Conv1d):
        u = u[:, :, None]
        patches = F.unfold(u, (1, *layer.kernel_size), (1, *layer.dilation), (0, *layer.padding), (1, *layer.stride))
    elif isinstance(layer, nn.Conv2d):
        patches = F.unfold(u, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    patches = u if isinstance(layer, nn.Linear) else patches.movedim(1, -1).reshape(-1, plan.groups * plan.rows)
    parts = [patches] if bits is None else [part.take(patches) for part in scheme.hw.dac.slices()]
    for duration in (False, True):
        expected = sum(float(((v.abs() if duration else v.square()) @ g.flatten()).sum()) for v in parts)
        found = measured(view.matrix, x, scheme, view.operator, g, duration, len(patches))
        assert found.charge_us == pytest.approx(expected, rel=1e-4)
    assert found.rows == sum(v.numel() for v in parts) and found.active == sum(int((v != 0).sum()) for v in parts)

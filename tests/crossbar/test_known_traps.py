"""Mistakes that other simulators of compute-in-memory make, as tests: none of them is ours."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.errors import MhoError, WrongSetting
from mho.hardware import Hardware

SLICED = {"kind": "bit_sliced", "bits": 8, "cell_bits": 4, "sign": "offset"}


def converted(model, hw, x, dtype=torch.float64):
    return mho.calibrate(mho.to_analog(model.to(dtype), hw, example=x[:2]), [x])


@pytest.mark.parametrize("layer", [nn.Conv2d(21, 5, 3), nn.Conv2d(22, 4, 3, groups=2), nn.Conv2d(7, 3, 5)])
def test_channels_that_do_not_fill_an_array_count(layer):
    """NeuroSim V1.4: int(C / rows) arrays, so that the channels of the last one are dropped. And arrays smaller than a kernel."""
    x = torch.randn(3, layer.in_channels, 6, 6, dtype=torch.float64)
    for rows in (8, 64, 100):
        hw = Hardware.preset("ideal", encoding=SLICED, array={"rows": rows}, adc={"bits": None})
        net = converted(nn.Sequential(layer), hw, x)
        for channel in (0, layer.in_channels // 2, layer.in_channels - 1):
            only = torch.zeros_like(x)
            only[:, channel] = x[:, channel]
            wanted = layer(only) - layer(torch.zeros_like(x))
            found = net(only) - net(torch.zeros_like(x))
            assert float((found - wanted).detach().norm() / wanted.detach().norm()) < 0.05, (rows, channel)


@pytest.mark.parametrize("low", [0.01, 0.2])
@pytest.mark.parametrize("high", [0.0, 0.01])
def test_rates_of_faults_are_what_they_say(low, high):
    """NeuroSim V1.5: 1 % gives 0.01 %. On every plane; cells that are stuck stay so at every age."""
    hw = Hardware.preset("ideal", encoding=SLICED, cell={"kind": "ideal", "g_min_us": 1.0, "g_max_us": 31.0},
                         faults={"stuck_low": low, "stuck_high": high}, adc={"bits": None})  # fmt: skip
    net = converted(nn.Sequential(nn.Linear(300, 200)), hw, torch.randn(8, 300, dtype=torch.float64))
    arrays = mho.program(net).arrays["0"]
    assert len(arrays.faults) == 2
    for masks, g in zip(arrays.faults, arrays.conductances(1e6), strict=True):
        for mask, rate, value in zip(masks, (low, high), (1.0, 31.0), strict=True):
            count = mask.numel()
            assert abs(int(mask.sum()) - rate * count) <= 5 * math.sqrt(rate * (1 - rate) * count)
            assert bool((g[mask] == value).all())
    one, other = (masks[0] for masks in arrays.faults)
    assert not torch.equal(one, other), "each plane has faults of its own"


def test_cells_of_one_level_err_each_for_itself():
    """MNSIM: one draw for each level of a tensor. MemIntelli: the same draws in layers of one shape, and on every chip."""
    hw = Hardware.preset(
        "ideal", encoding=SLICED, variations=[{"sigma": 0.1, "relative_to": "gmax"}], adc={"bits": None}
    )
    net = converted(nn.Sequential(nn.Linear(60, 60), nn.Linear(60, 60)), hw, torch.randn(8, 60, dtype=torch.float64))

    def errors(seed):
        chip = mho.program(net, seed=seed)
        return [g - t for a in chip.arrays.values() for g, t in zip(a.conductances(0.0), a.targets, strict=True)]

    found, targets = errors(0), [t for a in mho.program(net, seed=0).arrays.values() for t in a.targets]
    for error, target in zip(found, targets, strict=True):
        for level in target.unique():
            same = error[(target == level) & (error + target > 0)]
            assert same.numel() < 5 or float(same.std()) > 0.02 * float(targets[0].max())
    every = [*found, *errors(1)]
    for i, a in enumerate(every):
        for b in every[:i]:
            assert abs(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])) < 5 / 60


def test_the_error_of_a_device_is_frozen():
    """NeuroSim V1.4 draws anew for each bit of the input: here the same vector gives the same answer, bit by bit or whole."""
    x = torch.randn(4, 60, dtype=torch.float64)
    hw = Hardware.preset(
        "ideal",
        encoding=SLICED,
        variations=[{"sigma": 0.2, "relative_to": "ideal"}],
        dac={"bits": 8},
        adc={"bits": None},
    )
    answers = []
    for slice_bits in (None, 1):
        torch.manual_seed(0)
        net = converted(nn.Sequential(nn.Linear(60, 6)), hw.replace(dac__slice_bits=slice_bits), x)
        chip = mho.program(net).at(0.0)
        with torch.no_grad():
            assert torch.equal(chip(x), chip(x))
            answers.append(chip(x).numpy())
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-12)


def test_variation_reaches_every_network_and_every_setting_changes_it():
    """NeuroSim V1.4: cells, arrays and variation count for one network alone, and are silently ignored elsewhere."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10)).eval()
    x = torch.randn(4, 3, 6, 6, dtype=torch.float64)
    base = {"encoding": SLICED, "array": {"rows": 18}, "adc": {"bits": 5}, "cell": {"kind": "ideal", "g_min_us": 1.0}}
    changes = [
        {}, {"variations": [{"sigma": 0.1, "relative_to": "ideal"}]}, {"array": {"rows": 9}},
        {"encoding": {**SLICED, "cell_bits": 2}}, {"adc": {"bits": 4}}, {"cell": {"kind": "ideal", "g_min_us": 5.0}},
        {"encoding": {**SLICED, "quantiser": "wage"}}, {"mapping": {"scale": "tensor"}}, {"mapping": {"clip_sigma": 1.0}},
    ]  # fmt: skip
    answers = []
    for change in changes:
        net = converted(model, Hardware.preset("ideal", **(base | change)), x)
        with torch.no_grad():
            answers.append(mho.program(net).at(0.0)(x))
    for i, a in enumerate(answers):
        assert all(not torch.equal(a, b) for b in answers[:i]), changes[i]


def test_an_error_of_programming_stays_when_the_cell_drifts():
    """CrossSim: with an age the drift error replaces that of programming."""
    hw = Hardware.preset("pcm-cells", encoding=SLICED, adc={"bits": None}, compensation={"kind": "none"})
    net = converted(nn.Sequential(nn.Linear(100, 50)), hw, torch.randn(8, 100, dtype=torch.float64))
    arrays = mho.program(net).arrays["0"]
    young = [g - t for g, t in zip(arrays.conductances(0.0), arrays.targets, strict=True)]
    old = [g - t for g, t in zip(arrays.conductances(3600.0), arrays.targets, strict=True)]
    together = torch.corrcoef(torch.stack([torch.cat([e.flatten() for e in part]) for part in (young, old)]))
    assert float(together[0, 1]) > 0.3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"vari": 0.1}, "vari"), ({"encoding": {"kind": "bit_sliced", "cell_bits": 0}}, "1 to 8 bits"),
        ({"encoding": {"kind": "bit_sliced", "cell_bits": [4, 0]}}, "1 to 8 bits"),
        ({"encoding": {"kind": "bit_sliced", "cell_bits": []}}, "cell_bits"),
        ({"adc": {"bits": 6, "range": "fixed", "bound": 0}}, "bound"), ({"adc": {"bits": 0}}, "bits"),
        ({"array": {"rows": 0}}, "rows"), ({"encoding": {"kind": "bit_sliced", "sides": "two"}}, "sides"),
        ({"encoding": {"kind": "bit_sliced", "sign": "pair", "reference": "column"}}, "no constant part"),
        ({"encoding": {"kind": "bit_sliced"}, "cell": {"kind": "ideal", "levels": 2}}, "cannot hold digits"),
        ({"faults": {"stuck_low": 0.7, "stuck_high": 0.7}}, "at most 1"), ({"faults": {"stuck_low": 1.5}}, "stuck_low"),
        ({"variations": [{"sigma": 0.1}]}, "relative_to"), ({"variations": [{"sigma": -1, "relative_to": "ideal"}]}, "sigma"),
        ({"variations": [{"sigma": 0.1, "relative_to": "level"}]}, "continuous"),
        ({"dac": {"bits": 8, "slice_bits": 0}}, "slice_bits"),
        ({"cell": {"kind": "ideal", "g_min_us": 9, "g_max_us": 9}}, "below"),
    ],
)  # fmt: skip
def test_bad_descriptions_are_refused_by_name(changes, named):
    with pytest.raises(WrongSetting, match=named):
        Hardware.preset("ideal", **changes)


def test_what_an_effect_cannot_do_is_an_error_and_not_silence():
    hw = Hardware.preset("ideal", encoding=SLICED, dac={"bits": 4, "slice_bits": 1}, noise={"input": 0.1})
    with pytest.raises(MhoError, match="slices"):
        mho.to_analog(nn.Sequential(nn.Linear(4, 3)), hw, example=torch.randn(2, 4))

"""What lies on what in a cell, and what a compensation reads, against closed forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import mho
from mho.chip.arrays import Arrays
from mho.hardware import Hardware

YEAR = 3.15e7
SMALL = 1e-3


def arrays_of(layer: nn.Module, hw: Hardware, **which: int) -> Arrays:
    return mho.program(mho.calibrate(mho.to_analog(layer, hw), [torch.ones(2, 30)]), seed=0, **which).arrays[""]


@pytest.mark.parametrize("redraw", ["program", "read"])
@pytest.mark.parametrize("relative_to", ["ideal", "gmax"])
def test_a_variation_moves_the_cell_as_it_is_by_a_share_of_what_it_should_be(relative_to, redraw):
    """Programming noise stays, and drift; σ of 'ideal' is a share of the target, not of what was reached."""
    layer = nn.Linear(30, 40, bias=False)
    variation = {"sigma": SMALL, "relative_to": relative_to, "redraw": redraw}
    hw = Hardware.preset("pcm-cells", dac__bits=None, adc={"bits": None}, cell__read_noise=0.0)
    plain, varied = (arrays_of(layer, h) for h in (hw, hw.replace(variations=[variation])))
    t = 0.0 if redraw == "program" else YEAR
    for before, after, target in zip(*(a.conductances(t) for a in (plain, varied)), plain.targets, strict=True):
        high = target > 0.4 * hw.cell.g_max_us
        assert float((before - target)[high].std()) > 0.3, "the cells are not at their targets"
        size = target if relative_to == "ideal" else torch.full_like(target, hw.cell.g_max_us)
        moved = ((after - before) / size)[high]
        assert float(moved.std()) == pytest.approx(SMALL, rel=0.12) and abs(float(moved.mean())) < SMALL / 4


@pytest.mark.parametrize("encoding", [{"kind": "differential"}, {"kind": "offset", "reference": "column"}])
def test_cells_of_a_few_levels_are_written_to_them_and_to_the_nearest(encoding):
    hw = Hardware.preset("pcm-cells", encoding=encoding, dac__bits=None, adc={"bits": None})
    layer = nn.Linear(30, 40, bias=False)
    fine, coarse = (arrays_of(layer, h).targets for h in (hw, hw.replace(cell__levels=6)))
    step = (hw.cell.g_max_us - hw.cell.g_min_us) / 5
    for free, target in zip(fine, coarse, strict=True):
        state = (target - hw.cell.g_min_us) / step
        assert torch.allclose(state, state.round(), atol=1e-4)
        assert float((target - free).abs().max()) <= step / 2 + 1e-4
    assert len(coarse[0].unique()) > 3


SOURCES: dict[str, tuple[dict[str, Any], float, float]] = {
    # hardware, and variance of a reading: a constant share, and one in proportion to the square of the reading
    "nothing": ({}, 0.0, 0.0),
    "outputs": ({"noise": {"output": 0.1}}, 0.01, 0.0),
    "weights": ({"noise": {"weight": 0.1, "weight_form": "additive"}}, 0.01, 0.0),
    "inputs": ({"noise": {"input": 0.3}}, 0.0, 0.09),
    "outputs and weights": ({"noise": {"output": 0.1, "weight": 0.1, "weight_form": "additive"}}, 0.02, 0.0),
    "exact": ({"noise": {"output": 0.1}, "compensation": {"kind": "global", "readout": "exact"}}, 0.0, 0.0),
}


@pytest.mark.parametrize("unscaled", [False, True])
@pytest.mark.parametrize("source", SOURCES)
def test_a_compensation_reads_through_what_the_array_adds(source, unscaled):
    """For Gaussian weights of size s and noise σ: factor = sqrt(s² (1 + ι²) + σ²) / sqrt(f² s² (1 + ι²) + σ²)."""
    layer = nn.Linear(500, 400, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(400, 500, generator=torch.Generator().manual_seed(0)) * 0.4)
    largest = float(layer.weight.detach().abs().max())
    changes, sigma2, input2 = SOURCES[source]
    quiet = {"cell.programming_noise": 0.0, "cell.read_noise": 0.0, "cell.nu_std": 0.0, "cell.nu": 0.1}
    hw = Hardware.preset("pcm-cells", **{**quiet, "dac.bits": None, "adc": {"bits": None}, **changes})
    hw = hw.replace(mapping__scale="none" if unscaled else "tensor", array__cols=1024)
    net = mho.calibrate(mho.to_analog(layer, hw), [torch.ones(2, 500)])
    arrays = mho.program(net, seed=0).arrays[""]
    t = 20 * (2**10 - 1)  # drift by a factor of two
    s2 = (0.4 / largest) ** 2 * (1 + input2)
    if unscaled and "weights" not in source and source != "exact":  # outputs are in units of a weight of 1
        sigma2 /= largest**2
    if unscaled and source == "outputs and weights":
        sigma2 = 0.01 + 0.01 / largest**2
    expected = ((s2 + sigma2) / (0.25 * s2 + sigma2)) ** 0.5
    factor = arrays.correction(arrays.cells(t)).factor
    assert factor is not None and float(factor.mean()) == pytest.approx(expected, rel=8e-3)


@pytest.mark.parametrize("encoding", [{"kind": "differential", "subtract": "digital"}, {"kind": "offset"}])
@pytest.mark.parametrize("kind", ["global", "per_column"])
def test_every_readout_is_read_and_compensated(encoding, kind):
    """Uniform drift through a converter, whose codes are the only error."""
    layer = nn.Linear(30, 8)
    quiet = {"cell.programming_noise": 0.0, "cell.read_noise": 0.0, "cell.nu_std": 0.0, "cell.nu": 0.1}
    adc = {"bits": 16, "range": "fixed", "bound": 40.0}
    hw = Hardware.preset("pcm-cells", **quiet, dac__bits=None, adc=adc, compensation={"kind": kind}, encoding=encoding)
    net = mho.calibrate(mho.to_analog(layer, hw), [torch.ones(2, 30)])
    x = torch.randn(20, 30)
    with torch.no_grad():
        torch.testing.assert_close(mho.program(net).at("1 year")(x), layer(x), rtol=0.02, atol=0.02)


def test_columns_that_hold_little_are_compensated_down_to_a_ten_thousandth():
    """Uniform drift by two: a mean reading of 1.5e-4 is mended, one far below the floor left as it is."""
    layer = nn.Linear(10, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 3.2e-4, 1e-6])[:, None].expand(3, 10))
    quiet = {"cell.programming_noise": 0.0, "cell.read_noise": 0.0, "cell.nu_std": 0.0, "cell.nu": 0.1}
    hw = Hardware.preset("pcm-cells", **quiet, dac__bits=None, adc={"bits": None}, mapping__scale="tensor",
                         compensation={"kind": "per_column", "readout": "exact"})  # fmt: skip
    arrays = mho.program(mho.to_analog(layer, hw)).arrays[""]
    factor = arrays.correction(arrays.cells(20 * (2**10 - 1.0))).factor.flatten()
    torch.testing.assert_close(factor, torch.tensor([2.0, 2.0, 1.0]), rtol=1e-2, atol=0)


def test_without_compensation_nothing_is_read(monkeypatch):
    def read(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(Arrays, "_read", read)
    arrays = arrays_of(nn.Linear(30, 4), Hardware.preset("pcm-cells", compensation="none"))
    found = arrays.correction(arrays.cells(YEAR))
    assert found.factor is None and found.shift is None
    with pytest.raises(AssertionError):
        mended = arrays_of(nn.Linear(30, 4), Hardware.preset("pcm-cells"))
        mended.correction(mended.cells(YEAR))


@pytest.mark.parametrize("kind", ["global", "per_column"])
def test_an_ideal_reference_mends_what_programming_missed_and_the_chips_own_does_not(kind):
    layer = nn.Linear(30, 8, bias=False)
    quiet = {"cell__read_noise": 0.0, "dac__bits": None, "adc": {"bits": None}}
    for reference in ("programmed", "ideal"):
        described = {"kind": kind, "readout": "exact", "reference": reference}
        arrays = arrays_of(layer, Hardware.preset("pcm-cells", **quiet, compensation=described))
        cells = arrays.cells(0.0)
        factor = arrays.correction(cells).factor
        assert factor is not None
        held, wanted = (w[0].abs().mean(-1) for w in (cells.weight, arrays.weights[None]))
        ratio = wanted / held if kind == "per_column" else (wanted.mean() / held.mean()).expand_as(held)
        expected = ratio if reference == "ideal" else torch.ones_like(ratio)
        torch.testing.assert_close(factor[0, 0], expected)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_exactly_the_share_that_is_asked_for_is_written_again(share):
    net = mho.to_analog(
        nn.Linear(8, 8, bias=False), Hardware.preset("pcm-cells", write_verify={"rounds": 40, "share": share})
    )
    once = mho.to_analog(nn.Linear(8, 8, bias=False), Hardware.preset("pcm-cells"))
    with torch.no_grad():
        for layer in (net, once):
            layer.weight.fill_(0.5)
    net.matrix.rank = torch.arange(64.0).reshape(8, 8) / 64
    states = [mho.program(layer).arrays[""].states[0]["g"][0] for layer in (net, once)]
    changed = states[0] != states[1]
    wanted = net.matrix.rank >= 1 - share
    assert not bool(changed[~wanted].any()) and int(wanted.sum()) == 64 * share
    assert bool(changed[wanted].flatten()[0]), "the first of those that matter"
    assert float(changed[wanted].float().mean()) > 0.9


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_weights_are_programmed_in_single_precision_at_least(dtype):
    layer = nn.Linear(5, 3).to(dtype)
    arrays = mho.program(mho.to_analog(layer, "ideal")).arrays[""]
    assert arrays.weights.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert mho.program(mho.to_analog(layer, "ideal")).at(0)(torch.ones(2, 5, dtype=dtype)).dtype == dtype


def test_columns_read_in_units_of_one_fill_their_cells_array_by_array():
    layer = nn.Linear(6, 4, bias=False)
    scales = {}
    for rule in ("array", "none", "tensor"):
        hw = Hardware.preset("ideal", array={"rows": 3, "cols": 2}, mapping__scale=rule)
        scales[rule] = mho.program(mho.to_analog(layer, hw)).arrays[""].scale
    assert torch.equal(scales["none"], scales["array"]) and not torch.equal(scales["none"], scales["tensor"])

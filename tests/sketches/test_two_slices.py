"""A sketch of bit slices: a weight in two pairs of cells of few states, each pair with a converter of its own."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

import mho
from mho.crossbar import effective, hold, ideal_cells
from mho.errors import WrongSetting
from mho.hardware import ADC, ENCODINGS, Cell, Encoding, Readout, Readouts
from mho.nn.linear import LINEAR
from mho.training.injections import Gaussian


@ENCODINGS.register
class TwoSlices(Encoding):
    """w = ±(2^b high + low) / (4^b - 1) with high and low in 0 … 2^b - 1, each held by a differential pair."""

    straight_through: ClassVar[bool] = True
    kind: Literal["two_slices"] = "two_slices"
    bits: int = Field(default=2, ge=1, le=8)
    """b, bits of a slice."""
    high: ADC | None = None
    """Converter of the upper slice; none: the hardware's."""
    low: ADC | None = None
    """Converter of the lower slice; none: the hardware's."""

    def encode(self, weight: Tensor, cell: Cell) -> list[Tensor]:
        """Targets [high⁺, high⁻, low⁺, low⁻]."""
        size, span = 2**self.bits, cell.g_max_us - cell.g_min_us
        whole = (weight * (size**2 - 1)).round()
        high = (whole.abs() // size) * whole.sign()
        parts = (high, whole - size * high)
        return [cell.g_min_us + span * (s * v).clamp(min=0) / (size - 1) for v in parts for s in (1, -1)]

    def readouts(self, cell: Cell) -> Readouts:
        """One readout a slice; their digital factors are as 2^b to 1."""
        unit, size = 1 / (cell.g_max_us - cell.g_min_us), 2**self.bits
        return Readouts((
            Readout((unit, -unit, 0.0, 0.0), size / (size + 1), self.high),
            Readout((0.0, 0.0, unit, -unit), 1 / (size + 1), self.low),
        ))  # fmt: skip

    def columns_per_weight(self) -> int:
        """Two pairs side by side."""
        return 2


@ENCODINGS.register
class Rounds(TwoSlices):
    """The same, which keeps quiet about its rounding."""

    straight_through: ClassVar[bool] = False
    kind: Literal["rounds"] = "rounds"  # type: ignore[assignment]


ROWS, COLUMNS, BLOCK, REACH, CODES = 23, 6, 9, 2.0, 7
"""Rows and columns of the matrix, rows of an array, range of the DAC and its largest code."""


def lossless(bits: int) -> ADC:
    """A converter with a code for every output that a block can have."""
    return ADC(bits=None, steps=2 * BLOCK * CODES * (2**bits - 1), range="fixed", bound=BLOCK)


def hardware(bits: int, high: ADC | None, low: ADC | None) -> mho.Hardware:
    return mho.Hardware.preset(
        "ideal", cell={"kind": "ideal", "g_min_us": 3.0, "levels": 2**bits}, array={"rows": BLOCK},
        dac={"steps": 2 * CODES}, adc={"bits": 8},
        encoding={"kind": "two_slices", "bits": bits, "high": high, "low": low},
    )  # fmt: skip


def network(hw: mho.Hardware) -> nn.Module:
    torch.manual_seed(1)
    net = mho.to_analog(nn.Sequential(nn.Linear(ROWS, COLUMNS, bias=False)).double(), hw)
    net[0].matrix.set_range("input_range", torch.tensor(REACH, dtype=torch.float64))
    return net


def integers(weight: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """High and low part of each weight, and the scale of each column."""
    scale = np.abs(weight).max(1, keepdims=True)
    whole = np.rint(weight / scale * (4**bits - 1)).astype(np.int64)
    high = np.sign(whole) * (np.abs(whole) // 2**bits)
    return high, whole - high * 2**bits, scale


def by_integers(x: np.ndarray, weight: np.ndarray, bits: int, steps: list[tuple[int, float] | None]) -> np.ndarray:
    """The product in whole numbers; `steps`: largest code and range of each slice's converter, or None."""
    *slices, scale = integers(weight, bits)
    codes = np.clip(np.rint(x * CODES / REACH), -CODES, CODES).astype(np.int64)
    total = np.zeros((len(x), len(weight)))
    for start in range(0, ROWS, BLOCK):
        rows = slice(start, start + BLOCK)
        for part, factor, adc in zip(slices, (2**bits, 1), steps, strict=True):
            y = codes[:, rows] @ part[:, rows].T
            if adc is not None:
                per_code = adc[1] * CODES * (2**bits - 1) / adc[0]
                y = per_code * np.clip(np.rint(y / per_code), -adc[0], adc[0])
            total += factor * y
    return total * (REACH / CODES / (4**bits - 1)) * scale.T


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("programmed", [False, True], ids=["converted", "programmed"])
def test_the_product_is_that_of_whole_numbers(bits, programmed):
    coarse = (ADC(bits=None, steps=62, range="fixed", bound=3.3), ADC(bits=5, range="fixed", bound=2.9))
    x = torch.randn(50, ROWS, dtype=torch.float64)
    for pair, steps in (((lossless(bits),) * 2, [None, None]), (coarse, [(31, 3.3), (15, 2.9)])):
        net = network(hardware(bits, *pair))
        expected = by_integers(x.numpy(), net[0].weight.detach().numpy(), bits, steps)
        with torch.no_grad():
            found = (mho.program(net).at("1 year") if programmed else net)(x).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
        assert np.abs(found - x.numpy() @ net[0].weight.detach().numpy().T).max() > 1e-3


def test_what_the_cells_stand_for_are_the_quantised_weights():
    net = network(hardware(2, None, None))
    weight = net[0].weight.detach()
    high, low, scale = integers(weight.numpy(), 2)
    scheme = net[0].matrix.scheme(weight, LINEAR)
    held = hold(ideal_cells(LINEAR.to_matrix(weight), scheme), LINEAR, scheme)
    np.testing.assert_allclose(effective(held, LINEAR).numpy(), scale * (4 * high + low) / 15, rtol=1e-12, atol=1e-15)
    assert len(held.operands) == len(scheme.conversions) == 2 * 3
    mho.calibrate(net, [torch.randn(9, ROWS, dtype=torch.float64)])
    chip = mho.program(net).at("1 day")[0].matrix.source.weight(LINEAR)
    np.testing.assert_allclose(chip.numpy(), scale * (4 * high + low) / 15, rtol=1e-12, atol=1e-15)


def test_it_goes_the_way_of_every_encoding():
    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 3))
    x = torch.randn(120, 12)
    y = model(x).argmax(1)
    fine = ADC(bits=9)
    hw = mho.Hardware.preset("pcm-cells", encoding={"kind": "two_slices", "bits": 3, "high": fine}, array__rows=16)
    net = mho.to_analog(model, hw, example=x)
    assert net.placement.rows
    mho.calibrate(net, [x])
    assert net[2].matrix.adc_range.shape == (2, 2) and bool((net[2].matrix.adc_range > 0).all())
    conversions = net[2].matrix.scheme(net[2].weight, LINEAR).conversions
    assert [c.half_steps for c in conversions] == [255.0, 127.0] * 2
    result = mho.drift(net, [(x, y)], times=["1 h", "1 year"], chips=3)
    assert result.digital_score > 0.9 and result.scores.shape == (3, 2) and result.scores[:, 0].mean() > 0.8


def test_it_trains_straight_through():
    net = mho.to_analog(nn.Sequential(nn.Linear(10, 4)), mho.Hardware.preset("ideal", encoding={"kind": "two_slices"}))
    digital, x, y = mho.to_digital(net), torch.randn(200, 10), torch.randn(200, 4)
    outputs = net(x)
    assert float((outputs - digital(x)).detach().abs().max()) > 0.01
    outputs.backward(y)
    digital(x).backward(y)
    torch.testing.assert_close(net[0].weight.grad, digital[0].weight.grad)  # as if nothing had been rounded
    hw = mho.Hardware.preset("pcm-cells", encoding={"kind": "two_slices"})
    net = mho.calibrate(mho.to_analog(nn.Sequential(nn.Linear(10, 4)), hw), [x])
    before, target = net[0].weight.detach().clone(), x @ torch.randn(10, 4) / 3
    session = mho.HWA(weights=Gaussian(sigma=0.02)).attach(net, steps=60)
    optimizer, losses = torch.optim.SGD(net.parameters(), lr=0.05), []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (net(x) - target).square().mean()
        loss.backward()
        assert bool((net[0].weight.grad != 0).all())
        losses.append(float(loss.detach()))
        optimizer.step()
        session.step()
    session.detach()
    assert losses[-1] < 0.3 * losses[0] and not torch.equal(net[0].weight, before)


def test_one_that_rounds_must_say_so():
    with pytest.raises(WrongSetting, match=r"Rounds does not give weights back.*straight_through"):
        mho.to_analog(nn.Linear(5, 4), mho.Hardware.preset("ideal", encoding={"kind": "rounds"}))


@ENCODINGS.register
class ThreeStates(type(mho.Hardware.preset("ideal").encoding)):  # type: ignore[misc]
    """A differential pair whose cells know only nothing, half and all."""

    straight_through: ClassVar[bool] = True
    kind: Literal["three_states"] = "three_states"

    def encode(self, weight: Tensor, cell: Cell) -> list[Tensor]:
        """Rounded to halves."""
        return super().encode((2 * weight).round() / 2, cell)


def test_a_changed_differential_pair_is_not_bypassed():
    layer = nn.Linear(30, 4, bias=False)
    net = mho.to_analog(
        layer, mho.Hardware.preset("ideal", encoding={"kind": "three_states"}), example=torch.randn(2, 30)
    )
    scale = layer.weight.detach().abs().amax(1, keepdim=True)
    expected = scale * (2 * layer.weight.detach() / scale).round() / 2
    with torch.no_grad():
        for found in (net, mho.program(net).at(0.0)):
            torch.testing.assert_close(found(torch.eye(30)).T, expected, rtol=1e-5, atol=1e-6)

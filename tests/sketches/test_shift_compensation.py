"""A sketch of a compensation that is no factor: the mean error of each column at a reference input is taken back."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

import mho
from mho.hardware import COMPENSATIONS, Compensation, Correction, Reading


@COMPENSATIONS.register
class MeanError(Compensation):
    """Adds to each column what it has lost since programming at the input that is `level` in every row."""

    kind: Literal["mean_error"] = "mean_error"
    level: float = 0.5
    """The reference input, in the unit of the layer's inputs."""

    def correct(self, reading: Reading) -> Correction:
        """Σ over row blocks, rows and readouts of what is missing."""
        missing = reading.reference - reading.now
        parts = [missing[..., start:stop].sum(-1) for start, stop in reading.blocks]
        of_readouts = torch.stack(parts, dim=1) * reading.scale  # (readouts, blocks, groups, columns)
        factors = of_readouts.new_tensor(reading.factors)
        return Correction(shift=self.level * torch.einsum("kbgc,k->gc", of_readouts, factors))

    def measured(self) -> bool:
        """False: conductances themselves are read."""
        return False


ENCODINGS = {
    "analog": {"kind": "differential"},
    "digital": {"kind": "differential", "subtract": "digital", "sides": "two"},
    "offset": {"kind": "offset"},
}
LAYERS = {
    "linear": (lambda: nn.Linear(60, 7), (200, 60)),
    "grouped": (lambda: nn.Conv2d(8, 6, 3, groups=2), (40, 8, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose1d(8, 6, 1, groups=2), (40, 8, 4)),
}


def hardware(kind: str, encoding: str, **changes: object) -> mho.Hardware:
    bare = {"noise": {}, "ir_drop": {}, "dac": {"bits": None}, "adc": {"bits": None}}
    settings = {"compensation": {"kind": kind}, "encoding": ENCODINGS[encoding], "array__rows": 25, **bare, **changes}
    return mho.Hardware.preset("pcm-cells", **settings)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("layer", LAYERS)
def test_at_the_reference_input_nothing_has_been_lost(layer, encoding):
    make, size = LAYERS[layer]
    model = nn.Sequential(make()).double()
    at_level = torch.full((1, *size[1:]), 0.5, dtype=torch.float64)
    found = {}
    with torch.no_grad():
        for kind in ("none", "mean_error"):
            chip = mho.program(mho.to_analog(model, hardware(kind, encoding)), seed=1)
            found[kind] = [chip.at(age)(at_level) for age in (0.0, "1 month")]
    torch.testing.assert_close(found["mean_error"][0], found["none"][0], rtol=0, atol=1e-9)
    left, lost = (found[kind][1] - found[kind][0] for kind in ("mean_error", "none"))
    assert float(lost.abs().mean()) > 0.01
    # What reading fluctuates by is drawn for each reading: the reference was read at another time.
    assert float(left.abs().mean()) < 0.25 * float(lost.abs().mean())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_it_is_better_than_none_and_worse_inputs_are_no_obstacle(encoding):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(60, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 3))
    x = 0.5 + 0.1 * torch.randn(300, 60)
    model(x)
    errors = {}
    for kind in ("none", "mean_error"):
        hw = hardware(kind, encoding, dac={"bits": 8}, adc={"bits": 9}, noise={"output": 0.02})
        net = mho.calibrate(mho.to_analog(model, hw), [x])
        of_chips = []
        for seed in range(4):
            chip = mho.program(net, seed).at("1 month")
            with torch.no_grad():
                of_chips.append((chip[0](x) - model[0](x)).square().mean())
                fused = mho.fuse(chip)
                torch.manual_seed(5)
                expected = chip(x)
                torch.manual_seed(5)
                torch.testing.assert_close(fused(x).mean(0), expected.mean(0), rtol=0.1, atol=0.05)
        errors[kind] = float(torch.stack(of_chips).mean())
    assert errors["mean_error"] < 0.5 * errors["none"]
    result = mho.drift(net, [(x, model(x).argmax(1))], times=["1 day"], chips=2)
    assert "mean_error" in str(result.header.hardware)


def test_the_shift_follows_a_factor_on_top():
    net = mho.to_analog(nn.Sequential(nn.Linear(60, 7, bias=False)), hardware("mean_error", "digital"))
    chip, x = mho.program(net).at("1 year"), torch.rand(5, 60)
    (view,) = chip[0].views()
    factor = torch.linspace(0.5, 2, 7)
    with torch.no_grad():
        before = chip(x)
        view.matrix.source = view.matrix.source.scaled(factor, view.operator)
        torch.testing.assert_close(chip(x), before * factor)

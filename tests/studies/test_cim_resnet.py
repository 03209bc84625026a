"""What σ means in `cim-resnet`, cell by cell, and its slopes on planted rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.studies.cim_resnet.claims import CLAIMS
from mho.studies.cim_resnet.held import Held, interval, slope, slope_of_depth
from mho.studies.cim_resnet.study import CimResNet
from mho.studies.definitions import DEFINITIONS, SIGMAS
from mho.studies.outcome import Outcome, Results

_SIGMA = 0.05


def _digits(whole):
    return torch.stack([whole % 16, whole // 16])


def _expected(name, weight):
    """Standard deviation of each weight's error, for σ = 1, from the digits that its cells hold."""
    tensor = name.startswith("ideal-tensor")
    largest = weight.abs().max() if tensor else weight.abs().amax(1, keepdim=True)
    whole = (weight / largest * 127).round()
    place = torch.tensor([1.0, 16.0])[:, None, None]
    offset, own = _digits(whole + 128), _digits(whole.abs())
    span = 15 / 0.9  # of 15 states, with g_min a tenth of g_max
    cells = {
        "ideal": offset, "ideal-tensor": offset, "gmax": torch.full_like(offset, 15), "level": torch.ones_like(offset),
        "pair": own, "ideal-ratio": offset + span / 10, "pair-gmax": 15 * 2**0.5 * torch.ones_like(own),
    }  # fmt: skip
    if name in cells:
        return (place * cells[name]).square().sum(0).sqrt() * largest / 127
    return {"weight": weight.abs(), "weight-max": weight.abs().max(), "weight-std": weight.std(correction=0)}[name]


@pytest.mark.parametrize(
    "name",
    [
        "ideal",
        "ideal-tensor",
        "gmax",
        "level",
        "pair",
        "ideal-ratio",
        "pair-gmax",
        "weight",
        "weight-max",
        "weight-std",
    ],
)
def test_what_sigma_does_to_a_weight(name):
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 64, bias=False), torch.eye(64)
    found = []
    for sigma in (0.0, _SIGMA):
        hw = replace(DEFINITIONS[name], bits=None).hardware(sigma)
        hw = hw.replace(dac={"bits": None}, variations=[v.replace(clip="none") for v in hw.variations])
        found.append(mho.program(mho.to_analog(layer, hw, example=x)).at(0.0)(x).detach().T)
    if name not in ("weight", "weight-max", "weight-std"):
        largest = layer.weight.abs().max() if "tensor" in name else layer.weight.abs().amax(1, keepdim=True)
        torch.testing.assert_close(found[0], (layer.weight / largest * 127).round() * largest / 127)
    size = _SIGMA * _expected(name, layer.weight.detach())
    error = (found[1] - found[0]) / size.clamp_min(1e-12)
    moved = (size > 1e-9).expand_as(error)
    assert float(error[moved].std()) == pytest.approx(1, abs=0.05) and abs(float(error[moved].mean())) < 0.06
    assert torch.equal(found[0][~moved], found[1][~moved])


def _held(depth, kept, chips=10):
    """An arm whose networks are right for 0.9 at σ = 0, and keep `kept` of what is above chance."""
    arm = next(a for a in CimResNet().arms("cpu") if a.name == f"ideal-resnet{depth}")
    noise = np.random.default_rng(depth).normal(0, 0.01, chips)
    rows = [{"sigma": s, "scores": list(0.1 + 0.8 * (kept + noise if s else np.ones(chips)))} for s in SIGMAS]
    return Outcome(arm, {0: rows})


def test_slopes_over_depth():
    results = Results({f"ideal-resnet{d}": _held(d, 0.8 - 0.005 * d) for d in (20, 32, 44, 56)})
    nets = [Held(outcome, "cpu") for outcome in results.values()]
    assert interval(nets[0].kept()).value == pytest.approx(0.7, abs=0.01)
    for found in (slope(nets), slope_of_depth(nets)):
        assert found.value == pytest.approx(-0.06, abs=0.006) and found.low <= -0.06 <= found.high
    verdicts = [claim.judge(results).verdict for claim in CLAIMS]
    assert verdicts[:2] == ["holds", "holds"] and verdicts[2] == "open"


def test_arms_have_names_of_their_own():
    for scale in ("smoke", "cpu", "full"):
        names = [arm.name for arm in CimResNet().arms(scale)]
        assert len(names) == len(set(names))

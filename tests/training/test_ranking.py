"""Ranks of weights, and what selective write-verify does with them."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.errors import BadInput, WrongSetting
from mho.training import rank_weights


def _net(hw="pcm-cells", **changes):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 4))
    return mho.to_analog(model, mho.Hardware.preset(hw, **changes))


def _batches():
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(32, 2, 6, 6, generator=generator), torch.randint(4, (32,), generator=generator)) for _ in range(2)
    ]


def _errors(net):
    chip = mho.program(net, 0)
    return {path: [s["g"] - t for s, t in zip(a.states, a.targets, strict=True)] for path, a in chip.arrays.items()}


@pytest.mark.parametrize("rounds", [2, 5])
def test_the_closest_of_several_writes_stays(rounds):
    torch.manual_seed(0)
    layer = nn.Linear(300, 40)
    one, many = (
        _errors(mho.to_analog(layer, mho.Hardware.preset("pcm-cells", write_verify={"rounds": r}))) for r in (1, rounds)
    )
    first, best = torch.cat([e.flatten() for e in one[""]]), torch.cat([e.flatten() for e in many[""]])
    assert bool((best.abs() <= first.abs() + 1e-6).all())
    # Targets at 0 are cut there; of the others, E[min of n |N|²] by quadrature of the survival function erfc^n.
    z = torch.linspace(0, 8, 80_001, dtype=torch.float64)
    expected = float(torch.trapezoid(2 * z * torch.erfc(z / math.sqrt(2)) ** rounds, z))
    net = mho.to_analog(layer, mho.Hardware.preset("pcm-cells", write_verify={"rounds": rounds}))
    arrays = mho.program(net, 0).arrays[""]
    ratios = []
    for state, target in zip(arrays.states, arrays.targets, strict=True):
        sigma = net.hw.cell.sigma_programming_us(target / net.hw.cell.g_max_us)
        inside = target > 4 * sigma
        ratios.append(((state["g"] - target) / sigma)[inside].square())
    found = torch.cat(ratios)
    assert float(found.mean()) == pytest.approx(expected, rel=0.05)


def test_ranks_follow_the_squared_gradient():
    net, batches = _net(), _batches()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    rank_weights(net, batches, group=8)
    digital = mho.to_digital(net)
    total = {name: torch.zeros_like(p) for name, p in digital.named_parameters()}
    for x, y in batches:
        for part, labels in zip(x.split(8), y.split(8), strict=True):
            digital.zero_grad()
            F.cross_entropy(digital(part), labels).backward()
            for name, p in digital.named_parameters():
                total[name] += p.grad.square()
    scores = [total["0.weight"] * net[0].weight.abs().amax((1, 2, 3), True).square(),
              total["3.weight"] * net[3].weight.abs().amax(1, True).square()]  # fmt: skip
    flat = torch.cat([s.detach().flatten() for s in scores])
    expected = flat.argsort().argsort().float() / len(flat)
    found = torch.cat([net[0].matrix.rank.flatten(), net[3].matrix.rank.flatten()])
    assert float((found - expected).abs().max()) < 0.01 and float((found - expected).abs().mean()) < 1e-4
    after = net.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    other = _net()
    other.load_state_dict(after)
    assert torch.equal(other[3].matrix.rank, net[3].matrix.rank)
    other.load_state_dict(digital.state_dict())


def test_only_weights_that_matter_are_verified():
    verify = {"rounds": 8, "share": 0.25}
    net = rank_weights(_net(write_verify=verify), _batches())
    with_, without = _errors(net), _errors(rank_weights(_net(), _batches()))
    for path in ("0", "3"):
        matters = net.get_submodule(path).matrix.rank.flatten(1)[None] >= 0.75
        assert 0 < float(matters.float().mean()) < 1
        for a, b in zip(with_[path], without[path], strict=True):
            assert torch.equal(a[~matters], b[~matters])
            assert bool((a[matters].abs() <= b[matters].abs()).all()) and bool((a[matters] != b[matters]).any())
    assert net.placement.hardware.write_verify.writes() == pytest.approx(2.75)


def test_attention_has_a_rank_for_each_of_its_matrices():
    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))

    torch.manual_seed(0)
    net = mho.to_analog(Classifier(), mho.Hardware.preset("pcm-cells", write_verify={"rounds": 2, "share": 0.5}))
    rank_weights(net, [(torch.randn(16, 5, 8), torch.randint(3, (16,)))])
    ranks = torch.cat([m.rank.flatten() for m in net.modules() if getattr(m, "rank", None) is not None])
    assert len(ranks) == 4 * 64 + 24 and torch.allclose(ranks.sort().values, torch.arange(280) / 280)
    mho.program(net, 0)


def test_mistakes_are_named():
    with pytest.raises(WrongSetting, match="no arrays"):
        rank_weights(nn.Linear(2, 2), _batches())
    with pytest.raises(BadInput, match="no batch"):
        rank_weights(_net(), [])
    with pytest.raises(WrongSetting, match="nobody knows which weights matter"):
        mho.program(_net(write_verify={"rounds": 3, "share": 0.1}), 0)
    with pytest.raises(WrongSetting, match="no effect with one write"):
        mho.Hardware.preset("pcm-cells", write_verify={"share": 0.1})

"""The study of families: kinds of layers, what is kept above chance, claims over networks, and networks it trains."""

from __future__ import annotations

from fnmatch import fnmatch

import numpy as np
import pytest
import torch

import mho
from mho.data import Dataset
from mho.models import digits_cnn, dscnn, mobilenet_cifar, stories260k, vit_cifar
from mho.studies import Outcome, Results
from mho.studies import trained as training
from mho.studies.families import Families, FamilyArm, kinds
from mho.studies.network import ALL, NETWORKS

FACTORIES = {
    "stories260k": (stories260k, torch.zeros(1, 8, dtype=torch.long)),
    "kws_dscnn_mlperf": (dscnn, torch.rand(2, 1, 49, 10)),
    "vit_cifar": (vit_cifar, torch.rand(2, 3, 32, 32)),
    "mobilenet_cifar": (mobilenet_cifar, torch.rand(2, 3, 32, 32)),
    "digits": (digits_cnn, torch.rand(2, 1, 8, 8)),
}


@pytest.mark.parametrize("name", ALL)
def test_every_layer_on_arrays_is_of_one_kind(name):
    factory, x = FACTORIES[name]
    net = mho.to_analog(factory().eval(), "pcm", example=x)
    patterns = [pattern for paths in ALL[name].kinds.values() for pattern in paths]
    for path in {weight.path for weight in net.placement if weight.placed == "analog"}:
        assert sum(fnmatch(path, pattern) for pattern in patterns) == 1, path


@pytest.mark.parametrize("name", ALL)
def test_alone_and_spared_are_each_others_complement(name):
    network = ALL[name]
    for kind in network.kinds:
        alone, spared = network.layers(kind, "alone"), network.layers(kind, "spared")
        assert spared == network.kinds[kind] and not set(alone) & set(spared)
        assert {*alone, *spared} == {path for paths in network.kinds.values() for path in paths}


def _kinds_arm(costs, *, chips=4, network="stories260k", hardware="pcm"):
    """Rows in which kinds cost so much alone and half of it spared, with some noise over chips and a digital score of -1."""
    noise = np.random.default_rng(0).normal(0, 0.01, chips)
    rows = [{"mode": "digital", "kind": "", "chip": c, "age_s": 0.0, "score": -1.0} for c in range(chips)]
    for age in (86400.0, 31536000.0):
        rows += [{"mode": "whole", "kind": "", "chip": c, "age_s": age, "score": -4.0 + noise[c]} for c in range(chips)]
        for kind, cost in costs.items():
            for c in range(chips):
                row = {"kind": kind, "chip": c, "age_s": age}
                rows.append({**row, "mode": "alone", "score": -1.0 - cost + noise[c] * cost})
                rows.append({**row, "mode": "spared", "score": -4.0 + cost / 2 + noise[c]})
    arm = FamilyArm(f"{network}-{hardware}-kinds", "k", network=network, hardware=hardware, work="kinds")
    return Outcome(arm, {0: rows})


COSTS = {
    "query": 0.1,
    "key": 0.1,
    "value": 0.5,
    "output": 0.6,
    "feed-forward in": 0.4,
    "feed-forward out": 0.2,
    "head": 0.3,
}


def test_what_a_kind_costs():
    found = _kinds_arm(COSTS)
    np.testing.assert_allclose(kinds(found, "spared", "1 day")["value"], 0.25)
    assert kinds(found, "alone", "1 year")["output"].mean() == pytest.approx(0.6, abs=0.02)
    assert list(kinds(found, "alone", "1 day")) == list(COSTS)


def _verdicts(results):
    return [claim.judge(results) for claim in Families.claims]


def test_claims_hold_fail_and_depend():
    arms = [_kinds_arm(COSTS, hardware=hardware) for hardware in ("pcm", "pcm-cells")]
    found = _verdicts(Results({outcome.arm.name: outcome for outcome in arms}))
    assert [f.verdict for f in found] == ["open", "fails", "holds", "fails", *["open"] * 5]
    assert "against output -0.299 nats" in found[1].evidence
    arms[1] = _kinds_arm({**COSTS, "head": 2.0}, hardware="pcm-cells")
    assert _verdicts(Results({outcome.arm.name: outcome for outcome in arms}))[1].verdict == "depends"


def test_a_remedy_that_wins_and_does_not_keep_the_budget_fails():
    row = {"remedy": "as it is", "recommended": False, "met": False, "gain": None}
    won = {"remedy": "refresh", "recommended": True, "met": False, "gain": 0.1, "gain_low": 0.05, "gain_high": 0.15}

    def judged(*rows):
        arms = [
            FamilyArm(f"vit_cifar-{hw}-advice", "a", network="vit_cifar", hardware=hw) for hw in ("pcm", "pcm-cells")
        ]
        return _verdicts(Results({arm.name: Outcome(arm, {0: list(rows)}) for arm in arms}))[7]

    assert judged(row).verdict == "fails" and "nothing is known to help" in judged(row).evidence
    assert judged({**row, "met": True}).verdict == "holds"
    found = judged(row, won)
    assert found.verdict == "fails" and "refresh wins +10.00 points [+5.00, +15.00]" in found.evidence
    assert judged(row, {**won, "met": True}).verdict == "holds"


def test_a_network_is_trained_once(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(64, 3, 32, 32, generator=generator), torch.arange(64) % 10
    monkeypatch.setattr(training, "load", lambda _: Dataset("made up", images, labels, tuple("0123456789")))
    first = training.trained("vit_cifar", tmp_path)
    assert not first.training and (tmp_path / "vit_cifar" / "last.ckpt").exists()
    monkeypatch.setattr(training, "fit", None)
    again = training.trained("vit_cifar", tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert not torch.equal(first.head.weight, vit_cifar().head.weight)
    assert set(training.RECIPES) < set(NETWORKS)

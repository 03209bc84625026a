"""The contract, batch norms, and what all kinds have in common."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import mho
from mho import recalibration
from mho.errors import BadInput, NotYet, WrongSetting
from mho.hardware import Hardware
from mho.recalibration import (
    RecalibrateAffine,
    RecalibrateNorms,
    RecalibrateOutput,
    RecalibrateThreshold,
    Recalibration,
)

PCM, IDEAL = Hardware.preset("pcm-cells"), Hardware.preset("ideal")


def _x(n=120, seed=3):
    return torch.randn(n, 2, 6, 6, generator=torch.Generator().manual_seed(seed))


def _model():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5), nn.ReLU(),
        nn.Flatten(), nn.Linear(20, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 4),
    )  # fmt: skip
    for _ in range(30):
        model(_x())
    return model.eval()


def _aged(model, hw=PCM, age="1 year"):
    net = mho.calibrate(mho.to_analog(model, hw, example=_x(2)), [_x()])
    return mho.program(net, seed=1).at(age)


def _norms(net):
    return [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def _statistics(net):
    return [(m.running_mean.clone(), m.running_var.clone()) for m in _norms(net)]


def _close(found, expected, tolerance=1e-5):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a[0], b[0], rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(a[1], b[1], rtol=tolerance, atol=tolerance)


def test_one_batch_is_torchs_own_training_step_with_momentum_one():
    chip, x = _aged(_model()), _x()
    torchs = copy.deepcopy(chip)
    for norm in _norms(torchs):
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        torchs(x)
    before = _statistics(chip)
    _close(_statistics(RecalibrateNorms([x])(chip)), _statistics(torchs))
    assert not torch.allclose(before[0][1], _statistics(chip)[0][1], rtol=0.05), (
        "a year of drift changes the statistics"
    )
    assert all(not m.training and not m._forward_pre_hooks for m in chip.modules())


@pytest.mark.parametrize("sizes", [[120], [50, 50, 20]])
def test_sequential_statistics_are_the_pooled_ones_of_each_norms_input(sizes):
    """The first n norms of an independent copy in float64, each fed by those before it in eval mode."""
    chip, x = _aged(_model(), IDEAL), _x()
    expected = []
    with torch.no_grad():
        model = _model().double()
        y = x.double()
        for layer in model:
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                axes = [0, *range(2, y.dim())]
                layer.running_mean, layer.running_var = y.mean(axes), y.var(axes, correction=1)
                expected.append((layer.running_mean.float(), layer.running_var.float()))
            y = layer(y)
    RecalibrateNorms(list(x.split(sizes)), passes="sequential")(chip)
    _close(_statistics(chip), expected)


def test_the_variance_between_batches_counts():
    """Batches of different means: averages of their variances would miss most of it."""
    x = torch.cat([_x(40) + shift for shift in (-3.0, 0.0, 3.0)])
    chip = _aged(_model(), IDEAL)
    RecalibrateNorms(list(x.split(40)))(chip)
    with torch.no_grad():
        y = _model()[0](x)
    torch.testing.assert_close(_norms(chip)[0].running_var, y.var((0, 2, 3)), rtol=1e-4, atol=0)
    assert float((y[:40].var((0, 2, 3)) / y.var((0, 2, 3))).min()) < 0.3


def test_noiseless_hardware_gets_its_own_statistics_back():
    model, x = _model(), _x()
    exact = copy.deepcopy(model)
    for norm in _norms(exact):
        norm.momentum = 1.0
    with torch.no_grad():
        exact.train()(x)
    chip = _spoiled(_aged(exact.eval(), IDEAL))
    _close(_statistics(RecalibrateNorms([x])(chip)), _statistics(exact), 1e-4)
    with torch.no_grad():
        torch.testing.assert_close(chip(x), exact(x), rtol=1e-4, atol=1e-4)
    # In evaluation norms divide by the unbiased deviation, so one after the other gives statistics of their own.
    parts = list(x.split(50))
    settled = RecalibrateNorms(parts, passes="sequential")(_aged(exact, IDEAL))
    again = RecalibrateNorms(parts, passes="sequential")(_spoiled(_aged(exact, IDEAL)))
    _close(_statistics(again), _statistics(settled), 1e-6)
    _close(_statistics(settled), _statistics(exact), 1e-2)


def _spoiled(chip):
    for norm in _norms(chip):
        norm.running_mean.add_(0.1)
        norm.running_var.mul_(1.5)
    return chip


@pytest.mark.parametrize(("passes", "sizes"), [("one", [120]), ("one", [50, 50, 20]), ("sequential", [60, 60])])
def test_beside_the_digital_network_statistics_of_another_time_stay(passes, sizes):
    """Plain statistics replace those that the network was published with; relative ones only undo what the chip did."""
    model, parts = _spoiled(_model()), list(_x().split(sizes))
    kept = _statistics(model)
    chip = _aged(model, IDEAL)
    r = RecalibrateNorms(parts, model, passes=passes)
    _close(_statistics(r(chip)), kept, 1e-4)
    assert str(r) == "norms (as digital)" and r.digital_net is None
    plain = _statistics(RecalibrateNorms(parts, passes=passes)(_aged(model, IDEAL)))
    assert not torch.allclose(plain[0][0], kept[0][0], atol=0.05)


@pytest.mark.parametrize("passes", ["one", "sequential"])
def test_uniform_drift_before_norms_is_undone_exactly(passes):
    model = _spoiled(_model())
    hw = PCM.replace(
        **{"cell.programming_noise": 0.0, "cell.read_noise": 0.0, "dac.bits": None, "adc.bits": None, "cell.nu": 0.06,
           "cell.nu_std": 0.0, "compensation": "none", "digital": ["10"]}
    )  # fmt: skip
    chip, x = _aged(model, hw), _x(30, 7)
    with torch.no_grad():
        assert not torch.allclose(chip[:10](x), model[:10](x), rtol=0.05, atol=0.05)
        RecalibrateNorms(list(_x().split(50)), mho.to_analog(model, hw), passes=passes)(chip)
        torch.testing.assert_close(chip[:10](x), model[:10](x), rtol=1e-4, atol=1e-4)


def test_new_statistics_are_those_that_are_fused():
    chip, x = _aged(_model()), _x()
    with torch.no_grad():
        RecalibrateNorms([x])(chip)
        fused = mho.fuse(chip)
        assert (len(_norms(chip)), len(_norms(fused))) == (3, 1)
        torch.testing.assert_close(fused(x), chip(x), rtol=1e-4, atol=1e-5)


def test_a_norm_that_is_called_twice_pools_both_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.norm = nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4)

        def forward(self, x):
            return self.norm(self.a(x)) + self.norm(self.b(x))

    torch.manual_seed(0)
    model, x = Twice().eval(), torch.randn(60, 4)
    both = torch.cat([model.a(x), model.b(x)]).detach()
    for passes, parts in (("one", [60]), ("sequential", [30, 30])):
        chip = mho.program(mho.to_analog(model, IDEAL)).at(0.0)
        RecalibrateNorms(list(x.split(parts)), passes=passes)(chip)
        torch.testing.assert_close(chip.norm.running_mean, both.mean(0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(chip.norm.running_var, both.var(0), rtol=1e-4, atol=1e-5)


def test_networks_that_have_no_statistics_are_told_the_way_out():
    chip = mho.program(mho.to_analog(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), IDEAL)).at(0.0)
    with pytest.raises(WrongSetting, match="LayerNorm take theirs from each input.*RecalibrateAffine"):
        RecalibrateNorms([torch.randn(8, 4)])(chip)
    chip = mho.program(mho.to_analog(nn.Sequential(nn.Linear(4, 4)), IDEAL)).at(0.0)
    with pytest.raises(WrongSetting, match="no batch norm with running statistics -> RecalibrateAffine"):
        RecalibrateNorms([torch.randn(8, 4)])(chip)
    instance = nn.Sequential(nn.Conv1d(2, 4, 1), nn.InstanceNorm1d(4, track_running_stats=True))
    with pytest.raises(NotYet, match="instance norm"):
        RecalibrateNorms([torch.randn(8, 2, 5)])(mho.program(mho.to_analog(instance, IDEAL)).at(0.0))


def test_bad_data_for_norms_is_named():
    with pytest.raises(BadInput, match="^1: 6 channels on the chip, 5 in the digital"):
        RecalibrateNorms([_x()], nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5)))(_aged(_model()))
    with pytest.raises(BadInput, match="^4: this norm has no digital counterpart"):
        RecalibrateNorms([_x()], _model()[:3])(_aged(_model()))
    for batches, named in (([_x(1)], "one value a channel"), ([_x() * float("nan")], "not finite")):
        with pytest.raises(BadInput, match=named):
            RecalibrateNorms(batches)(_aged(_model()))
    with pytest.raises(WrongSetting, match="passes"):
        RecalibrateNorms([_x()], passes="two")

    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.skipped = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, x):
            return self.layer(x)

    with pytest.raises(BadInput, match="^skipped: no batch reached"):
        RecalibrateNorms([torch.randn(4, 3)])(mho.program(mho.to_analog(Skips(), IDEAL)).at(0.0))


def _every_kind(model):
    binary = nn.Sequential(model, nn.Linear(4, 1)).eval()
    return [
        (RecalibrateNorms([_x()]), model), (RecalibrateNorms([_x()], model), model), (RecalibrateAffine([_x()], model), model),
        (RecalibrateAffine([_x()], model, fit="regression"), model), (RecalibrateOutput([_x()], model), model),
        (RecalibrateOutput([_x()], model, match="rate"), model), (RecalibrateThreshold([_x()], binary), binary),
        (RecalibrateThreshold([(_x(), torch.arange(120) % 2)]), binary),
    ]  # fmt: skip


def test_every_kind_is_a_frozen_value_that_pickles_and_says_what_it_did():
    model = _model()
    names = []
    for r, net in _every_kind(model):
        again = pickle.loads(pickle.dumps(r))
        a, b = (each(_aged(net)) for each in (r, again))
        with torch.no_grad():
            assert torch.equal(a(_x(9, 5)), b(_x(9, 5)))
            assert not torch.allclose(a(_x(9, 5)), _aged(net)(_x(9, 5)), atol=1e-4), "it does something"
        assert str(again) == str(r) and again.record() == r.record()
        assert a.recalibrations[0].startswith(f"{r}: ")
        assert not a.training
        with pytest.raises(AttributeError):
            r.batches = ()
        names.append(str(r))
    labelled = "threshold (labels)"
    assert names == [
        "norms", "norms (as digital)", "affine", "affine (regression)", "output", "output (rate)", "threshold (rate)", labelled,
    ]  # fmt: skip
    assert [r.labels for r, _ in _every_kind(model)] == [name == labelled for name in names]


def test_the_record_changes_with_data_options_and_the_digital_network():
    model = _model()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[-1].bias.add_(1.0)
    records = {
        r.record()
        for r in (
            RecalibrateNorms([_x()]), RecalibrateNorms([_x(seed=4)]), RecalibrateNorms([_x()], passes="sequential"),
            RecalibrateNorms([_x()], model), RecalibrateNorms([_x()], _spoiled(copy.deepcopy(model))),
            RecalibrateAffine([_x()], model), RecalibrateAffine([_x()], other),
            RecalibrateAffine([_x()], model, fit="regression"), RecalibrateOutput([_x()], model),
            RecalibrateOutput([_x()], other), RecalibrateOutput([_x()], model, match="rate"),
        )
    }  # fmt: skip
    assert len(records) == 11
    assert RecalibrateNorms([_x()]).record() == RecalibrateNorms([(_x(), torch.zeros(120))]).record()


def test_what_every_kind_refuses():
    model = _model()
    for r, net in _every_kind(model):
        for wrong in (net, mho.to_analog(net, IDEAL)):
            with pytest.raises(WrongSetting, match="no chip's"):
                r(wrong)
    with pytest.raises(BadInput, match="no batch"):
        RecalibrateNorms([])
    with pytest.raises(BadInput, match=r"a list of batches: \[X\]"):
        RecalibrateNorms(_x())
    for kind in (RecalibrateAffine, RecalibrateOutput):
        with pytest.raises(WrongSetting, match="is a chip's"):
            kind([_x()], _aged(model))
        with pytest.raises(WrongSetting, match="NoneType"):
            kind([_x()], None)


def test_kinds_are_found_by_name_and_users_add_theirs(monkeypatch):
    model = _model()
    for kind in ("norms", "affine", "output"):
        r = recalibration.RECALIBRATIONS.find(kind).of([_x()], model)
        assert r.kind == kind and r(_aged(model)).recalibrations
    with pytest.raises(WrongSetting, match=r"unknown recalibration 'magic'.*norms.*mho.recalibrations"):
        recalibration.RECALIBRATIONS.find("magic")

    class Point:
        def load(self):
            return Mine

    def points(group):
        return {"mine": Point()} if group == "mho.recalibrations" else {}

    monkeypatch.setattr("mho.registry.plugged", points)
    assert "mine" in recalibration.RECALIBRATIONS.names()
    mine = recalibration.RECALIBRATIONS.find("mine")([_x()])
    assert mine(_aged(model)).recalibrations == ("mine: nothing",)


class Mine(Recalibration):
    kind = "mine"

    def apply(self, net):
        return "nothing"


class Named(nn.Module):
    """Takes a mapping and gives one output."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(4, 6)

    def forward(self, x):
        return self.a(x["a"]) * self.b(x["b"])


def test_inputs_may_be_mappings():
    torch.manual_seed(0)
    model = Named().eval()
    x = {"a": torch.randn(30, 4), "b": torch.randn(30, 4)}
    other = {"a": x["b"], "b": x["a"]}
    r = RecalibrateAffine([x], model)
    chip = r(mho.program(mho.to_analog(model, IDEAL)).at(0.0))
    with torch.no_grad():
        torch.testing.assert_close(chip(x), model(x), rtol=1e-4, atol=1e-4)
    assert r.record() != RecalibrateAffine([other], model).record() and ", 30 inputs " in r.record()

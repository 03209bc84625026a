"""Shifts behind the network: means, rates, thresholds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, UseInstead, WrongSetting
from mho.hardware import Hardware
from mho.models import block_drop
from mho.recalibration import RecalibrateAffine, RecalibrateOutput, RecalibrateThreshold
from mho.recalibration.shift import class_shifts

PCM, IDEAL = Hardware.preset("pcm-cells"), Hardware.preset("ideal")


def _x(n=300, seed=3):
    return torch.randn(n, 12, generator=torch.Generator().manual_seed(seed))


def _model(outputs=5, tail=None):
    torch.manual_seed(0)
    layers = [nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, outputs)]
    return nn.Sequential(*layers, *([tail] if tail else [])).eval()


def _chip(model, hw=PCM, age="1 year"):
    return mho.program(mho.calibrate(mho.to_analog(model, hw, example=_x(2)), [_x()]), seed=1).at(age)


def _shifted(model, by):
    """An ideal chip whose last bias is wrong by a known amount."""
    chip = _chip(model, IDEAL)
    with torch.no_grad():
        chip[2].bias += torch.as_tensor(by)
    return chip


BY = [0.3, -0.2, 0.0, 1.0, -0.5]


@torch.no_grad()
def test_the_mean_of_each_logit_becomes_the_digital_one():
    model = _model()
    chip = RecalibrateOutput(list(_x().split(120)), model)(_chip(model))
    torch.testing.assert_close(chip(_x()).mean(0), model(_x()).mean(0), rtol=1e-4, atol=1e-5)
    undone = RecalibrateOutput([_x()], mho.to_analog(model, PCM))(_shifted(model, BY))
    torch.testing.assert_close(undone(_x(50, 9)), model(_x(50, 9)), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_chip_whose_policy_keeps_other_blocks_is_compared_under_the_same():
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2)]
    net = block_drop(
        nn.Sequential(nn.Linear(12, 8), *blocks, nn.Linear(8, 5)), [1, 2], example=_x(2), policy=nn.Linear(12, 2)
    ).eval()
    chip = _chip(net, IDEAL)
    chip.get_submodule("3").bias += torch.tensor(BY)
    chip.policy.bias += 100.0
    assert not torch.equal(net.keeps(_x()), chip.keeps(_x()))
    undone = RecalibrateOutput(list(_x().split(100)), net)(chip)
    undone.policy.bias -= 100.0
    torch.testing.assert_close(undone(_x(50, 9)), net(_x(50, 9)), rtol=1e-4, atol=1e-4)
    with pytest.raises(BadInput, match="drops blocks, the other does not"):
        RecalibrateOutput([_x()], net.backbone())(chip)


@torch.no_grad()
@pytest.mark.parametrize("outputs", [2, 5])
def test_classes_are_predicted_as_often_as_the_digital_network_does(outputs):
    model, x = _model(outputs), _x(1000)
    wanted = torch.bincount(model(x).argmax(1), minlength=outputs)
    aged = _chip(model)
    before = torch.bincount(aged(x).argmax(1), minlength=outputs)
    after = torch.bincount(RecalibrateOutput([x], model, match="rate")(aged)(x).argmax(1), minlength=outputs)
    assert int((after - wanted).abs().sum()) <= 6 < int((before - wanted).abs().sum())


@torch.no_grad()
def test_a_known_shift_of_the_classes_is_undone_by_their_rates():
    model, x = _model(), _x(2000)
    chip = _shifted(model, BY)
    wrong = (chip(x).argmax(1) != model(x).argmax(1)).float().mean()
    right = (RecalibrateOutput([x], model, match="rate")(chip)(x).argmax(1) == model(x).argmax(1)).float().mean()
    assert float(right) > 0.995 and float(wrong) > 0.2


def test_class_shifts_reach_any_rates():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1000, 8, generator=generator) * torch.linspace(0.5, 4, 8) + torch.linspace(-2, 2, 8)
    for counts in ([125] * 8, [700, 100, 100, 50, 30, 10, 10, 0], [0, 0, 0, 0, 0, 0, 500, 500]):
        shift = class_shifts(z, torch.tensor(counts))
        found = torch.bincount((z + shift).argmax(1), minlength=8)
        assert int((found - torch.tensor(counts)).abs().sum()) <= 8, (counts, found.tolist())
        assert bool(shift.isfinite().all())
    assert torch.equal(class_shifts(z, torch.bincount(z.argmax(1), minlength=8)), torch.zeros(8, dtype=torch.float64))


@torch.no_grad()
def test_probabilities_stay_probabilities():
    model = _model(tail=nn.Softmax(-1))
    chip = RecalibrateOutput([_x()], model, scale="probabilities")(_shifted(model, BY))
    torch.testing.assert_close(chip(_x(50, 9)), model(_x(50, 9)), rtol=1e-3, atol=1e-5)
    one = _model(1, nn.Sigmoid())
    chip = RecalibrateOutput([_x()], one, scale="probabilities")(_shifted(one, [0.7]))
    torch.testing.assert_close(chip(_x(50, 9)), one(_x(50, 9)), rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_recalibrations_follow_each_other():
    model = _model()
    chip = RecalibrateAffine([_x()], model)(_chip(model))
    chip = RecalibrateOutput([_x()], model)(RecalibrateOutput([_x()], model, match="rate")(chip))
    torch.testing.assert_close(chip(_x()).mean(0), model(_x()).mean(0), rtol=1e-4, atol=1e-5)
    assert [line.partition(":")[0] for line in chip.recalibrations] == ["affine", "output (rate)", "output"]


@torch.no_grad()
@pytest.mark.parametrize("scale", ["logits", "probabilities"])
def test_the_rate_of_positives_becomes_the_digital_one(scale):
    tail, line = (nn.Sigmoid(), 0.5) if scale == "probabilities" else (None, 0.0)
    model, x = _model(1, tail), _x()
    wanted = int((model(x) > line).sum())
    aged = _shifted(model, [0.4])
    before = int((aged(x) > line).sum())
    after = RecalibrateThreshold(list(x.split(100)), model, scale=scale)(aged)(x)
    assert int((after > line).sum()) == wanted != before
    assert after.shape == (300, 1)


@torch.no_grad()
def test_labels_choose_the_threshold_of_the_best_balanced_accuracy():
    model, x = _model(1), _x()
    y = (model(x)[:, 0] + 0.4 * torch.randn(300, generator=torch.Generator().manual_seed(2)) > 0.25).long()
    aged = _chip(model)
    z = aged(x)[:, 0]

    def balanced(threshold):
        above = z > threshold
        return float((above[y == 1].double().mean() + (~above[y == 0]).double().mean()) / 2)

    best = max(balanced(t) for t in [*(z + 1e-6).tolist(), -1e9])
    r = RecalibrateThreshold([(x[:150], y[:150]), (x[150:], y[150:])])
    above = r(aged)(x)[:, 0] > 0
    found = float((above[y == 1].double().mean() + (~above[y == 0]).double().mean()) / 2)
    assert found == pytest.approx(best, abs=1e-9) and best > balanced(0.0)


@torch.no_grad()
def test_a_threshold_that_is_right_stays():
    model, x = _model(1), _x()
    y = (model(x)[:, 0] > 0).long()
    chip = RecalibrateThreshold([(x, y)])(_chip(model, IDEAL))
    torch.testing.assert_close(chip(x), model(x), rtol=1e-4, atol=1e-5)
    assert chip.recalibrations == ("threshold (labels): threshold 0",)


def test_what_does_not_apply_is_refused():
    model, one, x = _model(), _model(1), _x()
    with pytest.raises(UseInstead, match=r"shape \(300, 5\).*RecalibrateOutput\(match='rate'\)"):
        RecalibrateThreshold([x], model)
    with pytest.raises(WrongSetting, match="RecalibrateThreshold matches the rate"):
        RecalibrateOutput([x], one, match="rate")
    with pytest.raises(WrongSetting, match="neither labels nor a digital network"):
        RecalibrateThreshold([x])
    with pytest.raises(BadInput, match="other than 0 and 1"):
        RecalibrateThreshold([(x, torch.arange(300))])
    for batches, network in (([(x, torch.ones(300))], None), ([x + 1e3 * one[0].weight.sum(0).detach()], _same(one))):
        with pytest.raises(BadInput, match="the same for all 300"):
            RecalibrateThreshold(batches, network)
    with pytest.raises(BadInput, match="the chip gives 5 outputs, the digital network 4"):
        RecalibrateOutput([x], _model(4))(_chip(model))
    for wrong in ({"match": "median"}, {"scale": "percent"}):
        with pytest.raises(WrongSetting, match=next(iter(wrong))):
            RecalibrateOutput([x], model, **wrong)
    with pytest.raises(BadInput, match="not finite"):
        RecalibrateOutput([x * float("nan")], model)
    with pytest.raises(BadInput, match="returns a tuple"):
        RecalibrateOutput([torch.randn(3, 2, 12)], nn.GRU(12, 3))


def _same(model):
    with torch.no_grad():
        model[2].weight.zero_()
        model[2].bias.fill_(1.0)
    return model

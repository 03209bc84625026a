"""Side classifiers on any network: names, outputs, what skips, what is refused; and the task that scores them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.calibration import bit_errors
from mho.chip.fuse import Fusion
from mho.errors import BadInput, NotYet, WrongSetting
from mho.models import cifar_resnet, multi_exit
from mho.recalibration import RecalibrateNorms, RecalibrateOutput
from mho.tasks import Exits

X = torch.randn(12, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 4
HW = mho.Hardware.preset("pcm-cells")


def _backbone() -> nn.Module:
    torch.manual_seed(0)
    return cifar_resnet(depth=8, width=4, num_classes=4).eval()


@pytest.fixture(scope="module")
def net():
    return multi_exit(_backbone(), ["layer1", "layer2"], example=X)


def test_names_are_the_backbones_and_its_weights_load(net):
    backbone = _backbone()
    names = list(backbone.state_dict())
    assert [name for name in net.state_dict() if not name.startswith("exits.")] == names
    state = {name: value + 1 if value.is_floating_point() else value for name, value in backbone.state_dict().items()}
    other = copy.deepcopy(net)
    assert not other.load_state_dict(state, strict=False).unexpected_keys
    backbone.load_state_dict(state)
    assert torch.equal(other(X)["exit3"], backbone(X))
    assert torch.equal(other.backbone()(X), backbone(X))
    assert not torch.equal(net(X)["exit3"], other(X)["exit3"]), "a copy is a copy"


def test_every_exit_reads_what_stands_before_it(net):
    backbone, found = _backbone(), net(X)
    features = backbone.layer1(F.relu(backbone.bn1(backbone.conv1(X))))
    torch.testing.assert_close(found["exit1"], net.exits["exit1"](features))
    torch.testing.assert_close(found["exit2"], net.exits["exit2"](backbone.layer2(features)))
    assert torch.equal(pickle.loads(pickle.dumps(net))(X)["exit1"], found["exit1"])


def test_sequential_by_number_and_heads_of_all_kinds():
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8), nn.ReLU(), nn.Linear(8, 4))
    own = nn.Sequential(nn.Flatten(), nn.Linear(144, 4))
    net = multi_exit(backbone, {"0": own, "1": "conv", "4": lambda x: nn.Linear(x.shape[1], 4)}, example=X)
    assert [tuple(y.shape) for y in net(X).values()] == [(12, 4)] * 4
    assert torch.equal(net(X)["exit4"], backbone(X))
    assert torch.equal(net(X)["exit1"], own(backbone[0](X)))
    assert net.exits["exit1"] is not own and multi_exit(backbone, {0: own, 1: "conv"}, example=X).after == ("0", "1")
    numbered = multi_exit(backbone, [1, 4], example=X)
    scores, exits = numbered.early(X, lambda number, y: torch.arange(len(y)) % 2 == number)
    assert exits.tolist() == [0, 2, 0, 1] * 3
    whole = torch.stack(list(numbered(X).values()))
    torch.testing.assert_close(scores, whole[exits, torch.arange(12)])


def test_what_works_in_place_changes_nothing_for_others():
    torch.manual_seed(0)
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4)]
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.LeakyReLU(-1.0), *tail)
    for first in (nn.ReLU(inplace=True), nn.Dropout(inplace=True)):
        net = multi_exit(backbone, {"0": nn.Sequential(first, *copy.deepcopy(tail))}, example=X).train()
        torch.testing.assert_close(net(X)["exit2"], backbone(X))
        assert net.copied == {"0"} and torch.equal(net.early(X, lambda _n, y: y[:, 0] > 99)[0], backbone(X))
    after = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), *tail)
    net = multi_exit(after, {"1": "conv"}, example=X).train()
    assert not net.copied and net.copied_to_learn == {"1"}
    sum(y.sum() for y in net(X).values()).backward()  # the head's convolution keeps its input
    assert net.exits["exit1"].before[0].weight.grad is not None


def test_who_left_is_not_computed_any_further(net):
    rows = []
    net = copy.deepcopy(net)
    net.layer2.register_forward_hook(lambda _m, args, _y: rows.append(len(args[0])))
    net.layer3.register_forward_hook(lambda _m, args, _y: rows.append(len(args[0])))
    scores, exits = net.early(X, lambda number, y: torch.arange(len(y)) < 5)
    assert rows == [7, 2]
    assert exits.bincount().tolist() == [5, 5, 2]
    torch.testing.assert_close(scores[10:], net(X)["exit3"][10:])
    rows.clear()
    assert net.early(X, lambda number, y: torch.ones(len(y), dtype=torch.bool))[1].eq(0).all()
    assert rows == []


def test_a_frozen_backbone_stays_as_it_is():
    net = multi_exit(_backbone(), ["layer1"], example=X).freeze()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    mho.fit(net, [(X, Y)], lr=0.1, epochs=2, batch=6, task=Exits(weights=(1, 0)), progress=None)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"exits.exit1.linear.weight", "exits.exit1.linear.bias"}
    assert net.freeze(False).train().layer1.training and net.conv1.weight.requires_grad
    net.conv1.weight.requires_grad_(False)
    assert not net.freeze().layer1[0].conv1.weight.requires_grad and net.exits["exit1"].linear.weight.requires_grad
    assert net.freeze().freeze(False).layer1[0].conv1.weight.requires_grad and not net.conv1.weight.requires_grad
    assert not net.freeze(False).conv1.weight.requires_grad


def test_chips_recalibration_and_fusing_as_of_any_network(net):
    analog = mho.to_analog(net, HW, example=X)
    assert "exits.exit1.linear" in str(analog.placement)
    mho.calibrate(analog, [(X, Y)])
    chip = mho.program(analog, seed=0)
    old = chip.at("1 month")
    assert len(Fusion.of(old).norms) == 7
    assert Fusion.of(old).channels_last
    torch.testing.assert_close(mho.fuse(old)(X)["exit1"], old(X)["exit1"])
    run = mho.drift(analog, [(X, Y)], ["1 day"], chips=2, task="exits", recalibrate=[RecalibrateNorms([X], analog)])
    assert run.score.label == "accuracy"
    assert {"exit1.accuracy", "exit2.accuracy", "exit3.loss"} <= set(run.summary()[0].scores)
    assert len(run.per_class()) == 4


def test_outputs_of_every_exit_are_recalibrated_where_samples_leave_too(net):
    analog = mho.calibrate(mho.to_analog(net, mho.Hardware.preset("ideal"), example=X), [X])
    chip = mho.program(analog, seed=0).at("0 s")
    with torch.no_grad():
        chip.linear.bias += 1.0
        chip.exits["exit1"].linear.bias[0] -= 2.0
        fixed = RecalibrateOutput([X], net)(chip)
        for name, y in net(X).items():
            torch.testing.assert_close(fixed(X)[name], y, rtol=1e-3, atol=1e-3)
        last = fixed.early(X, lambda _number, y: torch.arange(len(y)) < 6)[0]
        torch.testing.assert_close(last[:6], net(X)["exit1"][:6], rtol=1e-3, atol=1e-3)
        never = fixed.early(X, lambda _number, y: torch.zeros(len(y), dtype=torch.bool))[0]
        torch.testing.assert_close(never, net(X)["exit3"], rtol=1e-3, atol=1e-3)
    assert bit_errors(analog, [X], range(6, 8), at_output=True).keys() == bit_errors(analog, [X], range(6, 8)).keys()


@pytest.mark.parametrize(
    ("exits", "error", "says"),
    [
        (["nope"], WrongSetting, "no module 'nope'"), ([""], WrongSetting, "no module ''"),
        (["layer2", "layer1"], WrongSetting, "computed as layer1, layer2"),
        (["layer1", "layer1"], WrongSetting, "named twice"), ({}, WrongSetting, "give a list"), ([], WrongSetting, "give a list"),
        ("layer1", WrongSetting, "give a list"), (["layer1.0.conv1"], NotYet, "nothing runs around it"),
        ({"layer1": "nonsense"}, WrongSetting, "valid are linear, conv"),
        ({"layer1": nn.Sequential(nn.Flatten(), nn.Linear(256, 3))}, BadInput, "score the same classes"),
    ],
)  # fmt: skip
def test_exits_that_cannot_be_are_refused(exits, error, says):
    with pytest.raises(error, match=says):
        multi_exit(_backbone(), exits, example=X)


def test_joint_loss_is_the_weighted_sum_and_distils_from_the_last_exit():
    a, b = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4, requires_grad=True)
    y = Y[:6]
    one, two = F.cross_entropy(a, y), F.cross_entropy(b, y)
    assert torch.allclose(Exits().loss({"exit1": a, "exit2": b}, y), (one + two) / 2)
    assert torch.allclose(Exits(weights=(3, 1)).loss((a, b), y), 0.75 * one + 0.25 * two)
    assert Exits(weights="branchynet").shares(3) == pytest.approx((1 / 1.95, 0.65 / 1.95, 0.3 / 1.95))
    assert (
        Exits(weights="rising").shares(3)
        == Exits(weights="falling").shares(3)[::-1]
        == pytest.approx((1 / 6, 2 / 6, 0.5))
    )
    soft = F.softmax(b.detach() / 2, -1)
    apart = (soft * (soft.log() - F.log_softmax(a / 2, -1))).sum(-1).mean()
    loss = Exits(distillation=(2.0, 0.25)).loss({"exit1": a, "exit2": b}, y)
    assert torch.allclose(loss, (0.75 * one + 0.25 * 4 * apart + two) / 2)
    loss.backward()
    expected = torch.autograd.grad(two / 2, b)[0]
    assert torch.allclose(b.grad, expected), "the last exit learns nothing from the others"


@pytest.mark.parametrize(
    "settings",
    [
        {"weights": "some"}, {"weights": (1, -1)}, {"weights": (0, 0)}, {"distillation": (0, 0.5)}, {"distillation": 4},
        {"distillation": (float("inf"), 0.5)}, {"distillation": (float("nan"), 0.5)}, {"distillation": ("a", 0.5)},
        {"distillation": (4, "b")},
    ],
)  # fmt: skip
def test_settings_of_the_task_are_checked(settings):
    with pytest.raises(WrongSetting):
        Exits(**settings)


def test_what_does_not_go_with_the_network_is_refused_when_it_is_seen(net):
    with pytest.raises(WrongSetting, match="2 weights for 3 exits"):
        mho.fit(copy.deepcopy(net), [(X, Y)], task=Exits(weights=(1, 2)), progress=None)
    with pytest.raises(WrongSetting, match="no exit 'exit9'"):
        mho.accuracy(net, [(X, Y)], task=Exits(result="exit9"))
    with pytest.raises(BadInput, match="multi_exit"):
        mho.accuracy(_backbone(), [(X, Y)], task="exits")
    assert mho.accuracy(net, [(X, Y)], task=Exits(result="exit1")) == pytest.approx(
        float((net(X)["exit1"].argmax(1) == Y).float().mean())
    )


@pytest.mark.parametrize(
    ("spec", "shape", "exits"),
    [("b_lenet", (1, 28, 28), 2), ("b_alexnet", (3, 32, 32), 3), ("resnet_exits?depth=14", (3, 32, 32), 3)],
)
def test_networks_of_the_literature_by_name(spec, shape, exits):
    found = mho.models.resolve(spec)(torch.zeros(1, *shape))
    assert list(found) == [f"exit{i + 1}" for i in range(exits)]
    assert all(y.shape == (1, 10) for y in found.values())
    with pytest.raises(WrongSetting, match="published backbones have 10"):
        mho.models.resolve("resnet_exits?num_classes=4&trained=true")
    with pytest.raises(WrongSetting, match="20, 32, 44 and 56 are published"):
        mho.models.resolve("resnet_exits?depth=110&trained=true")

"""Blocks that a policy drops: names, what is skipped, what cannot be dropped."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.calibration import ranges_of
from mho.errors import BadInput, NotYet, WrongSetting
from mho.models import block_drop, cifar_resnet, multi_exit, resnet8
from mho.recalibration import RecalibrateAffine, RecalibrateNorms

DRAWN = torch.Generator().manual_seed(0)
X = torch.randn(12, 3, 8, 8, generator=DRAWN)
Y = torch.arange(12) % 4
KEEP = torch.rand(12, 3, generator=DRAWN) < 0.5


def _policy(blocks: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, blocks))


def _backbone() -> nn.Module:
    torch.manual_seed(0)
    return cifar_resnet(depth=8, width=4, num_classes=4).eval()


@pytest.fixture(scope="module")
def net():
    return block_drop(_backbone(), example=X, policy=_policy())


def test_names_are_the_backbones_and_all_blocks_answer_as_it_does(net):
    backbone = _backbone()
    assert [name for name in net.state_dict() if not name.startswith("policy.")] == list(backbone.state_dict())
    assert net.droppable == ("layer1.0", "layer2.0", "layer3.0")
    assert torch.equal(net.whole(X), backbone(X)) and torch.equal(net.backbone()(X), backbone(X))
    again = pickle.loads(pickle.dumps(net))
    assert torch.equal(again(X), net(X)) and not [m for m in net.modules() if "forward" in m.__dict__]


def test_a_dropped_block_is_its_shortcut(net):
    backbone, keep = _backbone(), torch.tensor([False, True, False])
    features = backbone.layer2(F.relu(backbone.bn1(backbone.conv1(X))))
    expected = backbone.linear(backbone.layer3[0].downsample(features).mean((2, 3)))
    torch.testing.assert_close(net.under(X, keep), expected)


def test_skipping_is_selecting_and_computes_only_what_is_kept(net):
    net, rows = copy.deepcopy(net), []
    for path in net.droppable:
        net.get_submodule(path).conv1.register_forward_hook(lambda _m, args, _y: rows.append(len(args[0])))
    skipped = net.under(X, KEEP)
    assert rows == KEEP.sum(0).tolist() and len(set(rows)) > 1
    rows.clear()
    single = torch.cat([net.under(X[i : i + 1], KEEP[i]) for i in range(len(X))])
    torch.testing.assert_close(skipped, single)
    net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    rows.clear()
    torch.testing.assert_close(net.under(X, KEEP), skipped)
    assert rows == [12, 12, 12], "in training the norms see the whole batch"
    rows.clear()
    net.freeze()
    net.under(X, KEEP)
    assert rows == KEEP.sum(0).tolist()
    rows.clear()
    net.under(X, torch.zeros(3, dtype=torch.bool))
    assert rows == []


@pytest.mark.parametrize("digital", [["policy"], []])
def test_on_chips_skipping_is_selecting_and_norms_fold(net, digital):
    hw = mho.Hardware.preset("pcm-cells", digital=digital)
    with torch.no_grad():
        net = copy.deepcopy(net)
        net.policy[1].bias.copy_(torch.tensor([0.0, -99.0, 0.0]))  # a block that no sample keeps
        analog = mho.to_analog(net, hw, example=X)
        assert ("policy" in str(analog.placement.hardware.digital)) == bool(digital)
        mho.calibrate(analog, [(X, Y)])
        old = mho.program(analog, seed=0).at("1 month")
        assert torch.equal(old.keeps(X), net.keeps(X)) or not digital
        single = torch.cat([old.under(X[i : i + 1], KEEP[i]) for i in range(len(X))])
        torch.testing.assert_close(old.under(X, KEEP), single, rtol=1e-4, atol=1e-4)
        fused = mho.fuse(old)
        assert not [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)]
        torch.testing.assert_close(fused.under(X, KEEP), single, rtol=0.05, atol=0.05)
        run = mho.drift(analog, [(X, Y)], ["1 h"], chips=2)
    assert run.accuracy.shape == (2, 1)


def test_ranges_fit_other_policies_than_the_networks_own(net):
    def ranges(bias: float, wrapped: bool = False) -> dict[str, torch.Tensor]:
        made = copy.deepcopy(net)
        with torch.no_grad():
            made.policy[1].bias.fill_(bias)
        made = nn.Sequential(OrderedDict(net=made)).eval() if wrapped else made
        analog = mho.calibrate(
            mho.to_analog(made, mho.Hardware.preset("pcm-cells", digital=["*policy*"]), example=X), [X]
        )
        return {name.removeprefix("net."): value for name, value in ranges_of(analog).items()}

    largest = float((net.policy(X) - net.policy[1].bias).detach()[:, 1].max())
    every, none, few = ranges(99), ranges(-99), ranges(1e-3 - largest)
    assert every.keys() == none.keys() == few.keys() == ranges(-99, wrapped=True).keys()
    for name, value in every.items():
        if name.endswith("input_range"):
            assert bool((none[name] >= value).all()) and bool((few[name] >= value).all())
    assert any(float(none[name].max()) > float(value.max()) for name, value in every.items()), (
        "those of the policy count"
    )


@pytest.mark.parametrize("kind", [RecalibrateAffine, RecalibrateNorms])
def test_recalibration_computes_the_same_blocks_on_both_sides(net, kind):
    analog = mho.calibrate(mho.to_analog(net, mho.Hardware.preset("ideal"), example=X), [X])
    chip = mho.program(analog, seed=0).at("0 s")
    with torch.no_grad():
        chip.policy[1].bias -= 5.0  # the chip keeps other blocks than the digital network
        assert not torch.equal(chip.keeps(X), net.keeps(X))
        every = torch.ones(3, dtype=torch.bool)
        torch.testing.assert_close(kind.of([X], net)(chip).under(X, every), net.under(X, every), rtol=1e-3, atol=1e-3)
        assert kind is RecalibrateNorms or torch.equal(chip.keeps(X), net.keeps(X)), "the policy, too"


def test_blocks_of_any_network_by_name():
    torch.manual_seed(0)
    block = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), block, copy.deepcopy(block), nn.Linear(8, 4))
    net = block_drop(backbone, [2, 3], example=X, policy=_policy(2))
    expected = backbone[4](backbone[3](backbone[1](backbone[0](X))))
    assert torch.equal(net.under(X, torch.tensor([False, True])), expected)
    assert torch.equal(net(X), net.under(X, net.policy(X) >= 0))


class _ReadAgain(nn.Module):
    def __init__(self):
        super().__init__()
        self.block, self.last = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True)), nn.Linear(192, 4)

    def forward(self, x):
        x = x.flatten(1) * 1.0
        return self.last(self.block(x) + x)


@pytest.mark.parametrize("training", [False, True])
def test_the_shortcut_of_a_block_that_works_in_place_is_what_the_block_was_given(training):
    torch.manual_seed(0)
    block = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8))
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), block, nn.Linear(8, 4))
    net = block_drop(backbone, ["2"], example=X, policy=_policy(1)).train(training)
    assert net.copied == {"2"} and not block_drop(_backbone(), example=X, policy=_policy()).copied
    with torch.no_grad():
        found = net.under(X, KEEP[:, :1])
        dropped = backbone[3](backbone[1](X.flatten(1)))
        torch.testing.assert_close(found, torch.where(KEEP[:, :1], backbone(X), dropped))
    with pytest.raises(NotYet, match="read again behind it"):
        block_drop(_ReadAgain(), ["block"], example=X, policy=_policy(1))


def test_a_network_may_call_its_parts_blocks():
    layers = [("blocks", nn.Sequential(nn.Sequential(nn.ReLU()))), ("flat", nn.Flatten()), ("last", nn.Linear(192, 4))]
    backbone = nn.Sequential(OrderedDict(layers))
    net = block_drop(backbone, ["blocks.0"], example=X, policy=_policy(1))
    assert torch.equal(net.under(X, torch.tensor([False])), backbone.last(backbone.flat(X)))


class _Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, x):
        return self.inner(x) - x.mean(0)


@pytest.mark.parametrize(
    ("blocks", "error", "says"),
    [
        (["nope"], WrongSetting, "no module 'nope'"), ([], WrongSetting, "give a list"), ("2", WrongSetting, "give a list"),
        (["1"], NotYet, "it makes \\(8,\\) of \\(192,\\)"), (["2", "2"], WrongSetting, "named twice"),
        (["2", "2.0"], WrongSetting, "lies in '2'"), (["3"], WrongSetting, "a single layer"),
        (["4", "2"], WrongSetting, "out of order"), (["5"], NotYet, "depends on the other samples"),
        (None, WrongSetting, "no module is a residual block"),
    ],
)  # fmt: skip
def test_what_cannot_be_dropped_is_refused_by_name(blocks, error, says):
    def block():
        return nn.Sequential(nn.Linear(8, 8), nn.ReLU())

    wide = nn.Sequential(nn.Linear(192, 8), nn.ReLU())
    backbone = nn.Sequential(nn.Flatten(), wide, block(), nn.Linear(8, 8), block(), _Mixing(), nn.Linear(8, 4))
    with pytest.raises(error, match=says):
        block_drop(backbone, blocks, example=X)


@pytest.mark.parametrize("example", [X[:1], torch.zeros(2, 3, 8, 8), torch.ones(1, 3, 8, 8)])
def test_a_mixing_of_samples_is_seen_with_samples_that_are_alike(example):
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), _Mixing(), nn.Linear(8, 4))
    with pytest.raises(NotYet, match="depends on the other samples"):
        block_drop(backbone, ["3"], example=example, policy=_policy(1))
    with pytest.raises(NotYet, match="nothing runs around it"):
        multi_exit(backbone, ["2"], example=example)


def test_more_that_is_refused(net):
    with pytest.raises(WrongSetting, match="not computed on the example"):
        backbone = _backbone()
        backbone.add_module("unused", nn.Sequential(nn.Identity()))
        block_drop(backbone, ["layer1.0", "unused"], example=X)
    with pytest.raises(NotYet, match=r"layer2: it cannot be dropped: it makes \(8, 4, 4\) of \(4, 8, 8\)"):
        block_drop(_backbone(), ["layer2"], example=X)
    with pytest.raises(WrongSetting, match="no module is a residual block"):
        block_drop(resnet8(), example=torch.zeros(2, 3, 32, 32))
    with pytest.raises(WrongSetting, match="its last layer needs 3 outputs"):
        block_drop(_backbone(), example=X, policy=_policy(2))
    with pytest.raises(BadInput, match="class scores"):
        block_drop(nn.Sequential(nn.Sequential(nn.ReLU())), ["0"], example=X)
    with pytest.raises(WrongSetting, match="has a 'policy' already"):
        block_drop(net, example=X)
    with pytest.raises(WrongSetting, match="has a 'walk' already"):
        block_drop(
            nn.Sequential(OrderedDict(walk=nn.Sequential(nn.ReLU()), flat=nn.Flatten(), last=nn.Linear(192, 4))),
            example=X,
        )
    with pytest.raises(BadInput, match="keep is a list"):
        net.under(X, [True, False, True])
    with pytest.raises(NotYet, match="a network that drops blocks takes no exits"):
        multi_exit(net, ["layer1"], example=X)
    with pytest.raises(BadInput, match="keep is torch.float32"):
        net.under(X, torch.ones(3))
    with pytest.raises(BadInput, match="give truth values"):
        net.under(X, torch.ones(5, 3, dtype=torch.bool))

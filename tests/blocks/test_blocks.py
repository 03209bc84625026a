"""Policies: their gradient against all choices, rewards, loops, and what they are held against."""

from __future__ import annotations

import copy
import itertools
import shutil

import pytest
import torch
from torch import nn

import mho
from mho.blocks import (
    Choices,
    RandomChips,
    Reward,
    best_subset,
    block_macs,
    drop,
    every_choice,
    learn,
    policy_step,
    random_keep,
)  # fmt: skip
from mho.blocks.step import bounded, surrogate
from mho.convert.counting import MacCounter
from mho.errors import BadInput, BadResults, WrongSetting
from mho.models import block_drop, cifar_resnet
from mho.training import HWA

DRAWN = torch.Generator().manual_seed(1)
X = torch.randn(60, 3, 8, 8, generator=DRAWN)
Y = torch.arange(60) % 4
TRAIN, TEST = [(X[:30], Y[:30])], [(X[30:], Y[30:])]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    made = block_drop(
        cifar_resnet(depth=8, width=4, num_classes=4), example=X, policy=nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    )
    return made.eval()


@pytest.fixture(scope="module")
def analog(net):
    hw = mho.Hardware.preset("pcm-cells", digital=["policy"])
    return mho.calibrate(mho.to_analog(net, hw, example=X), TRAIN)


def _two_blocks():
    torch.manual_seed(3)
    block = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), block, copy.deepcopy(block), nn.Linear(8, 4))
    nn.init.normal_(backbone[3][0].weight, std=2.0)
    made = block_drop(backbone, [2, 3], example=X, policy=nn.Sequential(nn.Flatten(), nn.Linear(192, 2)))
    return made.freeze().train()


def _expected_reward(net, reward, free):
    """E[R] of each sample by all four choices, differentiable."""
    p = bounded(net.policy(X), 0.8)
    total = torch.zeros(len(X))
    for kept in itertools.product([False, True], repeat=2):
        if not all(kept[: 2 - free]):
            continue
        keep = torch.tensor(kept).expand(len(X), -1)
        pi = torch.where(keep, p, 1 - p)[:, 2 - free :].prod(1)
        total = total + pi * reward(keep, net.under(X, keep).argmax(1) == Y).detach()
    return total


@pytest.mark.parametrize("free", [1, 2])
def test_the_policy_gradient_is_that_of_the_expected_reward_over_all_policies(free):
    net, reward = _two_blocks(), Reward(2.0)
    weight = net.policy[1].weight
    (exact,) = torch.autograd.grad(-_expected_reward(net, reward, free).mean(), weight)
    assert float(exact.abs().max()) > 1e-3
    # Over all choices, each as often as the policy draws it.
    chance, fixed = bounded(net.policy(X), 0.8), torch.arange(2) < 2 - free
    greedy = (net.policy(X) >= 0) | fixed
    baseline = reward(greedy, net.under(X, greedy).argmax(1) == Y)
    total = torch.zeros(())
    for kept in itertools.product([False, True], repeat=2):
        keep = torch.tensor(kept).expand(len(X), -1)
        if all(kept[: 2 - free]):
            pi = torch.where(keep, chance, 1 - chance)[:, 2 - free :].prod(1).detach()
            advantage = reward(keep, net.under(X, keep).argmax(1) == Y) - baseline
            total = total + (pi * surrogate(chance, keep, advantage, fixed)).mean()
    (enumerated,) = torch.autograd.grad(total, weight)
    torch.testing.assert_close(enumerated, exact, rtol=1e-4, atol=1e-6)
    # Over draws, the mean of what steps give.
    torch.manual_seed(0)
    steps = [policy_step(net, X, Y, reward=reward, free=free) for _ in range(200)]
    drawn = torch.stack([torch.autograd.grad(step.loss, weight)[0] for step in steps])
    error = drawn.std(0) / len(steps) ** 0.5
    assert float(((drawn.mean(0) - exact) / error)[error > 0].square().mean()) < 2
    kept = torch.stack([step.keep for step in steps]).float().mean((0, 1))
    expected = torch.where(fixed, torch.ones(2), chance.mean(0))
    assert torch.allclose(kept, expected, atol=0.03)


def test_every_choice_gives_what_it_gives_alone(net, analog):
    for each in (net, mho.program(analog, seed=0).at("1 h")):
        found = every_choice(each, TEST, seed=3)
        assert found.keep.shape == (8, 3) and len(found.keep.unique(dim=0)) == 8 and bool(found.keep[-1].all())
        for keep, right in zip(found.keep, found.right.T, strict=True):
            assert right.equal(drop(each, TEST, keep, seed=3).right)
    reward, found = Reward(2.0), every_choice(net, TEST)
    worth = found.rewards(reward)
    subsets = [best_subset(net, TEST, n).seen for n in range(4)]
    best = max(float(reward(each.keep, each.right).mean()) for each in subsets)
    fixed = (found.keep == found.fixed(reward)).all(1)
    assert float(worth[:, fixed].mean()) == pytest.approx(best) and found.oracle(reward) >= best


def test_what_is_expected_of_a_policy_is_its_mean_over_all_choices():
    net, reward = _two_blocks(), Reward(2.0)
    choices = every_choice(net, [(X, Y)])
    logits, p = net.policy(X), net.policy(X).sigmoid()
    found = choices.expected(logits, choices.rewards(reward))
    by_hand = torch.zeros(len(X))
    for kept in itertools.product([False, True], repeat=2):
        keep = torch.tensor(kept).expand(len(X), -1)
        by_hand = by_hand + torch.where(keep, p, 1 - p).prod(1) * reward(keep, net.under(X, keep).argmax(1) == Y)
    torch.testing.assert_close(found, by_hand)
    sure = torch.where(choices.keep[2].expand(60, -1), 100.0, -100.0)
    torch.testing.assert_close(choices.expected(sure, choices.rewards(reward)), choices.rewards(reward)[:, 2])
    with pytest.raises(BadInput, match=r"\(N, 2\) and \(N, 4\)"):
        choices.expected(logits[:, :1], choices.rewards(reward))


def test_all_choices_of_many_blocks_are_refused():
    deep = block_drop(nn.Sequential(nn.Flatten(), *[nn.Sequential(nn.Linear(192, 192), nn.Tanh()) for _ in range(13)]),
                      list(range(1, 14)), example=X, policy=nn.Sequential(nn.Flatten(), nn.Linear(192, 13)))  # fmt: skip
    with pytest.raises(WrongSetting, match="8,192 choices"):
        every_choice(deep, TEST)


def test_no_policy_earns_more_than_the_oracle():
    choices = Choices(torch.tensor([[False], [True]]), torch.tensor([[True, True], [False, True]]))
    assert choices.oracle(Reward(1)) == 0.5
    assert choices.fixed(Reward(2)).tolist() == [True]  # 0 for both samples, against (1 - 2) / 2 without the block
    assert choices.fixed(Reward(0.5)).tolist() == [False]
    logits = torch.tensor([[-100.0], [100.0]])
    assert float(choices.expected(logits, choices.rewards(Reward(1))).mean()) == pytest.approx(0.5)


def test_rewards_lie_within_their_bounds_and_fall_with_blocks():
    reward, keep = Reward(3.0), torch.rand(500, 7, generator=DRAWN) < torch.rand(500, 1, generator=DRAWN)
    right = torch.rand(500, generator=DRAWN) < 0.5
    found = reward(keep, right)
    assert float(found.min()) == -3 and float(found.max()) <= 1
    assert torch.allclose(found[right], 1 - (keep[right].sum(1) / 7) ** 2)
    none, every = torch.zeros(1, 7, dtype=torch.bool), torch.ones(1, 7, dtype=torch.bool)
    assert float(reward(none, torch.tensor([True]))) == 1 and float(reward(every, torch.tensor([True]))) == 0


def test_a_step_bounds_its_policy_counts_entropy_and_keeps_what_is_not_free(net):
    logits = torch.tensor([[-50.0, 0.0, 50.0]], requires_grad=True)
    assert bounded(logits, 0.8)[0].tolist() == pytest.approx([0.2, 0.5, 0.8])
    torch.manual_seed(0)
    step = policy_step(net, X, Y, free=1)
    assert bool(step.keep[:, :2].all()) and bool(step.greedy[:, :2].all()) and not bool(step.keep[:, 2].all())
    torch.manual_seed(0)
    plain = policy_step(net, X, Y)
    torch.manual_seed(0)
    p = bounded(net.policy(X), 0.8)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).sum(1).mean()
    assert torch.allclose(policy_step(net, X, Y, entropy=0.5).loss, plain.loss - 0.5 * entropy)
    for wrong in ({"bound": 0.3}, {"bound": 1.2}, {"entropy": -1}, {"free": 0}):
        with pytest.raises(WrongSetting):
            policy_step(net, X, Y, **wrong)
    with pytest.raises(WrongSetting, match="wrong answer costs"):
        Reward(-1)


def test_a_policy_learns_that_a_block_is_not_needed():
    net = _two_blocks()
    with torch.no_grad():
        net.get_submodule("3")[2].weight.zero_()
        net.get_submodule("3")[2].bias.copy_(torch.tensor([99.0] + [0.0] * 7))  # every answer becomes class 0
        net.get_submodule("4").weight[0, 0] = 1.0
        labels = net.under(X, torch.tensor([True, False])).argmax(1)
    data = [(X[labels > 0], labels[labels > 0])]
    before = drop(net, data).shares["3"]
    history = learn(net, data, epochs=12, curriculum=0, lr=0.03, batch=20, progress=None)
    assert len(history) == 12 and history[-1].baseline > history[0].baseline + 0.2
    assert drop(net, data).shares["3"] < 0.2 < before
    assert not net.training and all(p.requires_grad for p in net.parameters())


def test_learning_depends_on_its_arguments_alone_and_leaves_a_frozen_network_as_it_is(net):
    before = net.state_dict()
    first, second, other = (copy.deepcopy(net) for _ in range(3))
    kwargs = {"epochs": 2, "batch": 16, "progress": None}
    history = learn(first, TRAIN, **kwargs)
    torch.manual_seed(99)
    assert learn(second, TRAIN, **kwargs) == history and [each.free for each in history] == [3, 3]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())
    learn(other, TRAIN, seed=1, **kwargs)
    changed = {name for name, value in first.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"policy.1.weight", "policy.1.bias"}
    assert not torch.equal(other.policy[1].weight, first.policy[1].weight)
    learn(second, TRAIN, joint=True, epochs=1, progress=None)
    assert not torch.equal(second.conv1.weight, before["conv1.weight"])
    assert [each.free for each in learn(other, TRAIN, epochs=4, curriculum=2, progress=None)] == [2, 3, 3, 3]


def _jitter(x, generator):
    return x + 0.1 * torch.randn(x.shape, generator=generator)


@pytest.mark.parametrize("kind", ["policy", "joint", "chips"])
def test_a_killed_training_goes_on_to_the_same_weights_bit_for_bit(net, analog, kind, tmp_path):
    kwargs = {"epochs": 3, "batch": 8, "augment": _jitter, "seed": 3, "joint": kind == "joint"}
    kwargs |= {"chips": RandomChips(("1 h", "1 day"), every=3)} if kind == "chips" else {}
    begun = analog if kind == "chips" else net
    whole = copy.deepcopy(begun)
    history = learn(whole, TRAIN, progress=None, **kwargs)
    for killed_at in (
        (5, 8) if kind == "policy" else (5,)
    ):  # in the middle of the second of three epochs, and at its end

        def kill(step, at=killed_at):
            if step.done == at:
                raise KeyboardInterrupt

        broken, out, copied = copy.deepcopy(begun), tmp_path / str(killed_at), tmp_path / f"{killed_at} copied"
        with pytest.raises(KeyboardInterrupt):
            learn(broken, TRAIN, out=out, save_every=0, progress=kill, **kwargs)
        shutil.copytree(out, copied)
        torch.manual_seed(killed_at)
        for goes_on, where in ((broken, out), (copy.deepcopy(begun), copied)):  # as here, and as in another process
            assert learn(goes_on, TRAIN, out=where, resume="must", progress=None, **kwargs) == history
            same = goes_on.state_dict()
            assert all(torch.equal(value, same[name]) for name, value in whole.state_dict().items())
    with pytest.raises(BadResults, match=r"it holds another run \(seed: 3 there, 4 asked for\)"):
        learn(copy.deepcopy(begun), TRAIN, out=out, progress=None, **{**kwargs, "seed": 4})
    with pytest.raises(BadInput, match="there is a run already"):
        learn(copy.deepcopy(begun), TRAIN, out=out, resume="never", progress=None, **kwargs)


def test_more_epochs_go_on_where_no_step_depends_on_their_number(net, tmp_path):
    once, twice = copy.deepcopy(net), copy.deepcopy(net)
    history = learn(once, TRAIN, epochs=4, curriculum=2, batch=10, progress=None)
    assert learn(twice, TRAIN, epochs=2, curriculum=2, batch=10, out=tmp_path, progress=None) == history[:2]
    assert learn(twice, TRAIN, epochs=4, curriculum=2, batch=10, out=tmp_path, progress=None) == history
    assert torch.equal(once.policy[1].weight, twice.policy[1].weight)


def test_a_policy_learns_under_chips_of_random_seed_and_age(analog, monkeypatch):
    asked = []
    monkeypatch.setattr("mho.chip.chip.Chip.at", _noting(asked, monkeypatch))
    aware = copy.deepcopy(analog)
    learn(aware, TRAIN, epochs=3, batch=10, chips=RandomChips(("1 h", "1 year"), every=1), progress=None)
    assert len(asked) == 9 and len({seed for seed, _, _ in asked}) == 1 and len({i for _, i, _ in asked}) == 9
    assert {age for _, _, age in asked} == {"1 h", "1 year"}
    assert not torch.equal(aware.policy[1].weight, analog.policy[1].weight)
    assert torch.equal(aware.conv1.weight, analog.conv1.weight)


def _noting(asked, monkeypatch):
    from mho.chip.chip import Chip

    real = Chip.at

    def at(self, time, **more):
        asked.append((self.seed, self.index, time))
        return real(self, time, **more)

    return at


def test_a_policy_on_arrays_learns_through_them(net):
    analog = mho.calibrate(mho.to_analog(net, "pcm-cells", example=X), TRAIN)
    before = analog.policy[1].weight.clone()
    from mho.training import HWA, Programming

    recipe = HWA(weights=Programming())
    learn(analog, TRAIN, epochs=1, batch=10, chips=RandomChips(), hwa=recipe, joint=False, progress=None)
    assert not torch.equal(analog.policy[1].weight, before)
    found = drop(mho.program(analog, seed=0).at("1 h"), TEST)
    assert found.keep.shape == (30, 3)
    sensitivity = mho.sensitivity(analog, TEST, chips=2, time="1 h")
    assert "policy.1" in str(sensitivity), "what only decides has no gradient, and is measured all the same"


def test_what_is_computed_is_what_is_counted(net, analog):
    found = drop(net, TEST)
    with torch.no_grad(), MacCounter() as counter:
        net(X[30:])
    assert found.mean_macs * 30 == counter.macs
    macs = block_macs(net, X[:1])
    assert macs == block_macs(analog, X[:5]) and macs.policy == 192 * 3
    with torch.no_grad(), MacCounter() as counter:
        net.backbone()(X[:1])
    assert macs.full == counter.macs
    keep = torch.tensor([True, False, True])
    fixed = drop(net, TEST, keep)
    assert fixed.policies == 1 and not fixed.decided and fixed.mean_macs == macs.base + macs.kept[0] + macs.kept[2]
    assert fixed.shares == {"layer1.0": 1, "layer2.0": 0, "layer3.0": 1}
    assert "with 2.00 ± 0.00 of 3 blocks in 1 policies" in str(fixed)
    assert list(fixed.per_class()) == ["0", "1", "2", "3"] and fixed.per_class()["0"][1] == 2
    assert mho.accuracy(net, TEST) == pytest.approx(found.accuracy.value)


def test_random_and_best_blocks(net):
    counts = torch.tensor([0, 1, 2, 3] * 50)
    keep = random_keep(counts, 3)
    assert torch.equal(keep.sum(1), counts) and torch.equal(keep, random_keep(counts, 3))
    assert torch.allclose(keep[counts == 1].float().mean(0), torch.full((3,), 1 / 3), atol=0.25)
    assert not torch.equal(keep, random_keep(counts, 3, seed=1))
    best = best_subset(net, TRAIN, 2)
    tried = [drop(net, TRAIN, torch.tensor(k)) for k in ([True, True, False], [True, False, True], [False, True, True])]
    assert best.seen.accuracy.value == max(each.accuracy.value for each in tried)
    greedy = best_subset(net, TRAIN, 1, tries=2)
    assert int(greedy.keep.sum()) == 1
    assert torch.equal(best.report(net, TEST).right, drop(net, TEST, best.keep).right)
    with pytest.raises(BadInput, match="5 of 15 samples are among those"):
        best.report(net, [(X[25:40], Y[25:40])])


def test_what_does_not_fit_is_refused(net, analog):
    with pytest.raises(WrongSetting, match="has no policy"):
        drop(net.backbone(), TEST)
    with pytest.raises(WrongSetting, match="chips need a network on arrays"):
        learn(net, TRAIN, epochs=1, chips=RandomChips())
    with pytest.raises(WrongSetting, match="programmed chip"):
        learn(mho.program(analog).at("1 h"), TRAIN, epochs=1)
    with pytest.raises(WrongSetting, match=r"give RandomChips"):
        learn(net, TRAIN, epochs=1, chips="yes")
    with pytest.raises(BadInput, match="labels from 5 to 8, but 4 scores"):
        learn(net, [(X, Y + 5)], epochs=1, progress=None)
    with pytest.raises(BadInput, match="no labels"):
        learn(net, [X], epochs=1, progress=None)
    with pytest.raises(WrongSetting, match="no age"):
        RandomChips(())
    with pytest.raises(WrongSetting, match="ages"):
        RandomChips(("soon",))
    with pytest.raises(BadInput, match="7 choices for 30 samples"):
        drop(net, TEST, torch.ones(7, 3, dtype=torch.bool))
    with pytest.raises(BadInput, match="keep is a list"):
        drop(net, TEST, [True, False, True])
    broken = copy.deepcopy(net)
    nn.init.constant_(broken.policy[1].bias, float("nan"))
    for call in (broken, lambda x: policy_step(broken, x, Y)):
        with pytest.raises(BadInput, match="the policy answers NaN"):
            call(X)
    with pytest.raises(WrongSetting, match="the policy, which learns alone, is digital"):
        learn(analog, TRAIN, epochs=1, hwa=HWA(), progress=None)
    with pytest.raises(WrongSetting, match="there are 3"):
        best_subset(net, TEST, 4)
    with pytest.raises(WrongSetting, match="there are 3 blocks"):
        random_keep(torch.tensor([4]), 3)
    with pytest.raises(WrongSetting, match="lr"):
        learn(net, TRAIN, epochs=1, lr=0)
    for wrong, said in (
        ({"reward": 3.0}, "give Reward"), ({"hwa": "yes"}, "give a recipe"), ({"augment": 3}, "give a callable"),
        ({"resume": "must"}, "without a folder"), ({"resume": "maybe"}, "valid are auto"),
    ):  # fmt: skip
        with pytest.raises(WrongSetting, match=said):
            learn(net, TRAIN, epochs=1, progress=None, **wrong)
    with pytest.raises(BadInput, match="does not take two samples of it"):
        block_drop(cifar_resnet(depth=8, width=4), example=X[0])

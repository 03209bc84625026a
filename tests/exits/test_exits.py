"""Deciding at exits: rules and their limits, skipping against computing all, costs, and choices that are reported elsewhere."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.convert.counting import MacCounter
from mho.errors import BadInput, WrongSetting
from mho.exits import (
    Answers,
    Early,
    Entropy,
    ExitMacs,
    Fixed,
    Gate,
    Margin,
    Probability,
    best_exit,
    decide,
    exit_energy,
    exit_macs,
    front,
    observe,
    tune,
)
from mho.models import cifar_resnet, multi_exit

DRAWN = torch.Generator().manual_seed(1)
X = (
    torch.randn(60, 3, 8, 8, generator=DRAWN)
    * torch.linspace(0.1, 4, 60)[torch.randperm(60, generator=DRAWN), None, None, None]
)
Y = torch.arange(60) % 4
TEST, VAL = [(X[:30], Y[:30])], [(X[30:], Y[30:])]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    made = multi_exit(cifar_resnet(depth=8, width=4, num_classes=4), ["layer1", "layer2"], example=X)
    for head in made.exits.values():
        nn.init.normal_(head.linear.weight, std=0.5)
    return made.eval()


@pytest.fixture(scope="module")
def answers(net):
    return observe(net, TEST)


@pytest.fixture(scope="module")
def chip(net):
    analog = mho.to_analog(net, mho.Hardware.preset("pcm-cells"), example=X)
    mho.calibrate(analog, TEST)
    return mho.program(analog, seed=0).at("1 day")


def test_limits_of_thresholds_and_macs_that_fall_with_them(answers):
    for rule, nobody, everybody in (
        (Entropy, 0.0, math.log(4) * 1.001), (Probability, 1.0, 0.0), (Margin, 1.0, 0.0),
    ):  # fmt: skip
        last, first = decide(answers, rule(nobody)), decide(answers, rule(everybody))
        assert bool((last.exits == 2).all()) and torch.equal(last.right, answers.right[:, 2])
        assert bool((first.exits == 0).all()) and torch.equal(first.right, answers.right[:, 0])
        between = [decide(answers, rule(nobody + s * (everybody - nobody) / 20)).mean_macs for s in range(21)]
        assert between == sorted(between, reverse=True) and len(set(between)) > 5


def test_a_rule_is_its_formula(answers):
    p = answers.scores[:, 0].double().softmax(-1)
    entropy = -(p * p.log()).sum(-1)
    assert torch.equal(decide(answers, Entropy((0.9, 0.0))).exits == 0, entropy < 0.9)
    top = p.sort(-1, descending=True).values
    assert torch.equal(decide(answers, Probability((0.6, 1.0))).exits == 0, top[:, 0] > 0.6)
    assert torch.equal(decide(answers, Margin((0.3, 1.0))).exits == 0, top[:, 0] - top[:, 1] > 0.3)


@pytest.mark.parametrize("rule", [Entropy(0.9), Probability((0.5, 0.9)), Margin(0.2), Fixed(0), Fixed(1), Fixed(2)])
@pytest.mark.parametrize("where", ["digital", "chip"])
def test_skipping_decides_as_computing_everything_does(net, chip, rule, where):
    used = net if where == "digital" else chip
    found = decide(observe(used, TEST), rule)
    with torch.no_grad():
        scores, exits = Early(used, rule).decided(X[:30])
        whole = torch.stack(list(used(X[:30]).values()), 1)
    assert torch.equal(exits, found.exits)
    torch.testing.assert_close(scores, whole[torch.arange(30), exits], rtol=1e-4, atol=1e-4)
    assert mho.accuracy(Early(used, rule), TEST) == pytest.approx(found.accuracy.value)


def test_macs_are_those_that_skipping_computes(net, chip, answers):
    for rule in (Entropy(0.9), Entropy(0.0), Entropy(9.0), Fixed(0), Fixed(1), Fixed(2)):
        with torch.no_grad(), MacCounter() as counter:
            Early(net, rule)(X[:30])
        assert decide(answers, rule).mean_macs * 30 == pytest.approx(counter.macs)
    assert exit_macs(chip, X[:1]) == exit_macs(net, X[:7]) == answers.macs
    with torch.no_grad(), MacCounter() as counter:
        net.backbone()(X[:1])
    assert answers.macs.alone[-1] == counter.macs


def test_thresholds_for_a_budget_are_the_best_there_are(net):
    answers = observe(net, VAL)
    asked = float(answers.right.double().mean(0).max())
    found = tune(answers, accuracy=asked)
    assert found.seen.accuracy.value >= asked
    tried = [
        d
        for a in range(40)
        for b in range(40)
        if (d := decide(answers, Entropy((a / 28, b / 28)))).accuracy.value >= asked
    ]
    assert not tried or found.seen.mean_macs <= min(d.mean_macs for d in tried) * 1.03
    for share in (0.5, 0.8, 1.2):
        for rule in (Entropy, Probability, Margin):
            assert tune(answers, rule, macs=share).seen.macs_share <= share + 1e-9
    better = [tune(answers, macs=share).seen.accuracy.value for share in (0.5, 0.8, 1.2)]
    assert better == sorted(better)


def test_what_is_chosen_is_reported_on_other_samples_only(net, chip):
    val, test, leaked = observe(net, VAL), observe(net, TEST), observe(net, [(X[25:40], Y[25:40])])
    for chosen in (tune(val, macs=0.8), best_exit(val), best_exit(val, of_class="2")):
        chosen.report(test)
        with pytest.raises(BadInput, match="10 of 15 samples are among those"):
            chosen.report(leaked)
        with pytest.raises(BadInput, match="30 of 30"):
            chosen.report(observe(chip, VAL))
    assert torch.equal(tune(val, macs=0.8).report(test).exits, decide(test, tune(val, macs=0.8).rule).exits)


def test_the_best_exit_of_all_and_of_a_class(net):
    answers = observe(net, VAL)
    planted = answers.scores.clone()
    planted[:, 1] = 10 * nn.functional.one_hot(answers.labels, 4)
    of_two = answers.labels == 2
    planted[of_two] = 0
    planted[of_two, 2, 2] = 5
    planted[of_two, :2, 1] = 5
    answers = replace(answers, scores=planted)
    assert best_exit(answers).rule == Fixed(1)
    assert best_exit(answers, of_class="2").rule == Fixed(2) == best_exit(answers, of_class=2).rule
    assert best_exit(answers, of_class=0).of_class == "0" and best_exit(answers, of_class=0).seen.labels.eq(0).all()
    for strange in (4, -1, 0.5):
        with pytest.raises(WrongSetting, match="class"):
            best_exit(answers, of_class=strange)
    assert best_exit(answers).seen.per_class()["2"][0].value == 0
    assert answers.per_class()["2"] == (0, 0, 1) and answers.accuracy("exit2") > answers.accuracy()
    depth = best_exit(answers).seen.per_class()["0"][1]
    assert depth == 2 and "left at exit1 0.0 %, exit2 100.0 %" in str(best_exit(answers).seen)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Entropy(-0.1), lambda: Entropy(math.nan), lambda: Entropy(math.inf), lambda: Probability(1.1),
        lambda: Margin((0.5, 2)), lambda: Entropy("low"), lambda: Fixed(-1), lambda: Fixed(1.5),
    ],
)  # fmt: skip
def test_thresholds_outside_their_range_are_refused(make):
    with pytest.raises(WrongSetting, match=r"threshold|exit ="):
        make()


def test_numbers_of_numpy_are_numbers():
    assert Fixed(np.int64(1)) == Fixed(1) and Entropy(np.float32(0.5)) == Entropy(0.5)
    assert Margin((np.float64(0.5), 1)) == Margin((0.5, 1.0))


def test_what_does_not_fit_is_refused(net, answers):
    for wrong in ("entropy", Entropy, 0.3, None):
        for call in (decide, lambda _, rule: Early(net, rule)):
            with pytest.raises(WrongSetting, match="give a rule with its threshold"):
                call(answers, wrong)
    with pytest.raises(BadInput, match="does not take two samples of it"):
        multi_exit(cifar_resnet(depth=8, width=4), ["layer1"], example=X[0])
    with pytest.raises(BadInput, match='task="exits"'):
        mho.accuracy(net, TEST)
    with pytest.raises(WrongSetting, match="3 thresholds for 3 exits"):
        Early(net, Entropy((1, 1, 1)))
    with pytest.raises(WrongSetting, match="no exit 3"):
        decide(answers, Fixed(3))
    with pytest.raises(WrongSetting, match="has no exits"):
        observe(nn.Linear(2, 2), TEST)
    with pytest.raises(WrongSetting, match="give one budget"):
        tune(answers)
    with pytest.raises(WrongSetting, match="share in"):
        tune(answers, accuracy=90)
    with pytest.raises(BadInput, match="the best thresholds reach"):
        tune(answers, accuracy=1.0)
    with pytest.raises(BadInput, match="leaving at the first exit takes"):
        tune(answers, macs=0.01)
    with pytest.raises(WrongSetting, match="no class 'bird'"):
        best_exit(answers, of_class="bird")
    with pytest.raises(BadInput, match="label"):
        observe(net, [(X[:3], torch.tensor([0, 1, 9]))])


def test_a_gate_learns_who_is_right(net):
    generator = torch.Generator().manual_seed(3)
    base = replace(observe(net, VAL), names=net.names)
    n = 4000
    labels = torch.randint(4, (n,), generator=generator)
    # Right where the lead over the mean is large, however large the other scores are: no rule of entropy knows that.
    sure = torch.rand(n, generator=generator) < 0.5
    scores = torch.zeros(n, 3, 4)
    said = torch.where(sure, labels, (labels + 1) % 4)
    scores[torch.arange(n), 0, said] = torch.where(sure, 6.0, 8.0) + 0.1 * torch.randn(n, generator=generator)
    scores[torch.arange(n), 1, labels] = 3 * torch.randn(n, generator=generator)
    answers = replace(base, scores=scores, labels=labels, inputs=(torch.arange(n)[:, None],))
    answers = replace(answers, inputs=(torch.randn(n, 2, generator=generator),))
    gate = Gate.learn(answers)
    assert float(gate.doubt_at(0, answers.scores[:, 0])[sure].mean()) < 0.1
    assert float(gate.doubt_at(0, answers.scores[:, 0])[~sure].mean()) > 0.9
    p = 1 - gate.doubt_at(1, answers.scores[:, 1])
    assert float(p.mean()) == pytest.approx(float(answers.right[:, 1].double().mean()), abs=0.01)
    other = replace(answers, inputs=(torch.randn(n, 2, generator=generator),))
    tuned = tune(other, gate, accuracy=0.9) if answers.accuracy() >= 0.9 else tune(other, gate, macs=0.9)
    assert tuned.seen.right[tuned.seen.exits == 0].double().mean() > 0.9
    with pytest.raises(BadInput, match="has learned from 4000 of these samples"):
        tune(answers, gate, macs=0.9)
    with pytest.raises(BadInput, match="4000 of 4000 samples are among those"):
        tuned.report(answers)


def test_a_gate_skips_as_it_decides_and_fits_its_network(net, chip):
    gate = Gate.learn(observe(chip, VAL))
    for rule in (replace(gate, threshold=0.3), replace(gate, threshold=(0.2, 0.5))):
        found = decide(observe(chip, TEST), rule)
        with torch.no_grad():
            assert torch.equal(Early(chip, rule).decided(X[:30])[1], found.exits)
    with pytest.raises(WrongSetting, match="a gate of 0 exits"):
        Early(net, Gate(0.5))
    with pytest.raises(WrongSetting, match=r"Gate\.learn\(answers\)"):
        tune(observe(net, VAL), Gate, macs=0.9)


def test_energy_until_each_exit_is_that_of_what_is_computed(net, answers):
    analog = mho.calibrate(mho.to_analog(net, "pcm-cells", example=X), TEST)
    found = exit_energy(analog, example=X[:1])
    whole = mho.cost(analog, example=X[:1]).energy_pj
    assert found.alone[0] < found.alone[1] < found.alone[2] < found.deciding[2] == pytest.approx(whole, rel=0.01)
    assert found.deciding[0] == found.alone[0] and found.alone[1] < found.deciding[1]
    assert found.alone[2] == pytest.approx(mho.cost(analog.backbone(), example=X[:1]).energy_pj, rel=0.01)
    every = decide(answers, Entropy(0.9))
    shares = every.shares.values()
    assert found.mean(every) == pytest.approx(sum(p * e for p, e in zip(shares, found.deciding, strict=True)))
    assert found.share(decide(answers, Fixed(2))) == 1
    assert exit_energy(analog, VAL).alone[2] != found.alone[2], "inputs as measured"


def _drawn(exits: int, scale: float = 1.0, samples: int = 300, ties: bool = False) -> Answers:
    """Answers that get better with depth, of samples that are not equally hard."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (samples,), generator=generator)
    scores = torch.randn(samples, exits, 10, generator=generator)
    hard = 3 * torch.rand(samples, generator=generator)
    for k in range(exits):
        scores[torch.arange(samples), k, labels] += (1 + 3 * k / (exits - 1)) * (3 - hard)
    scores = scale * (scores.round() if ties else scores)
    macs = tuple(100 * (k + 1) // exits for k in range(exits))
    names = tuple(f"exit{k + 1}" for k in range(exits))
    inputs = (torch.randn(samples, 4, generator=generator),)
    return Answers(names, scores, labels, tuple(map(str, range(10))), ExitMacs(macs, macs), inputs)


@pytest.mark.parametrize("rule", [Entropy, Probability, Margin])
@pytest.mark.parametrize(("scale", "ties"), [(50, False), (20, True), (0, True)])
def test_the_rule_that_is_returned_keeps_the_budget(rule, scale, ties):
    answers = _drawn(3, scale, ties=ties)
    for share in (0.34, 0.5, 0.7, 0.9):
        assert tune(answers, rule, macs=share).seen.macs_share <= share + 1e-9
    top = tune(answers, rule, macs=1.0).seen.accuracy.value
    assert tune(answers, rule, accuracy=top).seen.accuracy.value >= top
    assert bool((decide(answers, rule(9.0 if rule is Entropy else 0.0)).exits == 0).all()), "threshold 0 is everybody"
    assert bool((decide(answers, rule(0.0 if rule is Entropy else 1.0)).exits == 2).all())


@pytest.mark.parametrize("exits", [4, 16])
def test_many_exits_get_thresholds_no_worse_than_a_common_one(exits):
    answers = _drawn(exits, 0.5, samples=200)
    found = tune(answers, macs=0.4)
    common = [decide(answers, Entropy(t / 20)) for t in range(47)]
    best = max(each.accuracy.value for each in common if each.macs_share <= 0.4)
    assert found.seen.macs_share <= 0.4 and found.seen.accuracy.value >= best
    asked = tune(answers, accuracy=best)
    assert asked.seen.accuracy.value >= best and asked.seen.macs_share <= 0.4
    with pytest.raises(BadInput, match="leaving at the first exit takes"):
        tune(answers, macs=0.001)


@pytest.mark.parametrize("exits", [3, 5])
def test_a_front_is_what_each_budget_gets_alone(exits):
    answers, budgets = _drawn(exits, 0.5, samples=150), (0.5, 0.7, 0.9)
    alone = [tune(answers, Margin, macs=budget).rule for budget in budgets]
    assert [each.rule for each in front(answers, Margin, macs=budgets)] == alone
    with pytest.raises(WrongSetting, match="give a share above 0"):
        front(answers, macs=(0.5, 0.0))
    with pytest.raises(WrongSetting, match="give a list"):
        front(answers, macs=0.5)


def test_a_walk_through_thresholds_comes_near_the_best_of_all(monkeypatch):
    answers = _drawn(3, 0.5)
    budgets = (0.4, 0.6, 0.8)
    every = [tune(answers, macs=budget).seen.accuracy.value for budget in budgets]
    monkeypatch.setattr("mho.exits.search._FEW", 0)
    walked = [tune(answers, macs=budget).seen.accuracy.value for budget in budgets]
    assert all(w <= e for w, e in zip(walked, every, strict=True))
    assert max(e - w for w, e in zip(walked, every, strict=True)) < 0.02


def test_a_part_of_the_answers_knows_its_samples(answers):
    some, rest = answers.part(slice(20)), answers.part(slice(20, None))
    assert len(some) == 20 and some.samples | rest.samples == answers.samples and not some.samples & rest.samples
    assert torch.equal(torch.cat([some.scores, rest.scores]), answers.scores) and torch.equal(
        rest.labels, answers.labels[20:]
    )
    gate = Gate.learn(some)
    assert tune(rest, gate, macs=1.0).answers is rest
    with pytest.raises(BadInput, match="learned from 20 of these samples"):
        tune(answers, gate, macs=1.0)
    with pytest.raises(BadInput, match="no sample of 30"):
        answers.part(slice(30, None))


@pytest.mark.parametrize("act", [
    lambda a: a.part(20), lambda a: a.part(slice(None, None, -1)), lambda a: Gate.learn([]), lambda a: tune(3, macs=0.5),
    lambda a: best_exit([]),
])  # fmt: skip
def test_what_is_no_part_and_no_answers_is_refused_by_name(answers, act):
    with pytest.raises(WrongSetting, match="give a slice|is no answers"):
        act(answers)

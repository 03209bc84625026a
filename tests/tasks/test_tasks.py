"""Scores of every task against closed forms, and what each of them refuses."""

from __future__ import annotations

import math
import pickle

import pytest
import torch
import torch.nn.functional as F

from mho.errors import BadInput, WrongSetting
from mho.rng import Stream
from mho.tasks import IGNORED, TASKS, Score, Several, Task
from mho.tasks.binary import Logit, Probability
from mho.tasks.classes import Classes
from mho.tasks.regression import Regression
from mho.tasks.tokens import Tokens

torch.manual_seed(0)
CLASSES = (torch.randn(6, 4), torch.tensor([0, 1, IGNORED, 3, 2, 1]))
TOKENS = (torch.randn(2, 5, 7), torch.tensor([[1, 2, 3, IGNORED, IGNORED], [4, 5, 6, 0, IGNORED]]))
BINARY = (torch.randn(6, 1), torch.tensor([0, 1, 1, IGNORED, 0, 1]))
NUMBERS = (torch.randn(5, 3), torch.randn(5, 3))
EXITS = ({"early": torch.randn(6, 4), "final": CLASSES[0]}, CLASSES[1])
CASES = {
    "classes": (Classes(), *CLASSES),
    "tokens": (Tokens(), *TOKENS),
    "probability": (Probability(), BINARY[0].sigmoid(), BINARY[1]),
    "logit": (Logit(), *BINARY),
    "regression": (Regression(), *NUMBERS),
    "within": (Regression(tolerance=0.5, unit="V"), *NUMBERS),
    "exits": (Several({"early": "classes", "final": "classes"}, result="final"), *EXITS),
    "mean of exits": (Several({"early": "classes", "final": "classes"}, weights={"early": 1, "final": 3}), *EXITS),
}


@pytest.mark.parametrize("name", CASES)
def test_every_task_keeps_the_rules(name):
    task, output, given = CASES[name]
    target = task.targets(given)
    scores = task.scores(output, target)
    n = int(task.counts(target).sum())
    assert {task.headline.name, "loss"} <= set(scores)
    assert all(value.shape == (n,) for value in scores.values())
    assert float(task.loss(output, target)) == pytest.approx(float(scores["loss"].mean()), rel=1e-6)
    labels, scored = task.labels(target), task.score(output, target)
    assert (labels is None) == (scored.predicted is None) == (scored.labels is None)
    if labels is not None:
        right = scored.predicted == scored.labels
        assert torch.equal(scored.labels, labels) and torch.equal(right, scores[task.headline.name])
    again = pickle.loads(pickle.dumps(task))
    assert again == task and Score(**again.record()["headline"]) == task.headline and again.record() == task.record()


@pytest.mark.parametrize("name", CASES)
def test_the_loss_can_be_differentiated(name):
    task, output, given = CASES[name]
    leaves = {k: v.clone().requires_grad_() for k, v in (output if isinstance(output, dict) else {"": output}).items()}
    task.loss(leaves if isinstance(output, dict) else leaves[""], task.targets(given)).backward()
    assert all(torch.isfinite(leaf.grad).all() and leaf.grad.any() for leaf in leaves.values())


@pytest.mark.parametrize("name", [n for n in CASES if n != "within"])
def test_the_own_loss_has_the_gradient_of_mean_zero_and_the_covariance_of_the_hessian(name):
    """Every task's loss is canonical in its output (a probability through its logit): Gauss-Newton is the Hessian."""
    task, output, given = CASES[name]
    if name == "probability":
        task, output = Logit(), BINARY[0]
    keys = list(output) if isinstance(output, dict) else [""]
    start = torch.stack([output[k] for k in keys]) if isinstance(output, dict) else output[None]
    target = task.targets(given)

    def as_output(x):
        return dict(zip(keys, x, strict=True)) if isinstance(output, dict) else x[0]

    hessian = torch.autograd.functional.hessian(lambda x: task.scores(as_output(x), target)["loss"].sum(), start)
    n = start.numel()
    hessian = hessian.reshape(n, n)
    found = []
    for i in range(3000):
        x = start.clone().requires_grad_()
        found.append(torch.autograd.grad(task.own_loss(as_output(x), target, Stream((i,))), x)[0].flatten())
    g = torch.stack(found)
    scale = float(hessian.diagonal().max())
    assert float(g.mean(0).abs().max()) < 5 * math.sqrt(scale / len(g))
    assert float((g.T @ g / len(g) - hessian).abs().max()) < 0.12 * scale


def test_classes_are_accuracy_and_cross_entropy_without_the_ignored():
    scores = Classes().scores(*CLASSES)
    y, labels = CLASSES
    kept = labels != IGNORED
    assert scores["accuracy"].tolist() == (y.argmax(1) == labels)[kept].tolist()
    assert torch.allclose(scores["loss"], F.cross_entropy(y[kept], labels[kept], reduction="none"))


def test_tokens_are_perplexity_or_accuracy():
    y, labels = TOKENS
    scores, task = Tokens().scores(y, labels), Tokens()
    expected = math.exp(float(F.cross_entropy(y.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)))
    worth = float(task.headline.worth(scores["loss"]).mean())
    assert task.headline.shown(worth) == pytest.approx(expected, rel=1e-5) and task.headline.label == "perplexity"
    assert task.counts(labels).tolist() == [3, 4]
    assert Tokens(result="accuracy").headline.share


def test_the_threshold_decides_and_leaves_the_loss():
    p, labels = torch.tensor([0.2, 0.35, 0.6, 0.9]), torch.tensor([0, 1, 0, 1])
    half, third = Probability(), Probability(threshold=0.3)
    assert half.scores(p, labels)["accuracy"].tolist() == [True, False, False, True]
    assert third.scores(p, labels)["accuracy"].tolist() == [True, True, False, True]
    assert torch.equal(half.scores(p, labels)["loss"], third.scores(p, labels)["loss"])
    same = Logit(threshold=math.log(0.3 / 0.7))
    assert same.scores(torch.logit(p), labels)["accuracy"].tolist() == [True, True, False, True]
    assert torch.allclose(same.scores(torch.logit(p), labels)["loss"], half.scores(p, labels)["loss"], atol=1e-6)
    assert half.record() != third.record() and "threshold" not in half.record()


def test_a_probability_that_is_not_a_number_stays_visible():
    loss = Probability().scores(torch.tensor([1.0, 0.0, float("nan")]), torch.tensor([1, 0, 1]))["loss"]
    assert loss[:2].tolist() == [0.0, 0.0] and math.isnan(loss[2])


def test_regression_is_the_error_or_the_share_within_a_tolerance():
    output, target = torch.tensor([[1.0, 2.0], [0.0, float("nan")]]), torch.tensor([[1.0, 1.5], [0.0, 0.0]])
    task = Regression(tolerance=0.5)
    scores = task.scores(output, target)
    assert scores["within"].tolist() == [True, False] and float(scores["absolute error"][0]) == 0.25
    assert task.headline.label == "share within 0.5"
    plain = Regression(unit="V").headline
    assert plain.worth(0.25) == -0.25 and plain.show(-0.25) == "0.25 V"
    column = Regression().scores(torch.ones(3, 1), torch.zeros(3))
    assert column["absolute error"].tolist() == [1, 1, 1]


def test_several_outputs_may_be_named_or_in_order():
    task = Several({"early": "classes", "final": "classes"}, result="early")
    named, labels = EXITS
    target = task.targets(labels)
    first = task.scores(named, target)
    second = task.scores((named["early"], named["final"]), task.targets((labels, labels)))
    assert all(torch.equal(first[k], second[k]) for k in first) and task.headline.name == "early.accuracy"
    assert set(first) == {"loss", "early.accuracy", "early.loss", "final.accuracy", "final.loss"}


def test_the_mean_of_several_is_weighted():
    task = CASES["mean of exits"][0]
    scores = task.scores(EXITS[0], task.targets(EXITS[1]))
    expected = 0.25 * scores["early.accuracy"].float() + 0.75 * scores["final.accuracy"].float()
    assert torch.allclose(scores["mean"], expected) and task.headline.share
    assert torch.allclose(scores["loss"], 0.25 * scores["early.loss"] + 0.75 * scores["final.loss"])


def test_tasks_are_known_by_name():
    assert TASKS.names() == ["classes", "probability", "logit", "tokens", "choices", "regression", "exits"]
    assert all(Task.of(name).kind == name for name in TASKS.names())
    assert Task.of(Tokens()) == Tokens()
    with pytest.raises(WrongSetting, match="unknown task 'speech'.*known: classes, probability"):
        Task.of("speech")
    with pytest.raises(WrongSetting, match="is no task"):
        Task.of(3)


@pytest.mark.parametrize(
    ("task", "output", "target", "error", "message"),
    [
        (Classes(), torch.zeros(3, 1), [0, 0, 0], WrongSetting, "task='probability'"),
        (Classes(), torch.zeros(3, 2), [0, 0], BadInput, r"outputs \(3, 2\) do not go with labels \(2,\)"),
        (Classes(), torch.zeros(3, 2), [0, 1, 2], BadInput, "label 2, but the network has 2 outputs"),
        (Classes(), torch.zeros(3, 2), [0.5, 1, 0], BadInput, "whole numbers"),
        (Classes(), torch.zeros(3, 2), [-1, 1, 0], BadInput, "the label -1"),
        (Classes(), {"a": torch.zeros(1, 2)}, [0], BadInput, r"returns a dict.*Several"),
        (Logit(), torch.zeros(3, 2), [0, 1, 1], BadInput, "one output a label"),
        (Logit(), torch.zeros(3), [0, 1, 2], BadInput, "labels run from 0 to 2"),
        (Regression(), torch.zeros(3, 2), [0.0, 1, 1], BadInput, "same shape"),
        (Regression(), torch.zeros(1), [math.inf], BadInput, "not finite"),
        (CASES["exits"][0], torch.zeros(3, 4), torch.zeros(3), BadInput, "outputs are a Tensor"),
        (CASES["exits"][0], {"early": torch.zeros(1, 2)}, torch.zeros(1), BadInput, "have the names early instead of"),
        (CASES["exits"][0], (), (torch.tensor([1]), torch.tensor([IGNORED])), BadInput, "do not count the same"),
    ],
)
def test_what_does_not_fit_is_refused(task, output, target, error, message):
    with pytest.raises(error, match=message):
        task.scores(output, task.targets(target))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Probability(threshold=1.0), "between 0 and 1"),
        (lambda: Logit(threshold=math.inf), "finite"),
        (lambda: Regression(tolerance=0), "positive"),
        (lambda: Tokens(result="bleu"), "'perplexity' or 'accuracy'"),
        (lambda: Several({}), "no parts"),
        (lambda: Several({"a": "classes"}, result="b"), "no part 'b'"),
        (lambda: Several({"a": "classes", "b": "regression"}), "no common mean.*result='a'"),
        (lambda: Several({"a": "classes"}, weights={"a": -1}), "positive"),
        (lambda: Score("a", "odd"), "form 'odd'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, message):
    with pytest.raises(WrongSetting, match=message):
        make()


def test_soft_labels_are_for_training():
    soft = torch.tensor([0.2, 0.9])
    assert torch.equal(Logit().targets(soft, training=True), soft)
    with pytest.raises(BadInput, match="whole numbers"):
        Logit().targets(soft)


def test_scores_are_printed_as_what_they_are():
    share, error, tokens = Score("accuracy"), Score("e", "error", unit="V"), Tokens().headline
    assert share.show(0.9234) == "92.3 %" and share.show(math.nan) == "–"
    assert (
        share.bracket(0.37, 0.22, 0.55, 0) == "37 % [22, 55]" and share.bracket(0.5, -math.inf, 1) == "50.0 % [unknown]"
    )
    assert error.bracket(-0.2, -0.3, -0.1) == "0.2 V [0.1, 0.3]" and error.show_budget(0.05) == "0.05 V"
    assert tokens.bracket(-math.log(4), -math.log(5), -math.log(3)) == "4 [3, 5]" and tokens.show(-1e9).startswith(
        "1.0"
    )
    assert share.show_gain(0.012, 0.01, 0.014) == "+1.20 points [+1.00, +1.40]"
    # A mean share stays inside 0 to 100 %; a difference may end beyond.
    assert share.bracket(0.98, 0.9, 1.05) == "98.0 % [90.0, 100.0]"
    assert share.show_gain(-0.1, -0.8, 0.6) == "-10.00 points [-80.00, +60.00]"
    assert share.show_gain(0.1, -1.2, 1.4) == "+10.00 points [-120.00, +140.00]"
    assert (
        tokens.show_gain(-0.5, -1, 0) == "-0.5 nats [-1, +0]" and error.show_gain(1, 0, 2, unit=False) == "+1 [+0, +2]"
    )
    assert error.bracket(-0.2, -math.inf, math.inf) == "0.2 V [unknown]"
    with pytest.raises(WrongSetting, match="as a share"):
        share.check_budget(1.0)
    assert error.check_budget(3.0) == 3.0
    with pytest.raises(WrongSetting, match="0 or more V"):
        error.check_budget(-1.0)


@pytest.mark.parametrize(
    ("task", "output", "target"), [(Classes(), (0, 3), (0,)), (Tokens(), (0, 5, 3), (0, 5)), (Logit(), (0, 1), (0,)),
                                   (Regression(), (0, 2), (0, 2))],
)  # fmt: skip
def test_an_empty_batch_counts_nothing(task, output, target):
    given = task.targets(torch.zeros(target))
    assert int(task.counts(given).sum()) == 0 and task.counts(given).shape == (0,)
    assert all(len(values) == 0 for values in task.scores(torch.zeros(output), given).values())

"""Dict batches, several inputs and answers of several names, through conversion, calibration, drift and training."""

from __future__ import annotations

import math
from collections import OrderedDict, UserDict
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.errors import BadInput, MhoError, WrongSetting
from mho.measure.test_data import TestData
from mho.nn.calling import call
from mho.tasks import IGNORED, Choices, EachChoice, Several
from mho.tasks.parts import answer, few, inputs_of, split
from mho.training.loop.loader import hold

VOCABULARY, WIDTH = 11, 8


@dataclass
class Output(OrderedDict):
    """As transformers has it: a dict and a data class."""

    logits: torch.Tensor
    hidden: torch.Tensor

    def __post_init__(self):
        super().__init__(logits=self.logits, hidden=self.hidden)


class Language(nn.Module):
    """A decoder of one layer."""

    def __init__(self, classes=VOCABULARY, pooled=False):
        super().__init__()
        self.embed, self.mix, self.head = (
            nn.Embedding(VOCABULARY, WIDTH),
            nn.Linear(WIDTH, WIDTH),
            nn.Linear(WIDTH, classes),
        )
        self.pooled = pooled

    def forward(self, input_ids, attention_mask=None, labels=None):
        x = self.embed(input_ids)
        x = x if attention_mask is None else x * attention_mask[..., None]
        x = x + self.mix(x.cumsum(1)).tanh()
        y = self.head(x.mean(1) if self.pooled else x)
        return Output(y, x)


def batch(items=6, length=5, **more):
    tokens = torch.randint(0, VOCABULARY, (items, length), generator=torch.Generator().manual_seed(0))
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), **more}


CAUSAL = {**batch(), "labels": batch()["input_ids"]}
MASKED = {**batch(), "labels": torch.where(torch.arange(5) == 2, batch()["input_ids"] * 0 + 3, IGNORED)}
CLASSES = {**batch(), "labels": torch.tensor([0, 1, 2, 0, 1, 2])}


@pytest.mark.parametrize(
    ("model", "data", "task"),
    [
        (Language, CAUSAL, "tokens"),
        (Language, MASKED, "tokens"),
        (lambda: Language(3, pooled=True), CLASSES, "classes"),
        (lambda: Language(3, pooled=True), UserDict(CLASSES), "classes"),
        (Language, MASKED, Several({"logits": "tokens"})),
    ],
    ids=["causal", "masked", "classes", "a dict of a library", "named outputs"],
)
def test_from_conversion_to_drift_and_training(model, data, task):
    torch.manual_seed(0)
    net = mho.calibrate(mho.to_analog(model(), "pcm", example=few(data)), [data])
    result = mho.drift(net, [data], ["1 day"], chips=2, task=task, **({"ci": 1.0} if task != "classes" else {}))
    assert {m.chip for m in result.measurements} == {0, 1}
    before = mho.measure.digital_measurement(net, TestData.of([data], task=task)).loss
    fitted = mho.fit(net, [data], epochs=30, task=task, lr=0.05, batch=6)
    after = mho.measure.digital_measurement(net, TestData.of([data], task=task)).loss
    assert fitted.steps == 30 and after < 0.9 * before


def test_labels_that_are_the_inputs_become_the_next_tokens():
    x, y = split(CAUSAL, shifted=True)
    assert "labels" not in x and torch.equal(y[:, :-1], CAUSAL["labels"][:, 1:]) and bool((y[:, -1] == IGNORED).all())
    assert torch.equal(split(MASKED, shifted=True)[1], MASKED["labels"])
    assert torch.equal(split(CAUSAL)[1], CAUSAL["labels"])
    held = hold([CAUSAL], mho.tasks.Task.of("tokens"))
    assert torch.equal(held.targets, y) and int(held.counts.sum()) == 6 * 4


def test_what_is_no_batch_is_refused():
    with pytest.raises(BadInput, match="a dict with 'input_ids': none of these are called as targets"):
        split({"input_ids": torch.zeros(2, 2)})
    with pytest.raises(BadInput, match="not a pair"):
        TestData.of([torch.zeros(2, 2)])


def test_how_a_network_is_called():
    class Two(nn.Module):
        def forward(self, a, b=None):
            return (a, b)

    class One(nn.Module):
        def forward(self, pair):
            return pair

    a, b = torch.ones(1), torch.zeros(1)
    assert call(Two(), (a, b)) == (a, b) and call(Two(), {"b": b, "a": a}) == (a, b)
    assert call(One(), (a, b)) == (a, b) and call(One(), {"x": a}) == {"x": a} and call(Two(), [a, b]) == ([a, b], None)
    assert call(nn.DataParallel(Two()), {"b": b, "a": a})[0] is not None


def test_what_is_scored_in_an_answer():
    y = torch.ones(2)
    assert answer(y) is y and answer({"out": y, "aux": 0}) is y and answer(Output(y, 0 * y)) is y
    assert answer({"other": y}) == {"other": y}
    assert inputs_of((y, 1)) is y and inputs_of({"x": y, "labels": y}) == {"x": y}


def test_which_keys_of_a_dict_are_labels():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x, y):
            return self.linear(x) + self.linear(y)

    class Reads(Two):
        def forward(self, inputs):
            return super().forward(inputs["x"], inputs["y"])

    x, labels = torch.randn(4, 3), torch.zeros(4)
    both = {"x": x, "y": 2 * x}
    assert inputs_of({**both, "labels": labels}) == both and inputs_of({"y": x}) == {"y": x}
    assert inputs_of(both) == inputs_of(both, nn.Linear(3, 2)) == {"x": x} and inputs_of(both, Two()) == both
    assert inputs_of({"y": x, "name": "a"}) == {"y": x, "name": "a"}, "the only tensor is an input"
    net = mho.calibrate(mho.to_analog(Two(), "pcm"), [both])
    assert float(net.linear.matrix.input_range) == pytest.approx(float(2 * x.abs().max()))
    net = mho.to_analog(Reads(), "pcm")
    with pytest.raises(BadInput, match="reads 'y', which was taken as the labels -> give pairs"):
        mho.calibrate(net, [both])
    mho.calibrate(net, [(both, None)])
    assert float(net.linear.matrix.input_range) == pytest.approx(float(2 * x.abs().max()))
    with pytest.raises(KeyError, match="x"):
        mho.calibrate(net, [{"z": x}])


def questions():
    tokens = torch.randint(0, VOCABULARY, (4, 3, 5), generator=torch.Generator().manual_seed(1))
    following = torch.cat((tokens[..., 1:], torch.full_like(tokens[..., :1], IGNORED)), -1)
    following[..., :2] = IGNORED
    following[:, 0, 2] = IGNORED
    return {"input_ids": tokens}, {"tokens": following, "right": torch.tensor([0, 1, 2, 1])}


@pytest.mark.parametrize("per_token", [True, False])
def test_choices_are_scored_by_their_likelihood(per_token):
    torch.manual_seed(0)
    model = EachChoice(Language())
    x, y = questions()
    task = Choices(per_token=per_token)
    scores = task.logits(model(**x), task.targets(y))[0].detach()
    by_hand = torch.zeros(4, 3)
    for q in range(4):
        for c in range(3):
            given = F.log_softmax(model.model(x["input_ids"][q, c][None]).logits[0], -1).detach()
            each = [float(given[t, y["tokens"][q, c, t]]) for t in range(5) if y["tokens"][q, c, t] != IGNORED]
            by_hand[q, c] = sum(each) / (len(each) if per_token else 1)
    torch.testing.assert_close(scores, by_hand)
    scored = task.score(model(**x), task.targets(y))
    assert torch.equal(scored.scores["accuracy"], by_hand.argmax(-1) == y["right"])
    net = mho.calibrate(mho.to_analog(model, "pcm", example=x), [(x, y)])
    found = mho.drift(net, [(x, y)], ["1 day"], chips=2, task=task).digital
    assert found.samples == 4 and math.isfinite(found.loss)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"right": torch.tensor([0, 1, 2, 3])}, "do not go with"),
        ({"tokens": torch.full((4, 3, 5), IGNORED)}, "without a token"),
        ({"more": 1}, "no dict of"),
    ],
)
def test_questions_that_are_none(change, words):
    with pytest.raises(BadInput, match=words):
        Choices().targets(questions()[1] | change)


def test_a_network_of_single_sequences_is_told_to_be_wrapped():
    task = Choices()
    with pytest.raises(WrongSetting, match="EachChoice"):
        task.logits(torch.zeros(12, 5, VOCABULARY), task.targets(questions()[1]))
    with pytest.raises(MhoError):
        task.logits({"hidden": torch.zeros(1)}, task.targets(questions()[1]))

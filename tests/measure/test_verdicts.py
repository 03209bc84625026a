"""What nothing can be said of is refused, or said so: inputs that are no numbers, networks at chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware
from mho.measure import TestData, digital_measurement
from mho.tasks import Several, Task
from mho.tasks.binary import Probability
from mho.tasks.regression import Regression
from mho.tasks.tokens import Tokens

CLASSES, SAMPLES = 4, 400
QUIET = Hardware.preset("pcm-cells")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.last(self.norm(x))


def _data():
    """Inputs that a linear layer tells apart."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (SAMPLES,), generator=generator)
    x = torch.randn(SAMPLES, 8, generator=generator) * 0.3
    x[torch.arange(SAMPLES), y] += 2
    return [(x[i : i + 100], y[i : i + 100]) for i in range(0, SAMPLES, 100)]


def _model(good=True):
    torch.manual_seed(1)
    model = Net().eval()
    model.last.bias.data.zero_()
    if good:
        model.last.weight.data.copy_(torch.eye(CLASSES, 8))
    else:
        model.last.weight.data[:, :CLASSES] = 0  # sees nothing but noise
    return model


def _net(good=True):
    return mho.calibrate(mho.to_analog(_model(good), QUIET), _data())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_inputs_that_are_not_finite_are_refused_with_their_number(value):
    data = _data()
    data[2][0][37, 5] = value
    net = _net()
    for call in (lambda: mho.drift(net, data), lambda: mho.accuracy(net, data), lambda: mho.calibrate(net, data),
                 lambda: mho.sensitivity(net, data), lambda: mho.advise(_model(), QUIET, data)):  # fmt: skip
        with pytest.raises(BadInput, match=r"sample 237 holds -?(nan|inf)"):
            call()


@pytest.mark.parametrize("task", [None, Regression()])
def test_outputs_that_are_not_finite_are_refused_with_their_number(task):
    data = [(x, y if task is None else torch.zeros(len(y), CLASSES)) for x, y in _data()]

    def overflows(x):
        y = _model()(x)
        if torch.equal(x, data[1][0]):
            y[7] = torch.nan
        return y

    with pytest.raises(BadInput, match="sample 107 has the .* nan on the digital network"):
        mho.measure.measure(_Module(overflows), TestData.of(data, task=task), chip=-1, age_s=0.0, address=("a",))
    with pytest.raises(BadInput, match="sample 107 .* on chip 3 after 1 day, 1 of 400 are not finite"):
        mho.measure.measure(_Module(overflows), TestData.of(data, task=task), chip=3, age_s=86400.0, address=("a",))


class _Module(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_a_probability_outside_its_range_is_another_task():
    with pytest.raises(WrongSetting, match=r"run from -0.1 to 1.2.*task='logit'"):
        Probability().score(torch.tensor([1.2, -0.1]), torch.tensor([1, 0]))
    assert Probability().score(torch.tensor([1 + 1e-6, 0.0]), torch.tensor([1, 0])).scores["accuracy"].all()


@pytest.mark.parametrize("spoilt", ["weights", "labels", "inputs"])
def test_a_network_at_chance_gets_no_verdict(spoilt, tmp_path):
    data = _data()
    if spoilt == "labels":
        data = [(x, y.roll(1)) for x, y in data]
    if spoilt == "inputs":
        data = [(x * 0 + 0.1, y) for x, y in data]
    result = mho.drift(_net(spoilt != "weights"), data, ["1 h", "1 day"], chips=2)
    told = result.sentence(0.05)
    assert "no verdict: the digital network is not known to be better than chance" in told
    assert "inside" not in told and "keeps" not in told and "no verdict" in str(result)
    page = mho.report(result, tmp_path, budget=0.05).read_text()
    assert "no verdict" in page and "at chance" in page and "Lifetime at" not in page
    assert "keeps" in mho.drift(_net(), _data(), ["1 h", "1 day"], chips=2).sentence(0.3)


def test_a_network_no_better_than_the_best_constant_answer_gets_no_verdict():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 8, generator=generator)
    for task, y, answer in (
        (Regression(), x[:, :CLASSES] * 2, torch.zeros_like),
        (Tokens(), (torch.rand(300, generator=generator) ** 3 * CLASSES).long(), lambda y: torch.zeros(300, CLASSES)),
    ):
        data = TestData.of([(x, y)], task=task)
        header = _header(data)
        guesses = digital_measurement(_Module(lambda _, y=y, answer=answer: answer(y)), data)
        assert "best constant answer" in mho.DriftResult(header, guesses, [_as_chip(guesses)]).sentence(0.01)
        right = y * 0.95 if y.is_floating_point() else 9.0 * nn.functional.one_hot(y, CLASSES)
        knows = digital_measurement(_Module(lambda _, right=right: right), data)
        assert "no verdict" not in mho.DriftResult(header, knows, [_as_chip(knows)]).sentence(0.01)


def _header(data):
    from mho.store import RunHeader

    constant = data.task.constant_score([y for _, y in data.batches])
    return RunHeader("net", data.info, {"name": "x"}, "h", 0, (3600.0,), task=data.task.record(), constant=constant)


def _as_chip(digital):
    from dataclasses import replace

    return replace(digital, chip=0, age_s=3600.0)


def test_the_best_constant_answer_of_each_task():
    assert Regression().constant_score([torch.tensor([0.0, 1.0, 5.0])]) == pytest.approx(5 / 3)
    assert Regression(tolerance=1.0).constant_score([torch.tensor([0.0, 1.0, 5.0])]) == pytest.approx(2 / 3)
    tokens = torch.tensor([[0, 0, 0, 1], [0, 0, -100, 1]])
    assert Tokens("accuracy").constant_score([tokens]) == pytest.approx(5 / 7)
    expected = -(5 * np.log(5 / 8) + 2 * np.log(2 / 8)) / 7
    assert Tokens().constant_score([tokens]) == pytest.approx(expected)
    both = Several({"a": "tokens", "b": Tokens()})
    assert both.constant_score([{"a": tokens, "b": tokens}]) == pytest.approx(expected)
    assert Task.of("classes").constant_score([torch.tensor([1])]) is None


def test_an_imbalanced_detector_that_is_below_the_majority_still_knows_something():
    """Nine of ten are empty; it finds all of the rest and raises some false alarms: worse than never answering, not chance."""
    y = torch.arange(1000) % 10 == 0
    score = torch.where(y | (torch.arange(1000) % 7 == 0), 1.0, -1.0)
    data = TestData.of([(score[:, None], y.long())], task="logit")
    digital = digital_measurement(_Module(lambda x: x), data)
    assert digital.accuracy < 0.9
    assert mho.DriftResult(_header(data), digital, [_as_chip(digital)]).at_chance(0.01) == ""


@pytest.mark.parametrize("seed", [True, "1", 1.5, 1.0, -1, None, np.float64(2)])
def test_seeds_are_whole_numbers(seed):
    net, data = _net(), _data()
    calls = [
        lambda: mho.program(net, seed), lambda: mho.program(net, chip=seed), lambda: mho.program(net).at(0, read=seed),
        lambda: mho.drift(net, data, seed=seed), lambda: mho.accuracy(net, data, seed=seed),
        lambda: mho.sensitivity(net, data, seed=seed), lambda: mho.fit(net, data, seed=seed),
        lambda: mho.advise(_model(), QUIET, data, seed=seed),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(WrongSetting, match="give a whole number, at least 0"):
            call()


def test_every_integer_type_is_the_same_seed():
    net, x = _net(), _data()[0][0]
    one = mho.program(net, 1, chip=2).at("1 day", read=3)(x)
    for kind in (np.int64, np.uint8, torch.tensor):
        assert torch.equal(mho.program(net, kind(1), chip=kind(2)).at("1 day", read=kind(3))(x), one)


def test_every_module_keeps_the_mode_that_it_had(tmp_path):
    model, data = _model(), _data()
    model.train()
    model.last.eval()
    net = mho.to_analog(model, QUIET, example=data[0][0])
    calls = {
        "calibrate": lambda: mho.calibrate(net, data), "accuracy": lambda: mho.accuracy(net, data),
        "drift": lambda: mho.drift(net, data, ["1 h"], chips=1), "sensitivity": lambda: mho.sensitivity(net, data, chips=1),
        "advise": lambda: mho.advise(model, QUIET, data, effort="quick", remedies=[], times=["1 h"], chips=2, budget=0.9),
        "digital accuracy": lambda: mho.accuracy(model, data), "to_digital": lambda: mho.to_digital(net),
        "program": lambda: mho.program(net).at("1 h"),
    }  # fmt: skip
    statistics = model.norm.running_mean.clone()
    for name, call in calls.items():
        call()
        for one in (model, net):
            assert (one.training, one.norm.training, one.last.training) == (True, True, False), name
        assert torch.equal(model.norm.running_mean, statistics), name


def test_a_programmed_chip_is_not_trained():
    with pytest.raises(WrongSetting, match="this network is a programmed chip"):
        mho.fit(mho.program(_net()).at("1 day"), _data())


def test_calibration_reads_everything_unless_told_otherwise():
    data = [x for x, _ in _data()]
    late = [*(x * 0.1 for x in data * 3), data[0] * 10]
    net = mho.calibrate(mho.to_analog(nn.Sequential(nn.Linear(8, 4)), QUIET), iter(late))
    assert float(net[0].matrix.input_range) == pytest.approx(float(late[-1].abs().max()))
    mho.calibrate(net, late, max_batches=8)
    assert float(net[0].matrix.input_range) < 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([torch.zeros(4, 8)] * 3, "all inputs are zero"),
        ([(torch.ones(8), 3), (torch.ones(8), 1)], "batch 0 is one sample with the label 3.*DataLoader"),
        ([(torch.ones(8), torch.tensor(3))], "batch 0 is one sample"),
    ],
)
def test_data_that_no_range_follows_from(data, said):
    with pytest.raises(BadInput, match=said):
        mho.calibrate(mho.to_analog(nn.Sequential(nn.Linear(8, 4)), QUIET), data)
    if "sample" in said:
        with pytest.raises(BadInput, match=said):
            TestData.of(data)

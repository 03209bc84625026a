"""The fewest bits on a task whose answer is known, and the words about it."""

from __future__ import annotations

import ast
import copy
import itertools

import pytest
import torch
from torch import nn

import mho
from mho.advice.bits import smallest_bits
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.training import train

PCM = Hardware.preset("pcm-cells")


@pytest.fixture(scope="module")
def task():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 12, generator=generator)
    y = (x[:, :4].sum(1) > x[:, 4:8].sum(1)).long()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 2))
    train(model, [(x[:2000], y[:2000])], epochs=150, lr=0.02)
    return model.eval(), [(x[:500], y[:500])], [(x[2000:], y[2000:])]


@pytest.fixture(scope="module")
def found(task):
    return smallest_bits(task[0], PCM, *task[1:], budget=0.03)


def test_the_last_choice_inside_the_budget_is_the_answer(found):
    for tried in (found.uniform, found.by_layer):
        assert all(t.accepted == (t.at_most <= 0.03) and t.lost <= t.at_most for t in tried)
        assert all(t.accepted for t in tried[:-1]) and not tried[-1].accepted
        sums = [t.dac + t.adc for t in tried]
        assert all(a > b for a, b in itertools.pairwise(sums)) and sums[0] == 16
    assert (found.dac, found.adc) == (found.uniform[-2].dac, found.uniform[-2].adc)
    assert found.dac + found.adc < 14


def test_bits_by_layer_are_what_was_measured_last(found):
    assert set(found.layers) == {"0", "2", "4"}
    assert all(set(bits) == {"dac.bits", "adc.bits"} for bits in found.layers.values())
    means = [sum(bits[f"{c}.bits"] for bits in found.layers.values()) / 3 for c in ("dac", "adc")]
    assert (found.by_layer[-2].dac, found.by_layer[-2].adc) == pytest.approx(means)


def test_applied_bits_give_the_accuracy_that_was_measured(found, task):
    model, calibration, test = task
    net = found.apply(mho.to_analog(model, PCM))
    assert net[2].matrix.hw.adc.bits == found.layers["2"]["adc.bits"]
    mho.calibrate(net, calibration, method="error")
    assert mho.accuracy(net, test) == found.by_layer[-2].mean
    alike = mho.calibrate(
        mho.to_analog(model, PCM.replace(dac__bits=found.dac, adc__bits=found.adc)), calibration, method="error"
    )
    assert mho.accuracy(alike, test) == found.uniform[-2].mean


def test_the_table_and_its_lines(found):
    text = str(found)
    assert "97.5%" in text and "95%" in text and f"{100 * found.uniform[0].mean:.2f} %" in text
    assert f"hw = hw.replace(dac__bits={found.dac}, adc__bits={found.adc})" in text.splitlines()
    lines = text.splitlines()
    start = lines.index("hw = hw.replace(layers={")
    assert ast.literal_eval("{" + "".join(lines[start + 1 : -1]) + "}") == found.layers


def test_a_converted_network_does_and_stays_as_it_is(found, task):
    net = mho.to_analog(task[0], PCM)
    before = copy.deepcopy(net.state_dict())
    seen = []
    again = smallest_bits(net, "pcm-cells", *task[1:], budget=0.03, per_layer=False, progress=seen.append)
    assert net.state_dict().keys() == before.keys() and net[0].matrix.hw == PCM
    assert tuple(step.result for step in seen) == again.uniform and not again.layers and not again.by_layer
    assert [t.mean for t in again.uniform[:4]] == [t.mean for t in found.uniform[:4]]
    assert again.dac + again.adc <= found.dac + found.adc  # a single answer has the whole error probability


def test_too_few_samples_show_nothing(task):
    model, calibration, test = task
    few = smallest_bits(model, PCM, calibration, [(test[0][0][:50], test[0][1][:50])], budget=0.03)
    assert few.dac is None and not few.layers and len(few.uniform) == 1 and "more samples" in str(few)
    with pytest.raises(WrongSetting, match="no number of bits"):
        few.apply(mho.to_analog(model, PCM))


@pytest.mark.parametrize(
    ("options", "named"),
    [({"budget": 0.0}, "budget"), ({"confidence": 1.0}, "confidence"), ({"lowest": 1}, "bits from"),
     ({"highest": 3, "lowest": 4}, "bits from"), ({"method": "best"}, "best"), ({"quantile": 0.5}, "quantile")],
)  # fmt: skip
def test_nonsense_is_refused(task, options, named):
    with pytest.raises(WrongSetting, match=named):
        smallest_bits(task[0], PCM, *task[1:], **options)

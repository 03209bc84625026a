from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.data import load
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.measure import TestData, measure
from mho.measure.linearised import estimate
from mho.measure.sensitivity import sensitivity, weight_errors
from mho.measure.sensitivity_result import Agreement, _ranks, _spearman, _told_apart
from mho.models import digits_cnn

PCM, IDEAL = Hardware.preset("pcm-cells"), Hardware.preset("ideal")


@pytest.fixture(scope="module")
def digits():
    training, test = load("digits?split=train"), load("digits?split=test")
    torch.manual_seed(0)
    return mho.training.train(digits_cnn(), training, epochs=5), training, test


@pytest.fixture(scope="module")
def net(digits):
    model, training, test = digits
    return mho.calibrate(mho.to_analog(model, PCM, example=test.inputs[:2]), training)


@pytest.fixture(scope="module")
def result(net, digits):
    return sensitivity(net, digits[2], time="1 year", chips=4)


def test_alone_is_what_a_chip_with_every_other_layer_digital_does(net, digits, result):
    """The same as converting anew with all other layers digital: the same cells, whatever stands beside them."""
    model, training, test = digits
    hw = PCM.replace(digital=["3", "6", "9", "13"])
    only = mho.calibrate(mho.to_analog(model, hw, example=test.inputs[:2]), training)
    drifted = mho.drift(only, test, ["1 year"], chips=4)
    for m, loss, rise in zip(drifted.measurements, result["0"].losses, result["0"].rises, strict=True):
        assert m.accuracy == pytest.approx(drifted.digital.accuracy - loss, abs=1e-9)
        assert m.loss - drifted.digital.loss == pytest.approx(rise, abs=1e-5)


def test_spared_is_the_whole_chip_less_one_digital_layer(net, digits):
    model, training, test = digits
    spared = sensitivity(net, test, time="1 year", chips=2, mode="spared", estimated=False)
    whole = mho.drift(net, test, ["1 year"], chips=2)
    without = mho.calibrate(mho.to_analog(model, PCM.replace(digital=["0"]), example=test.inputs[:2]), training)
    for full, rest, loss in zip(
        whole.measurements, mho.drift(without, test, ["1 year"], chips=2).measurements, spared["0"].losses, strict=True
    ):
        assert rest.accuracy - full.accuracy == pytest.approx(loss, abs=1e-9)
    assert spared["0"].estimate is None and [m.accuracy for m in spared.full] == [
        m.accuracy for m in whole.measurements
    ]


def test_perfect_hardware_costs_nothing(digits):
    model, _, test = digits
    found = sensitivity(mho.to_analog(model, IDEAL, example=test.inputs[:2]), test, chips=2)
    for layer in found.layers:
        assert layer.losses == (0.0, 0.0)
        assert max(map(abs, layer.rises)) < 1e-5 and abs(layer.by("quadratic")) < 1e-5


def test_a_layer_made_noisy_is_found(digits):
    """All layers but the last have perfect cells; the estimate says so."""
    model, training, test = digits
    net = mho.calibrate(mho.to_analog(model, PCM, example=test.inputs[:2]), training)
    perfect = PCM.replace(**{"cell.programming_noise": 0.0, "cell.drift": 0.0, "cell.read_noise": 0.0})
    for path, module in net.named_modules():
        if isinstance(module, mho.nn.AnalogMatrix) and not path.startswith("13"):
            module.hw = perfect
    found = sensitivity(net, test, time="1 year", chips=3)
    assert all((abs(layer.by("quadratic")) > 1e-5) == (layer.path == "13") for layer in found.layers)


def test_the_estimate_foretells_the_measurement(result):
    agreement = result.agreement("quadratic")
    assert agreement.spearman >= 0.6 and 0.5 < agreement.slope < 2 and agreement.layers == 5
    assert result.agreement("diagonal").slope > 0
    assert result.ranked()[0].path == "0"


def test_the_estimate_is_the_second_order_expansion_of_a_linear_layer():
    """For one linear layer and softmax, g and F are known: Σ (p - y) xᵀ / N and E[(diag p - p pᵀ) ⊗ x xᵀ]."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4096, 3, generator=generator), torch.randint(0, 4, (4096,), generator=generator)
    layer = nn.Linear(3, 4)
    errors = [0.05 * torch.randn(4, 3, generator=generator) for _ in range(3)]
    found = estimate(mho.to_analog(nn.Sequential(layer), IDEAL), TestData.of([(x, y)]), {"0": errors}, samples=4096)[
        "0"
    ]
    with torch.no_grad():
        p = layer(x).softmax(-1)
        g = (p - F.one_hot(y, 4)).T @ x / len(x)
        first = np.mean([float((g * e).sum()) for e in errors])
        moved = [x @ e.T for e in errors]
        quadratic = np.mean([float(((p * m**2).sum(-1) - (p * m).sum(-1) ** 2).mean()) for m in moved])
        fisher = (p * (1 - p)).T @ x.square() / len(x)
        diagonal = np.mean([float((fisher * e.square()).sum()) for e in errors])
    assert found.first == pytest.approx(first, rel=1e-3)
    # 512 microbatches: the square of a sum of drawn gradients spreads by about sqrt(2/512) = 6 %.
    assert found.quadratic - found.first == pytest.approx(quadratic / 2, rel=0.15)
    assert found.diagonal - found.first == pytest.approx(diagonal / 2, rel=0.15)


@pytest.mark.parametrize("encoding", [{"kind": "differential"}, {"kind": "offset", "reference": "digital"},
                                      {"kind": "offset", "reference": "column"},
                                      {"kind": "differential", "subtract": "digital"}])  # fmt: skip
def test_the_errors_are_those_that_the_chip_computes_with(digits, encoding):
    """A digital network with the chip's effective weights answers as the chip, converters aside."""
    model, _, test = digits
    hw = PCM.replace(encoding=encoding, **{"dac.bits": None, "adc.bits": None, "array.rows": 128})
    aged = mho.program(mho.to_analog(model, hw), 3).at("1 month")
    errors = weight_errors(aged)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for path, error in errors.items():
            moved.get_submodule(path).weight += error
        expected, seen = moved(test.inputs[:32]), aged(test.inputs[:32])
    assert torch.allclose(seen, expected, rtol=1e-3, atol=1e-3)


def test_the_same_seed_gives_the_same_numbers_and_no_state_is_left(net, digits, result):
    before = measure(net, TestData.of(digits[2]), chip=0, age_s=0.0, address=("x",)).loss
    again = sensitivity(net, digits[2], time="1 year", chips=4)
    assert [layer.rises for layer in again.layers] == [layer.rises for layer in result.layers]
    assert [layer.estimate for layer in again.layers] == [layer.estimate for layer in result.layers]
    assert measure(net, TestData.of(digits[2]), chip=0, age_s=0.0, address=("x",)).loss == before


def test_rows_and_table(result, net):
    rows = result.rows()
    assert [row["layer"] for row in rows] == ["0", "3", "6", "9", "13"]
    assert sum(row["mac_share"] for row in rows) == pytest.approx(1.0, abs=1e-6)
    assert all(row["loss_low"] <= row["loss"] <= row["loss_high"] for row in rows)
    assert rows[0]["cells"] == 2 * 16 * 9
    text = str(result)
    assert text.index("\n0 ") < text.index("\n6 ") and "1 year old" in text
    assert ("Spearman" in text) == result.agreement().known and "estimate against measurement" in text


def test_an_estimate_without_measurement(net, digits):
    found = sensitivity(net, digits[2], time="1 year", chips=0, samples=64)
    assert found.ranked()[0].path == "0" and "nothing measured" in str(found)
    with pytest.raises(WrongSetting, match="nothing was measured"):
        found.agreement()
    with pytest.raises(WrongSetting, match="'rise'"):
        found.ranked("rise")


def test_recurrent_and_attention_layers_have_one_row(digits):
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.attention = (
                nn.LSTM(8, 8, batch_first=True),
                nn.MultiheadAttention(8, 2, batch_first=True, bias=False),
            )
            self.head = nn.Linear(8, 10)

        def forward(self, x):
            h = self.rnn(x[:, 0])[0]
            return self.head(self.attention(h, h, h, need_weights=False)[0].mean(1))

    test = TestData.of([(digits[2].inputs[:64], digits[2].labels[:64])])
    net = mho.calibrate(mho.to_analog(Net(), PCM), test.batches)
    found = sensitivity(net, test, chips=1, samples=32)
    assert {"rnn", "attention", "head"} <= {layer.path for layer in found.layers}
    assert all(math.isfinite(layer.by("quadratic")) for layer in found.layers)
    assert all(math.isnan(layer.mac_share) or layer.mac_share > 0 for layer in found.layers)


@pytest.mark.parametrize("arguments", [{"mode": "apart"}, {"chips": -1}, {"chips": 0, "estimated": False}])
def test_bad_arguments_are_named(net, digits, arguments):
    with pytest.raises(WrongSetting):
        sensitivity(net, digits[2], **arguments)


def test_networks_that_cannot_be_asked(net, digits):
    with pytest.raises(WrongSetting, match="no arrays"):
        sensitivity(digits[0], digits[2])
    with pytest.raises(WrongSetting, match="one chip already"):
        sensitivity(mho.program(net).at("1 h"), digits[2])
    with pytest.raises(WrongSetting, match="there is no layer 'x'"):
        _ = sensitivity(net, digits[2], chips=1, samples=8)["x"]


def test_ranks():
    assert list(_ranks(np.array([3.0, 1.0, 3.0, 2.0]))) == [3.5, 1.0, 3.5, 2.0]
    assert _spearman([1, 2, 3, 4], [1, 8, 27, 64]) == pytest.approx(1) and math.isnan(_spearman([1, 2], [1, 2]))
    from scipy.stats import spearmanr

    a, b = np.random.default_rng(0).integers(0, 5, (2, 30))
    assert _spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_noise_has_no_order_to_agree_with():
    random = np.random.default_rng(0)
    noise = random.normal(size=(200, 6, 4))
    found = [_told_apart(each, 0.95) for each in noise]
    assert 0.01 < np.mean(found) < 0.11, "five in a hundred"
    apart = noise + np.linspace(0, 6, 6)[:, None] + 50 * random.normal(size=(200, 1, 4))
    assert np.mean([_told_apart(each, 0.95) for each in apart]) > 0.95, "what chips have in common is no noise"
    assert not _told_apart(noise[0, :, :1], 0.95) and not _told_apart(np.zeros((6, 4)), 0.95)
    assert "Spearman" in str(Agreement(-1.0, 0.3, 4)) and "Spearman" not in str(Agreement(-1.0, 0.3, 4, known=False))

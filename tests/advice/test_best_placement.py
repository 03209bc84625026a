from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

import mho
from mho.advice.best_placement import best_placement
from mho.advice.placing import keep_digital, knapsack, more_cells, verify_writes
from mho.data import load
from mho.errors import MhoError, NeverPossible, WrongSetting
from mho.hardware import Hardware
from mho.measure.linearised import Estimate
from mho.measure.sensitivity import sensitivity
from mho.measure.sensitivity_result import LayerSensitivity, SensitivityResult
from mho.models import digits_cnn

PCM = Hardware.preset("pcm-cells")


@pytest.fixture(scope="module")
def digits():
    training, test = load("digits?split=train"), load("digits?split=test")
    torch.manual_seed(0)
    return mho.training.train(digits_cnn(), training, epochs=5), training, test


def made(rises, cells, shares):
    layers = tuple(
        LayerSensitivity(f"l{i}", c, c, 1, s, (), (), Estimate(0.0, r, r))
        for i, (r, c, s) in enumerate(zip(rises, cells, shares, strict=True))
    )
    return SensitivityResult(layers, "alone", 1.0, 0, 1, None, (), 0.95, "made up")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_greedy_is_at_least_half_as_good_as_the_best_subset(seed):
    rng = np.random.default_rng(seed)
    gains = {str(i): float(g) for i, g in enumerate(rng.exponential(size=8) - 0.2)}
    costs = {str(i): float(c) for i, c in enumerate(rng.uniform(0.01, 0.5, size=8))}
    chosen = knapsack(gains, costs, 0.6)
    assert sum(costs[k] for k in chosen) <= 0.6 + 1e-12 and all(gains[k] > 0 for k in chosen)
    best = max(
        sum(gains[str(i)] for i in range(8) if bits[i])
        for bits in product((0, 1), repeat=8)
        if sum(costs[str(i)] for i in range(8) if bits[i]) <= 0.6
    )
    assert sum(gains[k] for k in chosen) >= best / 2


def test_one_large_layer_may_be_better_than_many_small_ones():
    assert knapsack({"small": 0.2, "large": 1.0}, {"small": 0.05, "large": 0.5}, 0.5) == ["large"]
    assert knapsack({"none": 0.0, "worse": -1.0}, {"none": 0.1, "worse": 0.1}, 1.0) == []


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_dealt_out_as_brute_force_deals_them(seed):
    """With equal layers every greedy step fits until the budget is spent, and then greedy is best possible."""
    rises = list(np.random.default_rng(seed).exponential(size=3))
    found = more_cells(made(rises, (10, 10, 10), (0.1, 0.1, 0.1)), PCM, 4 / 3)
    best = min(
        (sum(r / (1 + n) for r, n in zip(rises, more, strict=True)), more)
        for more in product(range(5), repeat=3)
        if sum(more) <= 4
    )
    pairs = [found.layers.get(f"l{i}", 1.0) for i in range(3)]
    assert [n - 1 for n in pairs] == list(best[1])
    assert found.foretold == pytest.approx(sum(rises) - best[0]) and found.cell_share == pytest.approx(4 / 3)
    for path, n in found.layers.items():
        assert PCM.replace(**found.changes).for_layer(path).encoding.pairs == n


def test_digital_layers_stay_inside_the_share_and_rank_by_gain_per_mac():
    found = made((1.0, 3.0, 0.5, 0.0), (1, 1, 1, 1), (0.02, 0.2, 0.02, 0.01))
    chosen = keep_digital(found, PCM.replace(digital=["head"]), 0.05)
    assert list(chosen.layers) == ["l0", "l2"] and chosen.mac_share == pytest.approx(0.04)
    assert chosen.changes == {"digital": ["head", "l0", "l2"]} and "4.0% of the MACs" in str(chosen)


def test_verified_layers_write_less_noise():
    found = made((1.0, 3.0), (10, 90), (0.5, 0.5))
    chosen = verify_writes(found, PCM, 0.2, rounds=2)
    assert list(chosen.layers) == ["l0"] and chosen.cell_share == pytest.approx(0.1)
    hw = PCM.replace(**chosen.changes)
    assert hw.for_layer("l0").write_verify.rounds == 2 and hw.for_layer("l1").write_verify.rounds == 1
    assert chosen.foretold == pytest.approx(2 / math.pi)  # E[min of two z²] = 1 - 2/π


def test_earlier_overrides_of_a_layer_are_kept():
    hw = PCM.replace(layers={"l0": {"adc.bits": 6}})
    changed = hw.replace(**more_cells(made((1.0,), (10,), (1.0,)), hw, 1.0).changes)
    assert changed.for_layer("l0").adc.bits == 6 and changed.for_layer("l0").encoding.pairs == 2


def test_pairs_divide_the_rise_as_foretold(digits):
    """n pairs divide the variance of the errors by n, and with it the second-order part of the estimate."""
    model, training, test = digits

    def second(pairs):
        hw = PCM.replace(**{"encoding.pairs": pairs, "cell.drift": 0.0, "cell.read_noise": 0.0})
        net = mho.calibrate(mho.to_analog(model, hw, example=test.inputs[:2]), training)
        found = sensitivity(net, test, time="1 h", chips=0, samples=64)
        return {layer.path: layer.by("diagonal") - layer.by("first") for layer in found.layers}

    one, four = second(1), second(4)
    for path in ("3", "9", "13"):
        assert four[path] == pytest.approx(one[path] / 4, rel=0.15)


def test_the_stem_digital_helps_on_chips(digits):
    model, training, test = digits
    hw = PCM.replace(cell__programming_noise=6.0)
    choice = best_placement(model, hw, test, digital=0.08, calibration=training, times=["1 year"], chips=6)
    assert "0" in choice.placing.layers and "0" in choice.hw.digital
    assert choice.gains()[0].low > 0 and choice.before.header.seed == choice.after.header.seed == 1
    assert choice.placing.mac_share <= 0.08 and "points" in str(choice)


def test_budgets_that_cannot_be_spent(digits):
    found = made((1.0, 1.0), (1, 1), (0.1, 0.1))
    for wrong in (0.0, -1.0, 1.5):
        with pytest.raises(WrongSetting, match="digital"):
            keep_digital(found, PCM, wrong)
    with pytest.raises(NeverPossible, match="every layer"):
        keep_digital(found, PCM, 0.5)
    with pytest.raises(WrongSetting, match="unknown"):
        keep_digital(made((1.0,), (1,), (math.nan,)), PCM, 0.5)
    with pytest.raises(WrongSetting, match="no 'pairs'"):
        more_cells(found, PCM.replace(encoding={"kind": "offset"}), 0.5)
    with pytest.raises(WrongSetting, match="at least 2 writes"):
        verify_writes(found, PCM, 0.5, rounds=1)
    with pytest.raises(MhoError, match="2 budgets"):
        best_placement(digits[0], PCM, digits[2], digital=0.1, cells=0.1)

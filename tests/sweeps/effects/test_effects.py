"""Effects, shares, thresholds and curves against what was planted, to the digit where nothing is random."""

from __future__ import annotations

import math

import numpy as np
import pytest
from stores import BITS, NOISE, store

from mho.errors import WrongSetting
from mho.statistics.intervals import Interval
from mho.sweeps import SweepResult, findings
from mho.sweeps.effects import measured, surface
from mho.sweeps.effects.correlation import interval
from mho.sweeps.effects.pareto import front
from mho.sweeps.ledger import Ledger

READ, REACH, BOUND = "hardware.cell.read_noise", "hardware.adc.range", "hardware.adc.bound"
GRID = {BITS: [2, 4, 6], NOISE: [0.0, 0.03, 0.1]}
CHIP = np.array([0.0, 0.01, 0.03, -0.02])


def last(found, *paths):
    (effect,) = [e for e in found.effects if e.paths == paths and e.age_s == found.measured.plan.ages[-1]]
    return effect


def near(value):
    return Interval(*[pytest.approx(value, abs=1e-9)] * 3)


def test_an_exact_store_is_read_to_the_digit(base, tmp_path):
    """y = bits effect + noise effect: shares by their variances, no interaction, everything without spread."""
    result = store(
        {**base, "chips": 4, "factors": GRID}, tmp_path,
        lambda levels, seed, c, i: 0.5 + levels[BITS] / 100 - levels[NOISE] + CHIP[c] - 0.1 * i,
    )  # fmt: skip
    found = findings(result, budget="2.5%")
    bits, noise = np.var([0.02, 0.04, 0.06]), np.var([0.0, 0.03, 0.1])
    assert last(found, BITS).share == near(bits / (bits + noise)) and last(found, NOISE).share == near(
        noise / (bits + noise)
    )
    assert last(found, BITS, NOISE).share == near(0.0) and last(found, BITS, NOISE).p == 1.0
    assert last(found, NOISE).largest == near(0.1) and last(found, NOISE).between == "0 over 0.1"
    (threshold,) = [t for t in found.thresholds if t.path == NOISE and t.age_s > 1e7]
    assert [cost.value for cost in threshold.costs] == pytest.approx([0.0, 0.03, 0.1])
    assert threshold.verdict == "at once" and str(threshold) == "from 0.03 up, the first step already"
    (threshold,) = [t for t in found.thresholds if t.path == BITS and t.age_s > 1e7]
    assert str(threshold) == "from 2 down (4 does not)" and threshold.range == "2"
    wide = findings(result, budget=0.2)
    assert {str(t) for t in wide.thresholds if t.path == BITS} == {"no threshold seen from 6 to 2"}
    assert "No level from 0 to 0.1 costs more than 20 %" in wide.sentences[0]


def test_an_interaction_has_its_share_and_its_place(base, tmp_path):
    result = store(
        {**base, "chips": 4, "factors": GRID}, tmp_path,
        lambda levels, seed, c, i: 0.5 - 0.2 * (levels[NOISE] == 0.1 and levels[BITS] == 2) + CHIP[c],
    )  # fmt: skip
    found = findings(result)
    # One odd cell of nine: 2/9 of its square each for both main effects, 4/9 for the interaction, of 8/9 in all.
    assert last(found, BITS).share == near(0.25) and last(found, BITS, NOISE).share == near(0.5)
    effect = last(found, BITS, NOISE)
    assert effect.largest == near(0.2) and effect.between.startswith("4 over 2, more at 0.1 than at 0")
    assert "act on each other" in "".join(found.sentences)
    cells = surface(found.measured, BITS, NOISE)
    assert cells.levels == (("2", "4", "6"), ("0", "0.03", "0.1"))
    assert cells.cells[-1][0][2].value == pytest.approx(0.3 + CHIP.mean())


def test_a_failed_trial_takes_its_block_with_it(base, tmp_path):
    """With one cell missing, plain means of the levels would differ though nothing acts but the other factor."""
    result = store(
        {**base, "chips": 4, "factors": GRID},
        tmp_path,
        lambda levels, seed, c, i: 0.9 - levels[NOISE] + CHIP[c],
        fail=[2],
    )
    found = findings(result)
    assert last(found, BITS).p == 1.0 and last(found, BITS).largest == near(0.0)
    assert last(found, BITS).left_out == "1 of 3 combinations of the other factors"
    assert last(found, NOISE).largest == near(0.1) and "1 of 3" in last(found, NOISE).left_out
    assert last(found, BITS, NOISE).left_out  # a level is gone
    assert [c.means[0].value for c in found.curves if c.path == BITS] == pytest.approx([0.9 - 0.015 + CHIP.mean()] * 3)
    assert found.missing() == [(BITS, "2", 3, 0, 1, 0, 0), (NOISE, "0.1", 3, 0, 1, 0, 0)]
    assert "1 trial of 9 failed" in str(found)


def test_what_was_pruned_is_said_and_counted_by_level(base, tmp_path):
    result = store({**base, "chips": 4, "factors": GRID}, tmp_path, lambda levels, seed, c, i: 0.9 + CHIP[c], fail=[2])
    Ledger(result.folder).prune("2", "its training was pruned after epoch 1")
    found = findings(SweepResult(result.folder))
    assert found.missing() == [(BITS, "2", 3, 0, 0, 1, 0), (NOISE, "0.1", 3, 0, 0, 1, 0)]
    assert "1 trial of 9 pruned" in str(found) and "rests on those that were not given up" in str(found)
    assert "points with a pruned trial are left out below, which flatters" in str(SweepResult(result.folder))


def test_a_point_with_several_training_seeds_counts_once_in_a_correlation(base, tmp_path):
    training = {"training": {"data": "tiny_sweep:data"}, "seeds": 3}
    result = store(
        {**base, **training, "factors": GRID}, tmp_path,
        lambda levels, seed, c, i: 0.9 - levels[NOISE] + CHIP[c] + 0.01 * seed,
    )  # fmt: skip
    one = next(c for c in findings(result).correlations if c.columns == ("accuracy", NOISE))
    assert one.points == 9 and one.pearson.value == pytest.approx(-1.0)


def test_a_running_sweep_of_seeds_counts_whole_seeds(base, tmp_path):
    training = {"training": {"data": "tiny_sweep:data"}, "seeds": 3}
    result = store(
        {**base, **training, "factors": GRID}, tmp_path,
        lambda levels, seed, c, i: 0.9 - levels[NOISE] + CHIP[c] + 0.01 * seed, wait=range(20, 27),
    )  # fmt: skip
    found = findings(result)
    assert found.measured.seeds == (0, 1) and len(found.measured.points) == 9
    assert "7 trials of 27 not measured yet" in str(found) and "2 of 3 training seeds count (0, 1)" in str(found)
    assert last(found, NOISE).largest == near(0.1)
    text = str(result)  # the summary rests on the same points
    assert "2 of 3 training seeds count (0, 1)" in text and "best 5 of 9 points" in text
    assert "interval over training seeds and chips" in text


def test_numbers_that_are_not_finite_are_counted_and_kill_nothing(base, tmp_path):
    def score(levels, seed, c, i):
        odd = levels[NOISE] == 0.1 and levels[BITS] == 2 and c == 1
        return (1e200, math.inf)[i] if odd else 0.9 - levels[NOISE] + CHIP[c]

    found = findings(store({**base, "chips": 4, "factors": GRID}, tmp_path, score, loss=lambda value: None))
    assert found.measured.diverged == (2,) and last(found, NOISE).found(0.95)
    assert "1 trial of 9 gave no finite accuracy" in str(found) and "The loss of 8 trials is not finite" in str(found)
    assert found.missing()[0] == (BITS, "2", 3, 0, 0, 0, 1)
    assert not any("loss" in one.columns for one in found.correlations)


def test_one_chip_has_no_intervals_and_nothing_is_tested(base, tmp_path):
    found = findings(store({**base, "chips": 1, "factors": GRID}, tmp_path, lambda levels, *_: 0.9 - levels[NOISE]))
    assert all(math.isnan(e.p) and not e.found(0.95) for e in found.effects)
    assert all((e.share.low, e.share.high) == (0.0, 1.0) and math.isinf(e.largest.high) for e in found.effects)
    assert {t.verdict for t in found.thresholds} == {"undecided"}
    assert "nothing says how much of it is chance" in found.sentences[0] and "there are no intervals" in str(found)
    assert "unknown" in found.sentences[0]


def test_nothing_measured_is_said(base, tmp_path):
    found = findings(store({**base, "factors": GRID}, tmp_path, lambda *_: 0.5, wait=range(9)))
    assert found.sentences == ["No point of the design is measured yet with all its chips, ages and seeds."]
    assert (found.effects, found.curves, found.surfaces, found.fronts, found.correlations) == ([], [], [], [], [])


def test_conditional_factors_are_read_where_they_count(base, tmp_path):
    factors = {REACH: ["calibrated", "fixed"], BOUND: {"values": [5, 15], "when": {REACH: "fixed"}}, BITS: [2, 4]}
    result = store(
        {**base, "factors": factors, "chips": 3}, tmp_path,
        lambda levels, seed, c, i: 0.5 + levels[BITS] / 10 - 0.01 * (levels[BOUND] or 0) + CHIP[c],
    )  # fmt: skip
    found = findings(result)
    assert last(found, REACH).largest == near(0.1) and last(found, BOUND).largest == near(0.1)
    assert last(found, BITS).largest == near(0.2)
    assert {e.paths for e in found.effects} == {(REACH,), (BOUND,), (BITS,), (REACH, BITS), (BOUND, BITS)}
    assert not any(t.path == REACH for t in found.thresholds)  # words have no order


def test_around_a_base_each_factor_has_its_own_line(base, tmp_path):
    result = store(
        {**base, "factors": {BITS: [2, 8], NOISE: [0.0, 0.1]}, "design": "one_at_a_time", "chips": 3}, tmp_path,
        lambda levels, seed, c, i: levels[BITS] / 20 - levels[NOISE] * levels[BITS] + CHIP[c],
    )  # fmt: skip
    found = findings(result)
    assert {e.paths for e in found.effects} == {(BITS,), (NOISE,)} and found.surfaces == []
    assert last(found, NOISE).largest == near(0.8)  # at the base's 8 bits


def test_points_that_are_drawn_are_fitted_and_the_fit_says_its_error(base, tmp_path):
    rng = np.random.default_rng(0)

    def score(levels, seed, c, i):
        return (
            0.9 - 0.05 * math.log10(levels[NOISE] / 0.001) - 0.04 * (levels[BITS] == 2) + CHIP[c] + 0.002 * rng.normal()
        )

    factors = {BITS: [2, 4, 6], NOISE: {"log": [0.001, 0.1]}}
    result = store({**base, "chips": 4, "factors": factors, "design": {"kind": "lhs", "trials": 48}}, tmp_path, score)
    found = findings(result)
    bits, noise = np.var([-0.04, 0, 0]), 0.1**2 / 12
    assert last(found, NOISE).share.value == pytest.approx(noise / (bits + noise), abs=0.1)
    assert last(found, NOISE).found(0.95) and last(found, BITS).found(0.95) and not last(found, BITS, NOISE).found(0.95)
    assert {str(t) for t in found.thresholds if t.path == BITS} == {"from 2 down (4 does not)"}
    fitted = surface(found.measured, BITS, NOISE)
    assert 0.0005 < fitted.error[0] < 0.01
    held = [cell for row in fitted.cells[0] for cell in row]
    known = [
        0.9 + CHIP.mean() - 0.05 * math.log10(n / 0.001) - 0.04 * (b == 2)
        for b in (2, 4, 6)
        for n in np.geomspace(0.001, 0.1, 7)
    ]
    assert max(abs(cell.value - value) for cell, value in zip(held, known, strict=True)) < 0.02
    assert len(held) == 21 and all(cell.low < cell.value < cell.high for cell in held)


def test_time_to_failure_is_said_where_it_is_not_seen(base, tmp_path):
    result = store(
        {**base, "factors": {NOISE: [0.0, 0.1, 0.3]}, "ages": "0, 1 h, 1 day, 1 year", "chips": 4}, tmp_path,
        lambda levels, seed, c, i: 0.9 + 0.001 * CHIP[c] - (0.002 + levels[NOISE] * 0.1) * i - 0.5 * (levels[NOISE] == 0.3),
    )  # fmt: skip
    lives = [str(c.life) for c in findings(result).curves]
    assert lives[0] == "at least 1 year" and lives[1].startswith("38 min [") and lives[2] == "none"


def test_a_score_of_which_less_is_better(base, tmp_path):
    result = store(
        {**base, "chips": 4, "factors": GRID}, tmp_path, lambda levels, seed, c, i: 0.9 - levels[NOISE] + CHIP[c]
    )
    found = findings(result, score="loss", budget=0.05)
    assert last(found, NOISE).between == "0 over 0.1" and last(found, NOISE).largest == near(0.1)
    assert {str(t) for t in found.thresholds if t.path == NOISE} == {"from 0.1 up (0.03 does not)"}
    (r,) = [c for c in found.correlations if c.columns == ("loss", NOISE) and c.age_s > 1e7]
    assert r.pearson.value == pytest.approx(1.0, abs=0.01) and r.spearman.value == pytest.approx(0.95, abs=0.06)
    with pytest.raises(WrongSetting, match="no score 'f1' is stored"):
        findings(result, score="f1")


def test_the_front_is_the_best_that_each_cost_buys(base, tmp_path):
    value = {2: 0.5, 4: 0.8, 6: 0.79}
    result = store(
        {**base, "chips": 4, "factors": GRID},
        tmp_path,
        lambda levels, seed, c, i: value[levels[BITS]] - levels[NOISE] + CHIP[c],
    )
    found = findings(result)
    (against,) = found.fronts
    assert against.path == BITS and [(p.cost, round(p.score.value - CHIP.mean(), 6)) for p in against.best] == [
        (2, 0.5),
        (4, 0.8),
    ]
    assert len(against.points) == 9 and not any(p.near for p in against.points if p.cost == 6)
    assert [p.cost for p in front(found.measured, NOISE).best] == [0.0]
    with pytest.raises(WrongSetting, match="is no cost and no factor of numbers"):
        findings(result, cost="hardware.adc.bits")


def test_a_correlation_has_fishers_interval_and_constant_columns_have_none(base, tmp_path):
    x, y = np.arange(20.0), np.arange(20.0) + 5 * np.random.default_rng(0).normal(size=20)
    found = interval(x, y, 0.95)
    r = np.corrcoef(x, y)[0, 1]
    assert found.value == pytest.approx(r)
    assert found.high == pytest.approx(math.tanh(math.atanh(r) + 1.959964 / math.sqrt(17)))
    result = store({**base, "factors": GRID}, tmp_path, lambda *_: 0.5)
    names = {name for one in findings(result).correlations for name in one.columns}
    assert names == {BITS, NOISE}  # score and loss do not vary


def test_a_table_of_a_sweep_knows_its_levels(base, tmp_path):
    table = measured(
        store({**base, "factors": {REACH: ["calibrated", "fixed"], READ: [True, False]}}, tmp_path, lambda *_: 0.5)
    )
    assert (
        table.worths.shape == (4, 1, 2, 2)
        and table.over == "chips"
        and table.levels[0] == {REACH: "calibrated", READ: True}
    )


def test_points_that_were_chosen_are_no_effects_and_costs_that_were_noted_have_fronts(base, tmp_path, monkeypatch):
    """A design that chooses: its first points alone tell effects, all of them the front."""
    from mho.sweeps.designs import Sobol

    monkeypatch.setattr(Sobol, "adaptive", True, raising=False)
    monkeypatch.setattr(Sobol, "start", 20, raising=False)
    result = store(
        {**base, "chips": 3, "factors": {BITS: [2, 4], NOISE: {"log": [0.001, 0.1]}}, "design": {"kind": "sobol", "trials": 32}},
        tmp_path, lambda levels, seed, c, i: 0.9 - levels[NOISE] + CHIP[c],
    )  # fmt: skip
    for trial in result.trials:
        trial["costs"] = {"cells": 100 * trial["factors"][BITS], "same": 1}
    found = findings(result)
    assert len(found.measured.points) == 32 and len(found.measured.drawn.points) == 20
    assert "on the 20 that were drawn" in str(found)
    cells, bits = found.fronts
    assert (cells.path, bits.path) == ("cells", BITS) and {p.cost for p in cells.points} == {200.0, 400.0}
    assert len(cells.points) == 32 and found.correlations[0].points == 20

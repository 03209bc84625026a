"""Trainings that are behind the others are given up, and said to be."""

from __future__ import annotations

import pytest
from test_engine import here

from mho.errors import WrongSetting
from mho.sweeps import Plan
from mho.sweeps.ledger import Job, Ledger
from mho.sweeps.pruning import Pruned, Pruning, Watch
from mho.tasks.score import ACCURACY

TRAINING = {"data": "tiny_sweep:data?n=90", "batch": 30, "epochs": 6, "schedule": "constant", "hardware": "pcm"}
RATES = [0.3, 0.2, 0.25, 0.35, 1e-5, 0.4, 1e-6]
"""Two of them learn nothing."""


def test_the_median_rule():
    rule = Pruning(after=2, least=3)
    assert rule.hopeless(2, 0.4, [0.1, 0.5, 0.6]) and not rule.hopeless(2, 0.5, [0.1, 0.5, 0.6])
    assert not rule.hopeless(1, 0.4, [0.1, 0.5, 0.6])  # every training is given two epochs
    assert not rule.hopeless(2, 0.4, [0.5, 0.6])  # too few to compare with


def test_successive_halving_lets_the_best_third_go_on_at_each_rung():
    rule = Pruning(rule="halving", after=2, factor=3)
    values = [0.1, 0.2, 0.3, 0.4, 0.5]
    for epoch in (2, 6, 18):
        assert [rule.hopeless(epoch, v, values) for v in (0.6, 0.45, 0.35, 0.05)] == [False, False, True, True]
    assert not any(rule.hopeless(epoch, 0.05, values) for epoch in (1, 3, 4, 5, 7))
    assert not rule.hopeless(2, 0.05, [0.4])


@pytest.mark.parametrize("more", [{}, {"validation": "tiny_sweep:data?n=40&first=3"}])
def test_hopeless_trainings_are_pruned_shown_and_neither_failed_nor_complete(base, tmp_path, more):
    factors = {"training.lr": RATES, "hardware.dac.bits": [3, 8]}
    given = {**base, "network": "tiny_sweep:random", "training": {**TRAINING, **more}, "factors": factors}
    result = here({**given, "pruning": {"after": 1, "least": 3}}, tmp_path / "pruned")
    assert {t["factors"]["training.lr"] for t in result.trials if t["state"] == "pruned"} >= {1e-5, 1e-6}
    lost = [t for t in result.trials if t["state"] == "pruned"]
    what = "accuracy" if more else "training loss"
    assert all(
        f"its training was pruned after epoch {1 if t['factors']['training.lr'] < 1e-3 else ''}" in t["error"]
        for t in lost
    )
    assert all(f": {what} " in t["error"] and "others is" in t["error"] for t in lost)
    counts = result.counts()
    assert counts["pruned"] == len(lost) and counts["done"] == 14 - len(lost) and counts["failed"] == 0
    assert f"{counts['done']} of 14 trials are done, {len(lost)} pruned" in str(result)
    assert not {row["training.lr"] for row in result.rows} & {t["factors"]["training.lr"] for t in lost}
    assert not list((tmp_path / "pruned" / "pieces").glob("*.fit"))
    assert Ledger(tmp_path / "pruned").retry() == 0  # no failure to try again
    whole = here(given, tmp_path / "whole")  # what was not pruned has the numbers that it has without pruning
    same = {(r["training.lr"], r["hardware.dac.bits"], r["chip"], r["age_s"]): r["score"] for r in whole.rows}
    assert all(same[r["training.lr"], r["hardware.dac.bits"], r["chip"], r["age_s"]] == r["score"] for r in result.rows)


def test_a_training_that_is_done_is_not_thrown_away():
    watch = Watch(Pruning(after=1, least=1), ACCURACY, 3, lambda epoch, value: (value, [0.9]))
    watch.log(0, {"epoch": 2, "epoch_loss": 1.0, "epoch_score": 0.1})  # the last one of three
    with pytest.raises(Pruned, match="after epoch 2: accuracy 0.1"):
        watch.log(0, {"epoch": 1, "epoch_loss": 1.0, "epoch_score": 0.1})


def test_epochs_are_noted_again_after_a_kill_and_compared_within_a_kind(tmp_path):
    jobs = [Job("a", "training", {}), Job("b", "training", {}), Job("c", "pretraining", {})]
    ledger = Ledger.create(tmp_path, {}, jobs, [], [])
    assert ledger.note_epoch(jobs[0], 1, 0.5) == (0.5, [])
    ledger.note_epoch(jobs[0], 2, 0.4)
    assert ledger.note_epoch(jobs[0], 2, 0.4) == (0.5, [])
    ledger.note_epoch(jobs[2], 1, 0.9)
    assert ledger.note_epoch(jobs[1], 1, 0.1) == (0.1, [0.5])
    assert ledger.note_epoch(jobs[1], 3, 0.2) == (0.2, [])  # the other one has not got so far


@pytest.mark.parametrize(
    ("pruning", "told"),
    [("median", "pruning"), ({"rule": "luck"}, "median.*halving"), ({"after": 0}, "after"), ({"epochs": 3}, "epochs")],
)
def test_bad_rules_are_refused(base, pruning, told):
    given = {**base, "training": TRAINING, "factors": {"training.lr": [0.1, 0.2]}, "pruning": pruning}
    with pytest.raises(WrongSetting, match=f"(?s){told}"):
        Plan.read(given)


HWA = {"weights": {"kind": "gaussian", "sigma": 0.1}}
VALIDATION = "tiny_sweep:data?n=40&first=3"


@pytest.mark.parametrize(
    ("stage", "factors"),
    [
        ({"hwa": HWA}, {"training.hwa.weights.sigma": [0.1, 0.2]}), ({"hardware": None}, {"hardware.noise.output": [0.0, 0.1]}),
        ({}, {"training.hardware": ["pcm", "hermes"]}), ({}, {"training.distillation": [None, [2, 0.5]]}),
        ({}, {"training": [{**TRAINING, "hwa": HWA}, {**TRAINING, "validation": VALIDATION}]}),
    ],
)  # fmt: skip
def test_losses_of_different_meaning_are_not_compared(base, stage, factors):
    given = {**base, "training": {**TRAINING, **stage}, "factors": factors}
    with pytest.raises(WrongSetting, match="cannot say which training is behind.*give training validation data"):
        Plan.read({**given, "pruning": {}})
    levels = [{**level, "validation": VALIDATION} for level in factors.get("training", [])]
    scored = {
        "training": {**given["training"], "validation": VALIDATION},
        "factors": {"training": levels} if levels else factors,
    }
    assert Plan.read({**given, **scored, "pruning": {}}).pruning and Plan.read(given)


def test_pruning_needs_a_training(base):
    with pytest.raises(WrongSetting, match="nothing is trained that could be pruned"):
        Plan.read({**base, "factors": {"hardware.dac.bits": [2, 4]}, "pruning": {}})

"""The summary's numbers, from ledgers that are made up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mho.statistics.crossed import crossed
from mho.statistics.intervals import Interval, mean_interval
from mho.sweeps import Plan, SweepResult, level_means, trials
from mho.sweeps.jobs import jobs_of
from mho.sweeps.ledger import Ledger

TRAINING = {"data": "tiny_sweep:data"}
BITS, NOISE = "hardware.dac.bits", "hardware.noise.output"


def made(base, folder, score, fail=(), **more):
    """A sweep whose scores are `score(levels, seed, chip, age)`."""
    plan = Plan.read({**base, **more})
    found = trials(plan)
    columns = [
        {
            "trial": t.number,
            "point": t.point,
            "seed": t.config.seed,
            "digest": t.config.digest(),
            "factors": json.dumps(t.levels),
        }
        for t in found
    ]
    jobs = [job for job in jobs_of(found) if job.kind == "trial"]
    jobs = [type(job)(job.name, job.kind, job.config) for job in jobs]
    ledger = Ledger.create(folder, {"plan": plan.as_dict()}, jobs, columns, list(plan.factors))
    for trial in found:
        job = ledger.claim("me")
        rows = [
            {
                "chip": c,
                "age_s": a,
                "samples": 10,
                "score": score(trial.levels, trial.config.seed, c, i),
                "loss": 0.0,
                "scores": {},
            }
            for c in range(plan.chips)
            for i, a in enumerate(plan.ages)
        ]
        if trial.number in fail:
            ledger.fail("me", "planted", name=job.name)
        else:
            ledger.finish(job, "me", seconds=1.0, versions="", rows=rows)
    return SweepResult(folder)


def near(interval):
    return Interval(*(pytest.approx(value) for value in (interval.value, interval.low, interval.high)))


def table(result):
    return {(mean.path, mean.level): mean for mean in level_means(result)}


def test_main_effects_of_a_grid_have_intervals_over_chips(base, tmp_path):
    chip = np.array([0.0, 0.01, 0.05])
    result = made(
        {**base, "chips": 3}, tmp_path, lambda levels, seed, c, i: levels[BITS] / 10 + levels[NOISE] - 0.1 * i + chip[c],
        factors={BITS: [2, 4], NOISE: [0.0, 0.1, 0.2]},
    )  # fmt: skip
    found = table(result)
    assert [(path, level) for path, level in found] == [
        (BITS, "2"),
        (BITS, "4"),
        *((NOISE, n) for n in ("0", "0.1", "0.2")),
    ]
    assert found[BITS, "4"].points == 3 and found[NOISE, "0.1"].points == 2
    for i in range(2):
        assert found[BITS, "4"].at[i] == near(mean_interval(0.5 - 0.1 * i + chip))
        assert found[NOISE, "0.2"].at[i] == near(mean_interval(0.5 - 0.1 * i + chip))
    # Chips are the same in every trial, so that what they have in common cancels.
    assert found[BITS, "2"].gain is None and found[BITS, "4"].gain == near(Interval(0.2, 0.2, 0.2))
    assert "+20.00 points [+20.00, +20.00]" in str(result)
    assert "best 5 of 6 points after 1 year" in str(result) and "interval over chips" in str(result)


def test_a_level_that_other_factors_rest_on_is_compared_over_them(base, tmp_path):
    reach, bound = "hardware.adc.range", "hardware.adc.bound"
    factors = {reach: ["calibrated", "fixed"], bound: {"values": [5, 15], "when": {reach: "fixed"}}, BITS: [2, 4]}
    result = made(
        base, tmp_path, lambda levels, seed, c, i: levels[BITS] / 10 - 0.01 * (levels[bound] or 0), factors=factors
    )
    found = table(result)
    assert found[reach, "fixed"].gain == near(Interval(-0.1, -0.1, -0.1)) and found[reach, "fixed"].points == 4
    assert found[bound, "15"].gain == near(Interval(-0.1, -0.1, -0.1)) and found[BITS, "4"].gain == near(
        Interval(0.2, 0.2, 0.2)
    )


def test_training_seeds_and_chips_are_both_random(base, tmp_path):
    rng = np.random.default_rng(0)
    shift = rng.normal(size=(4, 5)) * 0.02
    result = made(
        {**base, "chips": 5}, tmp_path, lambda levels, seed, c, i: 0.5 + levels[NOISE] + shift[seed, c],
        factors={NOISE: [0.0, 0.1]}, training=TRAINING, seeds=4,
    )  # fmt: skip
    assert table(result)[NOISE, "0.1"].at[0] == near(crossed(0.6 + shift, 0.95))


def test_points_that_are_drawn_have_intervals_over_points(base, tmp_path):
    result = made(
        base, tmp_path, lambda levels, seed, c, i: levels[BITS] / 10 + levels[NOISE],
        factors={BITS: [2, 4], NOISE: {"linear": [0, 0.1]}}, design={"kind": "lhs", "trials": 16},
    )  # fmt: skip
    noises = [t["factors"][NOISE] for t in result.trials if t["factors"][BITS] == 4]
    found = table(result)
    assert found[BITS, "4"].at[0] == near(mean_interval(0.4 + np.array(noises)))
    assert all(mean.gain is None for mean in found.values())
    parts = [mean for (path, _), mean in found.items() if path == NOISE]
    assert [part.points for part in parts] == [4] * 4  # a span of many levels is cut into four


def test_around_a_base_the_others_stay_there(base, tmp_path):
    result = made(
        base, tmp_path, lambda levels, seed, c, i: levels[BITS] / 10 + levels[NOISE],
        factors={BITS: [2, 8], NOISE: [0.0, 0.1]}, design="one_at_a_time",
    )  # fmt: skip
    found = {key: mean.at[0].value for key, mean in table(result).items()}
    assert found == pytest.approx({
        (BITS, "2"): 0.24, (BITS, "8"): 0.84, (NOISE, "0"): 0.8, (NOISE, "0.04"): 0.84, (NOISE, "0.1"): 0.9,
    })  # fmt: skip


def test_points_with_a_failed_trial_are_left_out_and_it_is_said(base, tmp_path):
    result = made(
        base,
        tmp_path,
        lambda levels, seed, c, i: levels[BITS] / 10,
        fail=[1],
        factors={BITS: [2, 4], NOISE: [0.0, 0.1]},
    )
    found = table(result)
    assert (found[BITS, "2"].points, found[NOISE, "0.1"].points) == (1, 1)
    assert found[BITS, "4"].gain == near(Interval(0.2, 0.2, 0.2))  # of the pair that is whole
    assert found[NOISE, "0.1"].gain == near(Interval(0, 0, 0))
    left = "left out, so that all levels have the same others: 1 of 2 combinations of the other factors"
    assert f"{BITS}: {left}" in str(result) and f"{NOISE}: {left}" in str(result)
    assert "3 of 4 trials are done, 1 failed" in str(result) and "failed (1): planted" in str(result)


def test_levels_of_an_incomplete_grid_are_compared_among_the_same_others(base, tmp_path):
    """Where the noise alone matters, and the few bits lack the worst of it, they are no better for that."""
    result = made(
        base,
        tmp_path,
        lambda levels, seed, c, i: 0.9 - levels[NOISE],
        fail=[2],
        factors={BITS: [2, 4], NOISE: [0.0, 0.1, 0.4]},
    )
    found = table(result)
    assert [(found[BITS, bits].at[0].value, found[BITS, bits].points) for bits in "24"] == [
        (pytest.approx(0.85), 2)
    ] * 2
    assert found[BITS, "4"].gain.value == pytest.approx(0)
    nothing = made(base, tmp_path / "none", lambda *_: 0.5, fail=[1, 2], factors={BITS: [2, 4], NOISE: [0.0, 0.1]})
    assert level_means(nothing) == [] and f"{BITS}: no two levels are measured with the same others yet" in str(nothing)

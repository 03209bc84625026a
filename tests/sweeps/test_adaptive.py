"""Designs that choose their points by what is measured."""

from __future__ import annotations

import math
import signal
import sys
import time

import pytest
import yaml
from test_engine import HERE, done, here

from mho.errors import MissingExtra, WrongSetting
from mho.sweeps import Plan, SweepResult, findings, preview
from mho.sweeps.designs import DESIGNS
from mho.sweeps.designs.adaptive import Tried
from mho.sweeps.factor import Factor
from mho.sweeps.front import unbeaten
from mho.sweeps.ledger import Ledger
from mho.sweeps.worker import work

BITS, NOISE = "hardware.adc.bits", "hardware.noise.output"
FACTORS = {BITS: [2, 3, 4, 5, 6, 8], NOISE: {"log": [0.01, 0.5]}}
BAYESIAN = {"kind": "bayesian", "trials": 8, "start": 4, "seed": 1}


@pytest.fixture
def optuna():
    return pytest.importorskip("optuna", reason="pip install 'mho[sweep]'")


def chosen(design, factors, value, many):
    """The points of a design whose objectives are functions of the point."""
    read = {path: Factor.model_validate(levels) for path, levels in factors.items()}
    tried = [Tried(point, "done", value(point)) for point in design.points(read, {})]
    while len(tried) < many and (point := design.choose(read, tried)) is not None:
        tried.append(Tried(point, "done", value(point)))
    return tried


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_chosen_points_are_where_the_objective_is_large(optuna, sampler):
    factors = {"x": {"log": [0.01, 1.0]}, "n": [2, 4, 8], "kind": ["good", "bad", "worse"]}
    design = DESIGNS.find("bayesian").parse(
        {"kind": "bayesian", "trials": 24, "start": 8, "sampler": sampler, "seed": 3}
    )
    tried = chosen(
        design, factors, lambda p: (-((math.log10(p["x"]) + 1) ** 2) - p["n"] / 8 - 2 * (p["kind"] != "good"),), 24
    )
    first, last = tried[:8], tried[-8:]
    assert sum(each.values[0] for each in last) / 8 > sum(each.values[0] for each in first) / 8 + 0.5
    best = max(tried, key=lambda each: each.values)
    assert best.point["kind"] == "good" and best.point["n"] == 2 and 0.05 < best.point["x"] < 0.2
    assert len({str(each.point) for each in tried}) == 24  # none twice


def test_a_front_is_looked_for_where_there_are_several_objectives(optuna):
    design = DESIGNS.find("multi_objective").parse(
        {"kind": "multi_objective", "trials": 40, "start": 8, "objectives": ["score", "n"]}
    )
    factors = {"x": {"linear": [0.0, 1.0]}, "n": [1, 2, 3, 4]}
    tried = chosen(design, factors, lambda p: (p["n"] / 10 - 4 * (p["x"] - 0.5) ** 2, float(p["n"])), 40)
    off = [abs(each.point["x"] - 0.5) for each in tried]
    assert sum(off[-16:]) / 16 < 0.7 * sum(off[:8]) / 8 and {each.point["n"] for each in tried[8:]} == {1, 2, 3, 4}


def test_conditions_hold_and_a_small_space_ends(optuna):
    factors = {
        "reach": ["calibrated", "fixed"],
        "bound": {"values": [5, 10, 15], "when": {"reach": "fixed"}},
        "z": [0, 1],
    }
    design = DESIGNS.find("bayesian").parse({"kind": "bayesian", "trials": 50, "start": 3})
    tried = chosen(design, factors, lambda p: (p.get("bound", 0) + p["z"],), 50)
    assert len(tried) == 2 * (1 + 3)
    assert all(("bound" in each.point) == (each.point["reach"] == "fixed") for each in tried)


@pytest.mark.parametrize("kind", ["bayesian", "multi_objective"])
def test_failed_pruned_and_running_points_are_no_obstacle(optuna, kind):
    more = {"objectives": ["score", "n"]} if kind == "multi_objective" else {}
    design = DESIGNS.find(kind).parse({"kind": kind, "trials": 9, "start": 2, **more})
    factors = {"x": Factor.model_validate({"linear": [0.0, 1.0]}), "n": Factor.model_validate([1, 2])}
    values = (0.5,) if kind == "bayesian" else (0.5, 1.0)
    tried = [Tried({"x": 0.1 * i, "n": 1}, "done", values) for i in range(3)]
    tried += [Tried({"x": 0.5, "n": 2}, state) for state in ("failed", "pruned", "running")]
    tried += [Tried({"x": 0.6, "n": 2}, "done", None)]  # without a loss, say
    assert design.choose(factors, tried) not in [each.point for each in tried]


def test_an_uninterrupted_sweep_is_the_same_twice_and_takes_the_levels_of_its_factors(optuna, base, tmp_path):
    given = {**base, "factors": FACTORS, "design": BAYESIAN, "costs": ["cells"]}
    one, two = (here(given, tmp_path / name) for name in "ab")
    assert one.rows == two.rows and one.counts()["done"] == 8 and len(one.rows) == 8 * 5
    assert all(t["factors"][BITS] in FACTORS[BITS] and 0.01 <= t["factors"][NOISE] <= 0.5 for t in one.trials)
    assert one.trials[0]["costs"] == {"cells": 2 * (16 * 8 + 8 * 3)} and one.rows[0]["cells"] == 304
    text = str(preview(given))
    assert "8 points (bayesian: 4 drawn, 4 chosen by what is measured)" in text and "8 trials: 32 evaluations" in text


@pytest.mark.slow
def test_kill_9_of_all_and_the_same_command_have_the_trials_of_a_sweep_that_was_never_killed(
    commands, optuna, base, tmp_path
):
    file, out = tmp_path / "slow.yaml", tmp_path / "out"
    slow = {**base, "network": "tiny_sweep:net?slow=0.05", "chips": 1, "factors": FACTORS, "design": BAYESIAN}
    file.write_text(yaml.safe_dump(slow))
    command = ["sweep", file, "--out", out, "--no-report"]
    one = commands.start(*command, env=HERE)
    end = time.monotonic() + 180
    while done(out) < 5:  # in the middle of what is chosen
        assert one.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    one.send_signal(signal.SIGKILL)
    one.wait()
    while any((out / "owners").iterdir()):  # its worker ends with it
        Ledger(out).recover()
        [path.unlink() for path in (out / "owners").iterdir() if not Ledger(out).counts()["running"]]
        assert time.monotonic() < end
        time.sleep(0.05)
    assert commands.run(*command, env=HERE).returncode == 0
    again, straight = SweepResult(out), here(slow, tmp_path / "straight")
    assert again.counts() == {"open": 0, "running": 0, "done": 8, "failed": 0}
    assert [t["factors"] for t in again.trials] == [t["factors"] for t in straight.trials]
    assert again.rows == straight.rows


def test_two_processes_choose_together(commands, optuna, base, tmp_path):
    file, out = tmp_path / "slow.yaml", tmp_path / "out"
    slow = {**base, "network": "tiny_sweep:net?slow=0.05", "chips": 1, "factors": FACTORS}
    slow["design"] = {**BAYESIAN, "trials": 10}
    file.write_text(yaml.safe_dump(slow))
    two = commands.start("sweep", file, "--out", out, "--no-report", env=HERE)
    end = time.monotonic() + 180
    while not done(out):
        assert two.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    work(out, "here")
    assert two.wait(180) == 0 and "10 of 10 trials are done" in two.stdout, two.stderr
    result = SweepResult(out)
    assert len({str(t["factors"]) for t in result.trials}) == 10
    assert len({row["owner"] for row in Ledger(out).rows("SELECT owner FROM jobs")}) == 2


def test_trained_points_are_means_over_seeds_and_a_training_that_fails_is_passed_over(optuna, base, tmp_path):
    training = {"data": "tiny_sweep:data", "batch": 20, "epochs": 1}
    factors = {"training.lr": [0.01, 0.1, 1e38], BITS: [3, 8]}
    design = {"kind": "multi_objective", "trials": 5, "start": 2, "objectives": ["score", {BITS: "least"}]}
    result = here({**base, "training": training, "seeds": 2, "factors": factors, "design": design}, tmp_path)
    assert len(result.trials) == 10 and {t["point"] for t in result.trials} == set(range(5))
    lost = [t for t in result.trials if t["factors"]["training.lr"] == 1e38]
    assert all(t["state"] == "failed" and "its training failed" in t["error"] for t in lost)
    assert {t["state"] for t in result.trials if t not in lost} == {"done"}


def test_the_front_is_shown(optuna, base, tmp_path):
    design = {"kind": "multi_objective", "trials": 4, "start": 4, "objectives": ["score", BITS, {"cells": "least"}]}
    result = here({**base, "factors": {BITS: [2, 8]}, "costs": "cells", "design": {**design, "start": 2}}, tmp_path)
    assert " of 2 points that no other one beats" in str(result) and "accuracy  hardware.adc.bits  cells" in str(result)
    assert unbeaten([(1.0, 2.0), (1.0, 3.0), (0.5, 1.0), (2.0, 3.0), (1.0, 2.0)], [True, False]) == [0, 2, 3, 4]


def test_effects_rest_on_the_points_that_were_drawn_which_may_be_fewer_than_were_asked_for(optuna, base, tmp_path):
    """Five draws among six combinations hit one twice."""
    factors, design = {BITS: [2, 3, 8], NOISE: [0.0, 0.1]}, {"kind": "bayesian", "trials": 6, "start": 5}
    found = findings(here({**base, "factors": factors, "design": design}, tmp_path))
    assert len(found.measured.points) == 6 and found.measured.drawn.points.tolist() == [0, 1, 2, 3]
    assert "2 of 6 points were chosen by what was measured before" in str(found)


def test_levels_that_do_not_go_together_fail_and_the_sweep_goes_on(optuna, base, tmp_path):
    factors = {
        "hardware.variations.0.redraw": ["program", "mvm"],
        "hardware.variations.0.distribution": ["normal", "uniform"],
    }
    hardware = {"preset": "pcm", "variations": [{"sigma": 0.3, "relative_to": "gmax", "clip": "none"}]}
    design = {"kind": "bayesian", "trials": 4, "start": 1, "seed": 2}
    result = here({**base, "hardware": hardware, "factors": factors, "design": design}, tmp_path)
    assert result.counts() == {"open": 0, "running": 0, "done": 3, "failed": 1}
    assert "cannot be drawn per product" in next(t["error"] for t in result.trials if t["error"])


@pytest.mark.parametrize(
    ("design", "told"),
    [
        ({"kind": "bayesian"}, "trials"), ({"kind": "bayesian", "trials": 5, "sampler": "cma"}, "sampler.*tpe"),
        ({"kind": "bayesien", "trials": 5}, "unknown design 'bayesien'"),
        ({"kind": "bayesian", "trials": 5, "objective": "speed"}, "unknown objective 'speed'.*score, loss, arrays, cells"),
        ({"kind": "bayesian", "trials": 5, "objective": "cells"}, r"'cells' is not noted.*add costs: \[cells\]"),
        ({"kind": "bayesian", "trials": 5, "objective": {"score": "least"}}, "the least score"),
        ({"kind": "bayesian", "trials": 5, "objective": {"score": "both"}}, "most.*least"),
        ({"kind": "bayesian", "trials": 5, "age": "1 day"}, "age is none of the sweep's ages"),
        ({"kind": "bayesian", "trials": 5, "age": "soon"}, "soon"),
        ({"kind": "multi_objective", "trials": 5, "objectives": ["score"]}, "two or more"),
        ({"kind": "multi_objective", "trials": 5, "objectives": ["score", "hardware.adc.range"]}, "levels that are no numbers"),
        ({"kind": "multi_objective", "trials": 5, "objectives": ["score", "hardware.adc.bound"]}, "has a condition"),
    ],
)  # fmt: skip
def test_bad_designs_are_refused_by_name(optuna, base, design, told):
    reach = "hardware.adc.range"
    factors = {
        BITS: [4, 8],
        reach: ["calibrated", "fixed"],
        "hardware.adc.bound": {"values": [5, 9], "when": {reach: "fixed"}},
    }
    with pytest.raises(WrongSetting, match=f"(?s){told}"):
        Plan.read({**base, "factors": factors, "design": design})


def test_without_optuna_the_extra_is_named_and_other_designs_need_none(base, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"the design 'bayesian' needs 'optuna'.*pip install 'mho\[sweep\]'"):
        preview({**base, "factors": FACTORS, "design": BAYESIAN})
    assert len(Plan.read({**base, "factors": FACTORS, "design": {"kind": "sobol", "trials": 4}}).points()) == 4


def test_a_cost_makes_a_factor_act_that_changes_no_answer(base):
    factors = {"hardware.array.cols": [2, 512]}
    quiet = {**base, "hardware": {"preset": "pcm", "compensation": {"kind": "none"}}, "factors": factors}
    with pytest.raises(WrongSetting, match="it has no effect"):
        preview(quiet)
    assert "or costs, differ" in str(preview({**quiet, "costs": "arrays"}))
    with pytest.raises(WrongSetting, match="unknown cost 'energy'"):
        Plan.read({**quiet, "costs": ["energy"]})

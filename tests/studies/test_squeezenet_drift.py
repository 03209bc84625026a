"""The study of SqueezeNet and drift: what is measured is what `mho.drift` measures, and made-up rows decide its claims."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

import mho
from mho.studies import Outcome, Results
from mho.studies.outcome import NotStored
from mho.studies.squeezenet import cost_of_training
from mho.studies.squeezenet.claims import CLAIMS, threshold
from mho.studies.squeezenet.detector import AGES, METRICS, Detector
from mho.studies.squeezenet.noise_grid import Grid, interval
from mho.studies.squeezenet.person import SETTINGS, Trained, hardware
from mho.studies.squeezenet.shown import figures, tables
from mho.studies.squeezenet.study import SqueezeArm, SqueezeNetDrift
from mho.tasks.binary import Logit
from mho.units import seconds

LEVELS = (0.0, 0.01, 0.03, 0.1, 0.3)
TIMES = [seconds(age) for age in AGES]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return Trained(SETTINGS["smoke"], tmp_path_factory.mktemp("weights"), 0)


@pytest.fixture(scope="module")
def detector(trained):
    setting = SETTINGS["smoke"]
    model = trained.retrained((0.1, 0.1))
    return Detector(model, setting.data("calibration"), setting.data("test"), setting.images, setting.chips)


def test_it_measures_what_drift_measures(detector):
    hw = hardware((0.1, 0.1))
    rows = list(detector.on(hw, ("GDC",), ("60 s", "1 year")))
    net = mho.to_analog(detector.model, hw, example=detector.test.inputs[:2])
    mho.calibrate(net, detector.calibration)
    for row in rows:
        part = slice(row["chip"] * 100, row["chip"] * 100 + 100)
        batches = [(detector.test.inputs[part], detector.test.labels[part])]
        run = mho.drift(net, batches, ["60 s", "1 year"], chips=2, task=Logit())
        chip = [m for m in run.measurements if m.chip == row["chip"]]
        assert [m.accuracy for m in chip] == pytest.approx(row["accuracy"])
        assert [m.loss for m in chip] == pytest.approx(row["loss"], rel=1e-3)
        assert [m.predicted[1] / 100 for m in chip] == pytest.approx(row["positive"])


def test_ways_differ_and_recalibration_matches_the_digital_rate(detector):
    rows = {row["compensation"]: row for row in detector.on(hardware((0.1, 0.1)), ("none", "GDC", "exact GDC", "recalibrated"),
                                                            ("1 month",), chips=(0,))}  # fmt: skip
    assert rows["none"]["accuracy"][0] < rows["exact GDC"]["accuracy"][0]
    assert len({tuple(row["loss"]) for row in rows.values()}) == 4
    assert abs(rows["recalibrated"]["positive"][0] - 0.5) < 0.15


def test_a_network_is_trained_once_and_again_with_noise(trained):
    first = trained.digital().state_dict()
    again = trained.digital().state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    noisy = trained.retrained((0.1, 0.1)).state_dict()
    assert not torch.equal(noisy["features.0.weight"], first["features.0.weight"])
    clean = trained.retrained((0.0, 0.0)).state_dict()
    assert not torch.equal(noisy["features.0.weight"], clean["features.0.weight"])


def _row(trained, noise, compensation, chip, accuracy, loss=0.2, auc=0.95, positive=0.5, **more):
    ages = len(TIMES)
    values = {
        "loss": loss,
        "balanced": accuracy,
        "accuracy": accuracy,
        "auc": auc,
        "f1": accuracy,
        "positive": positive,
    }
    lists = {name: (value if isinstance(value, list) else [value] * ages) for name, value in values.items()}
    return {"trained": list(trained), "noise": list(noise), "compensation": compensation, "chip": chip, "images": 200,
            "share": 0.47, "ages_s": TIMES, **lists, **more}  # fmt: skip


def _stored(cost, seeds=3, chips=5):
    """Matched arms: digital accuracy 0.94; on chips 0.93 less the `cost` of (weight, output, compensation, place of age)."""
    generator, results = np.random.default_rng(0), {}
    for w in LEVELS:
        arm, runs = SqueezeArm(f"matched-{w:g}", f"{w:g}", seeds=seeds, weight=w), {}
        for seed in range(seeds):
            runs[seed] = []
            for o in LEVELS:
                flat = {name: [0.94] for name in METRICS}
                runs[seed].append({"trained": [w, o], "compensation": "digital", "images": 1000, "share": 0.47, **flat})
                for way, chip in product(("none", "GDC", "exact GDC", "recalibrated"), range(chips)):
                    noise = generator.normal(0, 0.0005)
                    at = [float(max(0.47, 0.93 - cost(w, o, way, i) + noise)) for i in range(len(TIMES))]
                    runs[seed].append(_row((w, o), (w, o), way, chip, at, loss=[1 - a for a in at]))
        results[arm.name] = Outcome(arm, runs)
    return Results(results)


def _like_predicted(w, o, way, age):
    """Weights cost little, outputs much where the compensation reads through them; without any all is lost from an hour on."""
    if way == "none":
        return 0.5 if age > 1 else 0.0
    lost = 0.02 * (w > 0.1) + {0.1: 0.04, 0.3: 0.2}.get(o, 0.0) * (way == "GDC") * (age > 1)
    return lost / 2 if way == "recalibrated" else lost


def _judged(results):
    return {claim.sentence: claim.judge(results) for claim in CLAIMS}


def _verdict(found, beginning):
    return next(finding.verdict for sentence, finding in found.items() if sentence.startswith(beginning))


def test_claims_on_rows_as_predicted():
    found = _judged(_stored(_like_predicted))
    assert _verdict(found, "Weight noise decides") == "depends"  # with an exact reading it does, else output noise
    assert _verdict(found, "Output noise up to 0.03") == "holds"
    assert _verdict(found, "The cost of output noise is made") == "holds"
    assert _verdict(found, "Weight noise of 0.3 diverges") == "fails"
    assert _verdict(found, "53 % accuracy") == "fails"
    assert _verdict(found, "The digital network") == "holds"
    assert _verdict(found, "A model becomes unusable") == "fails"
    assert _verdict(found, "Compensation decides") == "holds"
    assert _verdict(found, "An exact reading gains more") == "holds"
    assert _verdict(found, "What makes a model unusable") == "holds"
    for beginning in ("More steps of the input", "Training with the noise"):
        assert _verdict(found, beginning) == "open"


def test_claims_turn_with_the_rows():
    found = _judged(_stored(lambda w, o, way, age: 0.3 * (w > 0.05) + 0.02 * (o > 0) + 0.02 * w))
    assert _verdict(found, "Weight noise decides") == "holds"
    assert _verdict(found, "Output noise up to 0.03") == "fails"
    assert _verdict(found, "The cost of output noise is made") == "fails"
    assert _verdict(found, "An exact reading gains more") == "depends"


def test_thresholds():
    tables = [(level, np.full((5, 3), cost) + np.linspace(0, 1e-4, 15).reshape(5, 3)) for level, cost in
              zip(LEVELS, (0.0, 0.001, 0.002, 0.02, 0.3), strict=True)]  # fmt: skip
    assert threshold(tables) == (0.03, 0.1)
    assert threshold(tables[:3]) == (0.03, math.inf)


def test_tables_pair_chips_and_seeds():
    grid = Grid(outcome.runs for outcome in _stored(_like_predicted).values())
    assert grid.levels == (LEVELS, LEVELS) and grid.seeds == [0, 1, 2]
    assert grid.at("accuracy", "1 day", (0.0, 0.3)).shape == (5, 3)
    assert interval(grid.loss("1 day", "output", 0.3)).value == pytest.approx(0.2, abs=1e-3)
    assert grid.share() == 0.47
    with pytest.raises(NotStored):
        grid.at("accuracy", "1 day", (0.0, 0.2))


def test_a_seed_that_some_arms_lack_is_left_out():
    results = _stored(_like_predicted)
    short = results["matched-0.3"]
    results["matched-0.3"] = Outcome(short.arm, {0: short.runs[0], 2: short.runs[2]})
    assert Grid(outcome.runs for outcome in results.values()).seeds == [0, 2]


def test_what_is_drawn_of_half_a_study():
    results = _stored(_like_predicted)
    assert {figure.name for figure in figures(results)} >= {"weight", "output", "reading", "decision"}
    heads = [table.head[0] for table in tables(results)]
    assert any("1 year, exact GDC" in head for head in heads) and not any("DAC" in head for head in heads)
    assert figures(Results()) == [] == tables(Results())


def test_arms_at_every_scale():
    study = SqueezeNetDrift()
    for scale in ("smoke", "cpu", "full"):
        names = [arm.name for arm in study.arms(scale)]
        assert len(names) == len(set(names))
        assert [name for name in names if name.startswith("matched")] and "converters" in names
    assert {arm.seeds for arm in study.arms("cpu") if arm.work == "matched"} == {3}


def test_time_and_memory_of_a_pass_and_a_step(monkeypatch):
    """In this process: that each stands in one of its own is seen where the other study of costs runs (`test_smoke`)."""
    monkeypatch.setattr(cost_of_training, "in_fresh_process", lambda work, *arguments: work(*arguments))
    rows = cost_of_training.cost_of(size=64, batch=4, repeats=1)
    assert [row["hardware"] for row in rows] == ["digital", "squeezenet-2022", "pcm-cells"]
    assert all(row["step_ms"] > 0 and row["pass_ms"] > 0 for row in rows)
    shown = tables(Results({"cost": Outcome(SqueezeArm("cost", "cost", work="cost"), {0: rows})}))
    assert "(1.00 ×)" in shown[-1].rows[0][2]


def test_a_digital_network_that_needs_no_more_memory_gives_no_ratio():
    row = {
        "network": "n",
        "hardware": "digital",
        "batch": 8,
        "pass_ms": 2.0,
        "pass_mb": 0.0,
        "step_ms": 4.0,
        "step_mb": 3.0,
    }
    rows = [row, {**row, "hardware": "pcm-cells", "pass_mb": 5.0, "step_mb": 6.0}]
    shown = tables(Results({"cost": Outcome(SqueezeArm("cost", "cost", work="cost"), {0: rows})}))
    assert shown[-1].rows[1][2:] == ("2 (1.00 ×)", "5", "4 (1.00 ×)", "6 (2.00 ×)")

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import tiny_sweep
import torch
import yaml

import mho
from mho.errors import BadResults, MhoError, WrongSetting
from mho.models import resolve
from mho.nn.matrix import matrices
from mho.recalibration import RecalibrateAffine
from mho.rng import reads
from mho.sweeps import Plan, SweepResult, engine, preview, sweep, trials
from mho.sweeps.jobs import jobs_of
from mho.sweeps.ledger import Ledger
from mho.sweeps.run import _begin
from mho.sweeps.worker import work
from mho.training import HWA, Gaussian

HERE = {"PYTHONPATH": os.pathsep.join([str(Path(tiny_sweep.__file__).parent), *sys.path])}
"""Where commands find the network of these tests."""


def begun(base, folder, **more):
    """A sweep that has not run yet."""
    return _begin(folder, preview({**base, **more}))


def here(base, folder, **more):
    """A sweep done in this process: without worker processes, by what they do."""
    begun(base, folder, **more).close()
    work(folder, "here")
    return SweepResult(folder)


def scores(result, trial):
    return [row["score"] for row in result.rows if row["trial"] == trial and row["chip"] >= 0]


def test_a_trial_has_the_numbers_of_drift_to_the_digit(base, tmp_path):
    factors = {
        "hardware.dac.bits": [3, 8], "hardware.noise.output": [0.0, 0.2], "hardware.compensation.kind": ["global", "none"],
        "hardware.faults.stuck_low": [0.0, 0.2], "hardware.write_verify.rounds": [1, 3],
    }  # fmt: skip
    result = here({**base, "factors": factors, "design": {"kind": "lhs", "trials": 8}}, tmp_path)
    for trial in trials(result.plan):
        net = mho.to_analog(tiny_sweep.net(), trial.config.hardware, example=tiny_sweep.data()[0][0][:2])
        mho.calibrate(net, tiny_sweep.data())
        direct = mho.drift(net, tiny_sweep.data(), "1 h, 1 year", chips=2)
        assert scores(result, trial.number) == direct.scores.flatten().tolist()
        digital = [row["score"] for row in result.rows if (row["trial"], row["chip"]) == (trial.number, -1)]
        assert digital == [direct.digital.mean]
    found = [each["shared"] for each in result.trials]
    assert sum(each.get("ranges found", 0) for each in found) > 0  # ranges do not rest on faults, compensation, writes


def test_recalibrated_and_refreshed_chips_have_the_numbers_of_drift(base, tmp_path):
    factors = {"evaluation.recalibrate": [[], ["affine"]], "evaluation.refresh": [None, "1 month"]}
    result = here({**base, "ages": "1 h, 1 year", "factors": factors}, tmp_path)
    net = mho.to_analog(tiny_sweep.net(), "pcm", example=tiny_sweep.data()[0][0][:2])
    mho.calibrate(net, tiny_sweep.data())
    for trial in trials(result.plan):
        kinds, refresh = trial.levels["evaluation.recalibrate"], trial.levels["evaluation.refresh"]
        told = {"recalibrate": [RecalibrateAffine(tiny_sweep.data(), net) for _ in kinds], "refresh": refresh}
        direct = mho.drift(net, tiny_sweep.data(), "1 h, 1 year", chips=2, **told)
        assert scores(result, trial.number) == direct.scores.flatten().tolist()
    assert [each["shared"].get("converted found", 0) for each in result.trials] == [0, 1, 1, 1]  # one network for all


def test_a_trained_trial_has_the_numbers_of_training_by_hand(base, tmp_path):
    told = {"data": "tiny_sweep:data?n=90", "epochs": 2, "batch": 30, "lr": 0.1}
    recipe = {"weights": {"kind": "gaussian", "sigma": 0.1}}
    more = {
        "network": "tiny_sweep:random", "seeds": [3, 4], "pretraining": {**told, "epochs": 4},
        "training": {**told, "hwa": recipe, "hardware": {"preset": "pcm", "noise": {"output": 0.1}}},
        "factors": {"training.hwa.weights.sigma": [0.0, 0.2], "hardware.dac.bits": [3, 8]},
    }  # fmt: skip
    result = here(base, tmp_path, **more)
    samples = tiny_sweep.data(n=90)
    options = {"batch": 30, "lr": 0.1, "progress": False}
    for seed in (3, 4):
        with reads("sweep", "weights", seed):
            model = tiny_sweep.random()
        mho.fit(model, samples, epochs=4, seed=seed, **options)
        for sigma in (0.0, 0.2):
            net = mho.calibrate(mho.to_analog(model, mho.Hardware.preset("pcm", noise__output=0.1)), samples)
            mho.fit(net, samples, epochs=2, hwa=HWA(weights=Gaussian(sigma=sigma)), seed=seed, **options)
            for bits in (3, 8):
                last = mho.to_analog(mho.to_digital(net), mho.Hardware.preset("pcm", dac__bits=bits))
                direct = mho.drift(mho.calibrate(last, samples), tiny_sweep.data(), "1 h, 1 year", chips=2)
                levels = {"training.hwa.weights.sigma": sigma, "hardware.dac.bits": bits}
                number = next(t["trial"] for t in result.trials if (t["seed"], t["factors"]) == (seed, levels))
                assert scores(result, number) == direct.scores.flatten().tolist()
    assert result.trainings() == 2 + 2 * 2  # for 8 trials: bits change nothing that is trained
    assert "6 trainings serve 8 trials" in str(result)


def test_a_training_that_diverges_is_told_before_and_recorded(base, tmp_path):
    training = {"data": "tiny_sweep:data", "batch": 20, "epochs": 2}
    more = {"training": training, "factors": {"training.lr": [0.01, 1e38], "hardware.dac.bits": [4, 8]}}
    assert "1e+38 fails: " in str(preview({**base, **more}))
    result = here(base, tmp_path, **more)
    errors = {(t["factors"]["training.lr"], t["factors"]["hardware.dac.bits"]): t["error"] for t in result.trials}
    assert errors[0.01, 4] is errors[0.01, 8] is None
    assert all("its training failed: the loss is" in errors[1e38, bits] for bits in (4, 8))
    assert "2 failed" in str(result) and "failed (1): its training failed" in str(result)


def test_trainings_that_other_code_or_a_crash_left_unfinished_are_begun_anew(base, tmp_path):
    more = {"training": {"data": "tiny_sweep:data", "batch": 20}, "factors": {"training.lr": [0.01, 0.1]}}
    ledger = begun(base, tmp_path / "left", **more)
    jobs = [row["job"] for row in ledger.rows("SELECT job FROM jobs WHERE kind = 'training'")]
    ledger.close()
    for job, left in zip(jobs, ('{"batch": 1}', "{"), strict=True):
        folder = tmp_path / "left" / "pieces" / f"{job}.fit"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(left)
    work(tmp_path / "left", "here")
    found, wanted = SweepResult(tmp_path / "left"), here(base, tmp_path / "new", **more)
    assert found.counts()["done"] == 2 and [scores(found, n) for n in (0, 1)] == [scores(wanted, n) for n in (0, 1)]


def test_learned_ranges_are_those_that_training_left(base, tmp_path):
    hw = {"preset": "pcm", "dac": {"range": "learned"}}
    training = {"data": "tiny_sweep:data", "batch": 20, "lr": 0.5, "epochs": 2}
    more = {"hardware": hw, "training": training, "factors": {"training.lr": [0.1, 0.5]}}
    result = here(base, tmp_path, **more)
    with reads("sweep", "weights", 0):
        net = mho.to_analog(tiny_sweep.net(), mho.Hardware.preset("pcm", dac__range="learned"))
    mho.calibrate(net, tiny_sweep.data())
    before = matrices(net)[0].input_range.item()
    mho.fit(net, tiny_sweep.data(), epochs=2, batch=20, lr=0.5, progress=False)
    assert matrices(net)[0].input_range.item() != before
    again = mho.calibrate(
        mho.to_analog(mho.to_digital(net), mho.Hardware.preset("pcm", dac__range="learned")), tiny_sweep.data()
    )
    with torch.no_grad():
        for mine, trained in zip(matrices(again), matrices(net), strict=True):
            mine.input_range.copy_(trained.input_range)
    direct = mho.drift(again, tiny_sweep.data(), "1 h, 1 year", chips=2)
    assert scores(result, 1) == direct.scores.flatten().tolist()


def test_trials_that_die_are_recorded_and_the_sweep_goes_on(base, tmp_path):
    """One raises, one's process is killed from outside, one never ends, one takes too much memory: all in one sweep."""
    told, shown = [], []
    factors = {"network.bad": [0, 1, 4, 2, 3, 5]}
    limits = {"time_limit": 12, "memory_limit": "0.9 GB"}
    result = sweep({**base, "factors": factors}, tmp_path, **limits, show=shown.append, progress=told.append)
    errors = {trial["factors"]["network.bad"]: trial["error"] for trial in result.trials}
    assert errors[0] is None and errors[4] is None
    assert errors[1] == "RuntimeError: planted: this trial dies"
    assert "ended by SIGKILL" in errors[2] and "not done within 12 s, the limit" in errors[3]
    assert re.fullmatch(r"its process took [\d.]+ GB of memory, more than [\d.]+ GB, the limit", errors[5])
    assert result.counts() == {"open": 0, "running": 0, "done": 2, "failed": 4}
    assert {row["network.bad"] for row in result.rows} == {0, 4}
    assert "4 failed" in str(result) and "planted: this trial dies" in str(result)
    assert "6 points (grid)" in shown[0] and told[-1].done == told[-1].total == 6
    assert len([*(tmp_path / "owners").iterdir()]) == 0
    began = time.monotonic()  # the same call again has nothing to do, and what failed stays as it is
    assert sweep({**base, "factors": factors}, tmp_path).counts()["failed"] == 4
    assert time.monotonic() - began < 5


def slow_file(base, folder):
    file = folder / "slow.yaml"
    factors = {"hardware.dac.bits": [2, 3, 4, 5], "hardware.noise.output": [0.0, 0.1]}
    file.write_text(yaml.safe_dump({**base, "network": "tiny_sweep:net?slow=0.05", "chips": 1, "factors": factors}))
    return file


def done(folder):
    try:
        with closing(sqlite3.connect(f"file:{folder / 'sweep.sqlite'}?mode=ro", uri=True)) as base:
            return base.execute("SELECT COUNT(*) FROM jobs WHERE state = 'done'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_kill_9_loses_the_trials_in_flight_and_two_processes_end_it_together(commands, base, tmp_path):
    file, out = slow_file(base, tmp_path), tmp_path / "out"
    command = ["sweep", file, "--out", out, "--no-report"]
    one = commands.start(*command, env=HERE)
    end = time.monotonic() + 120
    while done(out) < 2:
        assert one.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    one.send_signal(signal.SIGKILL)
    one.wait()
    ledger = Ledger(out)
    while owners := [row["owner"] for row in ledger.rows("SELECT owner FROM jobs WHERE state = 'running'")]:
        time.sleep(0.05)  # its worker ends by itself, whatever it was at
        ledger.recover()
        assert time.monotonic() < end, owners
    before = {row["job"]: row["begun"] for row in ledger.rows("SELECT * FROM jobs WHERE state = 'done'")}
    assert 2 <= len(before) < 8

    two = commands.start(*command, env=HERE)
    while not ledger.counts()["running"]:
        assert two.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    work(out, "here")
    assert two.wait(120) == 0 and "8 of 8 trials are done" in two.stdout, two.stderr
    result = SweepResult(out)
    assert result.counts() == {"open": 0, "running": 0, "done": 8, "failed": 0}
    jobs = ledger.rows("SELECT * FROM jobs")
    assert len({row["owner"] for row in jobs}) == 3  # the one that was killed, and two at once
    assert all(row["begun"] == before[row["job"]] for row in jobs if row["job"] in before)  # nothing was done again
    assert sum(row["claims"] for row in jobs) - len(jobs) <= 1
    alone = here(yaml.safe_load(file.read_text()), tmp_path / "alone")
    assert [r["score"] for r in result.rows] == [r["score"] for r in alone.rows] and len(alone.rows) == 8 * 3


def test_workers_are_at_most_the_cores_and_each_has_one_thread(base, tmp_path, monkeypatch):
    with pytest.raises(WrongSetting, match=r"workers on .* cores"):
        sweep({**base, "factors": {"hardware.dac.bits": [2, 4]}}, tmp_path, workers=engine.cores() + 1)
    assert not (tmp_path / "sweep.sqlite").exists()
    asked = []
    monkeypatch.setattr(engine.subprocess, "Popen", lambda command, env, **_: asked.append(env))
    monkeypatch.setattr(engine.tempfile, "TemporaryFile", lambda: None)
    engine.Worker(tmp_path)
    assert asked[0]["OMP_NUM_THREADS"] == asked[0]["MKL_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("source", None, "is no sweep"), ("source", 3, "is no sweep"), ("source", "none.yaml", "cannot read it"),
        ("out", None, "out = None"), ("out", 3, "out = 3"), ("out", "/proc/sweep", "cannot write results"),
        ("workers", 0, "workers = 0"), ("workers", "two", "workers = 'two'"), ("workers", 10**6, "workers on"),
        ("memory_limit", "much", "'much' is no size of memory"), ("memory_limit", "5 MB", "torch alone takes"),
        ("time_limit", -1, "time_limit|negative|before"), ("time_limit", "soon", "is not a time"),
        ("show", 3, "show = 3"), ("progress", 3, "progress = 3"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused_by_name_before_any_work(base, tmp_path, monkeypatch, name, value, told):
    monkeypatch.setattr(tiny_sweep.Tiny, "forward", lambda *_: pytest.fail("the network was run"))
    given = {"source": {**base, "factors": {"hardware.dac.bits": [2, 4]}}, "out": tmp_path / "out", name: value}
    with pytest.raises(MhoError, match=told):
        sweep(**given)
    assert not (tmp_path / "out").exists()


def test_another_sweep_and_other_data_are_refused(base, tmp_path, monkeypatch):
    factors = {"hardware.dac.bits": [2, 4]}
    here(base, tmp_path, factors=factors)
    with pytest.raises(BadResults, match=r"it holds another sweep: chips is 2 there"):
        sweep({**base, "chips": 3, "factors": factors}, tmp_path)
    monkeypatch.setattr(tiny_sweep, "data", lambda data=tiny_sweep.data: data(first=7))
    with pytest.raises(BadResults, match="tiny_sweep:data gives other content than when the sweep began"):
        sweep({**base, "factors": factors}, tmp_path)


def test_trials_of_one_network_follow_each_other_seed_by_seed(base):
    training = {"data": "tiny_sweep:data", "hardware": "pcm"}
    factors = {"evaluation.refresh": [None, "1 h"], "hardware.dac.bits": [2, 4], "training.lr": [0.1, 0.2]}
    found = trials(Plan.read({**base, "training": training, "seeds": 2, "factors": factors}))
    order = [found[int(job.name)] for job in jobs_of(found) if job.kind == "trial"]
    assert sorted(trial.number for trial in order) == list(range(16))
    assert [t.config.seed for t in order] == [0] * 8 + [1] * 8
    first = [[t.levels[path] for path in ("training.lr", "hardware.dac.bits", "evaluation.refresh")] for t in order[:4]]
    assert first == [[0.1, 2, None], [0.1, 2, "1 h"], [0.1, 4, None], [0.1, 4, "1 h"]]


def test_a_network_of_the_users_own_name_is_found(base):
    assert isinstance(resolve("tiny_sweep:net?width=4"), tiny_sweep.Tiny)
    assert Plan.read({**base, "factors": {"network.width": [4, 8]}}).points()[0] == {"network.width": 4}

"""Every task goes through `drift`: killed and resumed, stored, in words, as figures, by layer."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parent))
from tasks_to_kill import AGES, converted

import mho
from mho.advice.bits import smallest_bits
from mho.errors import BadResults, WrongSetting
from mho.measure import DriftResult, TestData, paired
from mho.tasks import Task
from mho.tasks.binary import Probability
from mho.tasks.tokens import Tokens

NAMES = ["classes", "threshold", "regression", "within", "tokens", "exits", "mean"]


@pytest.fixture(scope="module", params=NAMES)
def measured(request, tmp_path_factory):
    net, data, task = converted(request.param)
    out = tmp_path_factory.mktemp(request.param)
    return request.param, net, data, task, mho.drift(net, data, AGES, chips=4, task=task, out=out), out


def test_killed_and_resumed_it_is_the_same(measured, tmp_path):
    name, net, data, task, whole, _ = measured
    script, rows = Path(__file__).with_name("tasks_to_kill.py"), tmp_path / "run" / "rows.jsonl"
    process = subprocess.Popen([sys.executable, str(script), name, str(tmp_path / "run")], env=dict(os.environ))
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and (not rows.exists() or rows.read_bytes().count(b"\n") < 2):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines = rows.read_bytes().split(b"\n")
    rows.write_bytes(b"\n".join(lines[:3])[:-1])  # a chip and a part of the next
    with pytest.warns(Warning, match="cut off"):
        resumed = mho.drift(net, data, AGES, chips=4, task=task, out=tmp_path / "run")
    assert resumed.measurements == whole.measurements and resumed.header.digest() == whole.header.digest()


def test_stored_and_loaded_it_is_the_same(measured):
    *_, result, out = measured
    again = DriftResult.load(out)
    assert again.measurements == result.measurements and again.score == result.score
    assert str(again) == str(result) and again.rows() == result.rows()


def test_the_headline_is_what_the_task_says_of_a_chip(measured):
    _, net, data, task, result, _ = measured
    scored, chip = TestData.of(data, task=task), mho.program(net, 0, chip=1).at(AGES[1])
    with torch.no_grad():
        values = torch.cat([scored.task.scores(chip(x), y)[result.score.name] for x, y in scored.batches])
    assert result.scores[1, 1] == pytest.approx(result.score.worth(float(values.double().mean())), abs=1e-6)
    assert result.digital_score >= result.scores.mean(0)[-1] - 0.02


def test_lifetime_and_yield_follow_from_the_worths(measured):
    *_, result, _ = measured
    lost = result.digital_score - result.scores
    budget = float(np.abs(lost).max()) + 0.001
    assert result.lifetime(min(budget, 0.999)).beyond and result.yield_at(AGES[1], min(budget, 0.999)).share == 1
    tight = float(lost[:, 1].max()) * 0.999
    if tight > 0:
        assert result.yield_at(AGES[1], tight).share < 1
    with pytest.raises(WrongSetting, match="budget"):
        result.lifetime(-0.1)


def test_it_is_called_by_its_name(measured, tmp_path):
    name, *_, result, _ = measured
    page = mho.report(result, tmp_path, budget=0.02).read_text()
    label, unit = result.score.label, {"regression": "0.02 V", "tokens": "0.02 nats"}.get(name, "2 %")
    assert label in page and unit in result.sentence(0.02) and unit in page.replace("\u00a0", " ")
    table = (tmp_path / "rows.csv").read_text().splitlines()[0].split(",")
    assert label in table and f"digital_{label}" in table
    if name in ("classes", "threshold"):
        assert "above chance" in page and (result.accuracy == result.scores).all()
    elif name != "exits":
        assert "ccuracy" not in result.sentence(0.02).replace("mean accuracy", "")
        with pytest.raises(WrongSetting, match="not accuracy"):
            _ = result.accuracy
    if not result.score.share:
        assert "above chance" not in page and math.isnan(result.summary()[0].chance_corrected)
        assert "%" not in result.sentence(0.02).split(";")[0]


def test_other_scores_are_shown(measured):
    name, *_, result, _ = measured
    more = {"tokens": ["accuracy"], "exits": ["early.accuracy", "final.loss"], "within": ["absolute error"]}.get(
        name, []
    )
    for score in more:
        assert score in str(result) and score in result.rows()[0] and score in result.summary()[0].scores


def test_layers_are_ranked_by_what_they_cost_of_it(measured):
    _, net, data, task, *_ = measured
    found = mho.sensitivity(net, data, time="1 year", chips=2, task=task)
    estimated = [layer.estimate.quadratic for layer in found.layers]
    assert all(map(math.isfinite, estimated)) and found.ranked()[0].by("rise") > 0
    assert max(estimated) > 0 and str(found)
    if len(found.layers) > 2:
        assert found.agreement().spearman > 0


def test_passes_are_shared(measured):
    _, net, data, task, result, _ = measured
    items = sum(len(x) for x, _ in data)
    shared = mho.drift(net, data, AGES, chips=4, images=items // 2, task=task)
    assert shared.scores.shape == (2, 2) and shared.digital == result.digital
    spread = np.abs(result.scores - result.digital_score).max() + 3 * result.digital.values.std() / math.sqrt(items)
    assert np.abs(shared.scores - result.digital_score).max() < 3 * spread + 0.02


def test_pairs_need_one_task(measured):
    name, net, data, _, result, _ = measured
    assert [i.value for i in paired(result, result)] == [0, 0]
    if name == "threshold":
        other = mho.drift(net, data, AGES, chips=4, task=Probability())
        with pytest.raises(WrongSetting, match="task"):
            paired(result, other)
        assert not (other.scores == result.scores).all()


def test_perplexity_is_that_of_torch():
    net, data, _ = converted("tokens")
    result = mho.drift(net, data, [0], chips=1, task=Tokens())
    with torch.no_grad():
        chip = mho.program(net, 0, chip=0).at(0)
        y = torch.cat([chip(x) for x, _ in data])
    expected = float(F.cross_entropy(y.flatten(0, 1), torch.cat([t for _, t in data]).flatten()))
    assert result.rows()[0]["perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
    assert result.digital.samples == 60 * 7


def test_another_task_is_another_run(tmp_path):
    net, data, task = converted("threshold")
    mho.drift(net, data, ["1 h"], chips=1, task=task, out=tmp_path)
    with pytest.raises(BadResults, match="task.threshold was 0.3"):
        mho.drift(net, data, ["1 h"], chips=1, task="probability", out=tmp_path)


def test_automatic_runs_need_a_half_width_in_the_unit():
    net, data, task = converted("regression")
    with pytest.raises(WrongSetting, match="absolute error V"):
        mho.drift(net, data, ["1 h"], task=task)
    result = mho.drift(net, data, ["1 h"], task=task, ci=10.0)
    assert len(result.chips) == 8 and result.half_width() < 10


def test_smallest_bits_of_a_regression():
    net, data, task = converted("regression")
    found = smallest_bits(net, "pcm-cells", data, data, budget=0.05, task=task, per_layer=False)
    assert found.dac is not None and found.score.label == "absolute error"
    assert found.uniform[0].at_most <= 0.05 and "V" in str(found) and "absolute error" in str(found)
    with pytest.raises(WrongSetting, match="budget"):
        smallest_bits(net, "pcm-cells", data, data, budget=0.0, task=task)


def test_advice_for_a_regression():
    net, data, task = converted("regression")
    names = ["norm recalibration", "output recalibration", "threshold recalibration", "compensation per column"]
    advice = mho.advise(
        mho.to_digital(net), "pcm-cells", data, calibration=[x for x, _ in data], task=task, effort="quick", times=["1 year"],
        chips=3, remedies=names, budget=0.0,
    )  # fmt: skip
    reasons = {t.name: t.reason for t in advice.tried if t.result is None}
    assert "no classes" in reasons["output recalibration"] and "no threshold" in reasons["threshold recalibration"]
    assert advice.score.label == "absolute error" and "V" in str(advice) and "absolute error" in advice.rows()[0]


def test_a_task_of_a_users_own_is_measured_and_loaded(tmp_path):
    """One file, no registration needed: the header says what the headline means."""
    from dataclasses import dataclass
    from typing import ClassVar

    from mho.tasks import Score, Scored

    @dataclass(frozen=True)
    class Cosine(Task):
        kind: ClassVar[str] = "cosine"
        headline = Score("cosine", "value")

        def targets(self, target, *, path="data", training=False):
            return torch.as_tensor(target).float()

        def score(self, output, target):
            each = F.cosine_similarity(output, target)
            return Scored({"cosine": each, "loss": 1 - each})

    net, data, _ = converted("regression")
    result = mho.drift(net, data, ["1 h"], chips=3, task=Cosine(), out=tmp_path)
    again = DriftResult.load(tmp_path)
    assert again.score == Score("cosine", "value") and 0.5 < float(again.scores.mean()) <= 1
    assert str(again) == str(result) and "cosine" in mho.report(again, tmp_path / "page").read_text()

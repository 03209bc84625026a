from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import mho
from mho.errors import BadInput, BadResults, WrongSetting
from mho.hardware import Hardware
from mho.measure import DriftResult, TestData
from mho.measure.shared import STOPPED, chips_per_pass, parts
from mho.statistics import mean_interval, variance_split

HW = Hardware.preset("pcm-cells")


class Data(list):
    name = "blobs"
    classes = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, (400,), generator=generator)
    x = torch.randn(400, 12, generator=generator) + 1.2 * nn.functional.one_hot(y, 12)
    return Data(zip(x.split(150), y.split(150), strict=True))


@pytest.fixture(scope="module")
def net(data):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 4))
    mho.training.train(model, data, epochs=15)
    return mho.calibrate(mho.to_analog(model, HW, example=data[0][0]), data)


def _rows(result):
    return [json.dumps(m.to_json()) for m in result.measurements]


def test_a_part_is_the_whole_measurement_restricted_to_it(net, data):
    """Each answer in a pass is the one its chip gives when it sees everything."""
    whole = mho.drift(net, data, ["1 h", "1 year"], chips=8)
    passes = mho.drift(net, data, ["1 h", "1 year"], chips=8, images=100)
    assert passes.chips == whole.chips == tuple(range(8)) and [m.chip for m in passes.at(3600.0)] == [0, 4]
    for m in passes.measurements:
        split = list(parts(TestData.of(data), 4, "share", 0, m.chip))
        assert [len(where) for _, where in split] == [100] * 4
        assert sorted(np.concatenate([where for _, where in split])) == list(range(400))
        losses = []
        for i, (part, where) in enumerate(split):
            alone = whole._table[m.chip + i, m.age_s]
            assert np.array_equal(m.correct[where], alone.correct[where])
            chip = mho.program(net, 0, chip=m.chip + i).at(m.age_s)
            losses += [nn.functional.cross_entropy(chip(x), y, reduction="sum").item() for x, y in part.batches]
        assert m.loss == pytest.approx(sum(losses) / 400, rel=1e-5)


def test_whole_chips_are_rows_as_they_were(net, data, tmp_path):
    """Without sharing nothing about it is written, so runs from before it existed go on."""
    one = mho.drift(net, data, ["1 h"], chips=2, out=tmp_path)
    assert "chips_per_pass" not in (tmp_path / "run.json").read_text()
    assert '"chips"' not in (tmp_path / "rows.jsonl").read_text()
    assert _rows(mho.drift(net, data, ["1 h"], chips=2, images=400, out=tmp_path)) == _rows(one)


def test_a_shared_run_goes_on_and_says_what_it_is(net, data, tmp_path):
    whole = mho.drift(net, data, ["1 h", "1 y"], chips=12, images=100)
    mho.drift(net, data, ["1 h", "1 y"], chips=4, images=100, out=tmp_path)
    resumed = mho.drift(net, data, ["1 h", "1 y"], chips=12, images=100, out=tmp_path)
    assert _rows(resumed) == _rows(whole) == _rows(DriftResult.load(tmp_path))
    assert json.loads((tmp_path / "run.json").read_text())["header"]["chips_per_pass"] == 4
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [(r["chip"], r["chips"], r["samples"]) for r in rows[::2]] == [(0, 4, 400), (4, 4, 400), (8, 4, 400)]
    with pytest.raises(BadResults, match="chips_per_pass"):
        mho.drift(net, data, ["1 h", "1 y"], chips=12, images=200, out=tmp_path)
    with pytest.raises(BadResults, match="share the pass"):
        DriftResult(dataclasses.replace(whole.header, chips_per_pass=1), whole.digital, whole.measurements)
    assert _rows(mho.drift(net, data, ["1 h", "1 y"], chips=12, images=100, workers=2)) == _rows(whole)


def test_an_automatic_run_ends_at_the_interval(net, data):
    seen = []
    result = mho.drift(net, data, ["1 h", "1 year"], images=50, ci=0.8, max_chips=60, progress=seen.append)
    assert seen[-1].share == 1 and seen[-2].total <= 480 and len(result.chips) % 8 == 0 and len(result.chips) >= 64
    of_passes = mean_interval(result.accuracy[:, -1])
    assert result.summary()[-1].high - result.summary()[-1].mean == pytest.approx(STOPPED * of_passes.half_width)
    assert result.half_width() <= 0.008
    assert len(mho.drift(net, data, ["1 h"], images=50, ci=1e-9, max_chips=2).chips) == 16


def test_what_needs_single_chips_is_refused(net, data, tmp_path):
    result = mho.drift(net, data, ["1 h", "1 year"], chips=12, images=100)
    for ask in (
        lambda: result.yield_at("1 h"),
        lambda: result.lifetime(statistic=5),
        lambda: mho.report(result, tmp_path),
    ):
        with pytest.raises(WrongSetting, match="images='all'"):
            try:
                ask()
            except WrongSetting as error:
                raise WrongSetting(error.remedy, "") from error
    s = result.summary()[0]
    assert all(math.isnan(v) for v in (s.std, s.minimum, s.p5, s.top_share, s.shift))
    assert s.low < s.mean < s.high and s.low_total < s.low and s.chips == 12
    assert (
        result.to_csv(tmp_path / "rows.csv")
        .read_text()
        .startswith("run,model,data,hardware,hardware_digest,seed,chip,chips")
    )
    assert "12 chips" in str(result) and "4 chips a pass" in str(result) and result.lifetime(0.01).t_s > 0
    right = sum(c.recall[0] * c.samples for c in result.per_class())
    assert right / 400 == pytest.approx(s.mean)


@pytest.mark.parametrize("images", [0, 1, 3, -100, 401, 0.5, True, "some", None])
def test_senseless_numbers_of_images(net, data, images):
    with pytest.raises(WrongSetting, match="images"):
        mho.drift(net, data, ["1 h"], chips=1, images=images)


def test_senseless_with_the_rest(net, data):
    with pytest.raises(WrongSetting, match="chips = 6"):
        mho.drift(net, data, ["1 h"], chips=6, images=100)
    ragged = [(torch.randn(4, 12), torch.zeros(4)), (torch.randn(4, 1, 12), torch.zeros(4, 1))]
    with pytest.raises(BadInput, match="cannot be joined"):
        list(parts(TestData.of(ragged), 2, 0))
    padded = [(torch.randn(4, 12), torch.tensor([0, -100, -100, -100]))]
    with pytest.raises(BadInput, match="no labelled sample"):
        list(parts(TestData.of(padded), 2, 0))


def test_auto():
    def chips(n):
        return chips_per_pass("auto", TestData.of([(torch.zeros(n, 1), torch.zeros(n))]))

    assert [chips(n) for n in (50, 199, 200, 777, 1000, 20_000)] == [1, 1, 2, 7, 10, 10]


def test_sequences_are_shared_and_tokens_counted():
    y = torch.zeros(10, 3, dtype=torch.long)
    y[::2, 1:] = -100
    split = list(parts(TestData.of([(torch.zeros(10, 3), y)]), 3, "x"))
    assert sorted(np.concatenate([where for _, where in split])) == list(range(20))
    assert [sum(len(labels) for _, labels in part.batches) for part, _ in split] == [4, 3, 3]
    for part, where in split:
        assert sum(int((labels != -100).sum()) for _, labels in part.batches) == len(where)


def _passes(rng, margin, passes, share, chip_sd=0.4):
    """Answers (passes, samples) of probit chips: every pass a new partition, every part a new chip."""
    samples = len(margin)
    part = rng.permuted(np.tile(np.arange(samples) * share // samples, (passes, 1)), axis=1)
    chip = chip_sd * np.take_along_axis(rng.standard_normal((passes, share)), part, axis=1)
    return margin + chip > rng.standard_normal((passes, samples))


def _truth(margin, chip_sd=0.4):
    return stats.norm.cdf(margin / math.sqrt(1 + chip_sd**2)).mean()


def test_unbiased_and_the_interval_covers():
    rng = np.random.default_rng(0)
    margin = rng.normal(1, 1, 120)
    found = [mean_interval(_passes(rng, margin, 10, 6).mean(1)) for _ in range(2000)]
    means = np.array([f.value for f in found])
    assert abs(means.mean() - _truth(margin)) < 4 * means.std() / math.sqrt(2000)
    assert stats.binomtest(sum(f.low <= _truth(margin) <= f.high for f in found), 2000, 0.95).pvalue > 1e-3


def test_the_interval_covers_where_it_ended_the_run():
    rng = np.random.default_rng(1)
    margin = rng.normal(1, 1, 120)
    covered, target = 0, 0.02
    for _ in range(1000):
        x = _passes(rng, margin, 80, 6).mean(1)
        stops = (mean_interval(x[:n], widened=STOPPED) for n in range(8, 81))
        end = next(i for i in stops if i.half_width <= target)
        covered += end.low <= _truth(margin) <= end.high
    assert covered >= 935  # 950 expected, its standard deviation is 7


def test_components_of_variance_are_those_of_the_chips():
    rng = np.random.default_rng(2)
    margin = rng.normal(0.8, 1, 120)
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    accuracy = stats.norm.cdf(margin + 0.4 * node[:, None]).mean(1)
    weight /= weight.sum()
    chip = weight @ accuracy**2 - (weight @ accuracy) ** 2
    for share in (1, 3, 6):
        splits = [variance_split(_passes(rng, margin, 60, share), share) for _ in range(300)]
        values = np.array([s.chip for s in splits])
        assert abs(values.mean() - chip) < 4 * values.std() / math.sqrt(300) + 0.05 * chip
        assert splits[0].chips == 60 * share

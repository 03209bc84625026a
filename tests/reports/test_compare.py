"""`mho.compare`: what differs, what is paired with what, and the numbers against closed forms."""

from __future__ import annotations

import csv
import dataclasses
import math

import numpy as np
import pytest

import mho
from mho.errors import BadInput, WrongSetting
from mho.measure import DriftResult, paired
from mho.measure.comparison import show_gain
from mho.statistics.intervals import Interval, mean_interval
from mho.statistics.split import variance_split
from mho.tasks.score import ACCURACY, Score

PCM = {"name": "pcm", "adc": {"bits": 8}, "cell": {"kind": "pcm", "nu": None}, "layers": {}}
FINE = {"name": "pcm", "adc": {"bits": 6}, "cell": {"kind": "pcm"}, "layers": {"conv1": {"encoding": {"pairs": 2}}}}


@pytest.fixture(scope="module")
def pair(result_of):
    return result_of(hardware=PCM), result_of(hardware=FINE, lost=0.08, chips=5)


def test_chips_of_the_same_numbers_and_samples_are_paired(result_of):
    first, other = result_of(), result_of(lost=0.05)
    (gain,) = mho.compare(first, other).gains
    assert gain.paired and gain.chips == 6 and gain.how == "paired over 6 chips and all samples"
    for found, wanted in zip(gain.over_chips, paired(other, first), strict=True):
        assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))
    assert all(-0.12 < both.value < 0 and both.half_width > 0.001 for both in gain.over_both)


def test_only_chips_and_ages_that_both_have_count(result_of):
    first = result_of(ages=(60.0, 3600.0, 86400.0), first=2)  # chips 2 to 7
    other = result_of(ages=(3600.0, 86400.0, 2592000.0))  # chips 0 to 5
    found = mho.compare(first, other)
    (gain,) = found.gains
    assert gain.ages_s == (3600.0, 86400.0) and gain.chips == 4
    wanted = other.scores[2:, 0] - first.scores[:4, 1]
    assert gain.over_chips[0].value == pytest.approx(wanted.mean()) == pytest.approx(mean_interval(wanted).value)
    assert found.ages_s == (60.0, 3600.0, 86400.0, 2592000.0)


@pytest.mark.parametrize(("changed", "why"), [
    ({"digest": "e"}, "measured on other samples"), ({"samples": 300}, "measured on other samples"),
    ({"seed": 1}, "chips of other seeds (0 and 1)"), ({"first": 100}, "no chips in common"), ({"first": 5}, "1 chip in common"),
], ids=str)  # fmt: skip
def test_others_are_compared_unpaired_and_it_is_said(result_of, read, tmp_path, changed, why):
    first, other = result_of(), result_of(**{"lost": 0.05, **changed})
    found = mho.compare(first, other)
    (gain,) = found.gains
    assert not gain.paired and gain.why == why
    a, b = (mean_interval(r.scores[:, 2]) for r in (first, other))
    assert gain.over_chips[2].value == pytest.approx(b.value - a.value)
    assert gain.over_chips[2].half_width == pytest.approx(math.hypot(a.half_width, b.half_width))
    one, two = (variance_split(m.values for m in r.at(r.ages_s[2])).interval().half_width for r in (first, other))
    assert gain.over_both[2].half_width == pytest.approx(math.hypot(one, two))
    assert (
        found.sentence().endswith(" after 1 month (not paired).") or " after 1 month (not paired): " in found.sentence()
    )
    page = read(mho.report(found, tmp_path))
    assert f"not paired: {why}" in page.words and "(not paired)" in page.words


def test_chips_that_share_passes_are_paired_by_pass(result_of, read, tmp_path):
    def shared(result):
        header = dataclasses.replace(result.header, chips_per_pass=2)
        rows = [dataclasses.replace(m, chip=2 * m.chip, chips=2) for m in result.measurements]
        return type(result)(header, result.digital, rows)

    first, other = shared(result_of()), shared(result_of(lost=0.05))
    found = mho.compare(first, other)
    assert found.gains[0].how == "paired over 12 chips and all samples"
    assert found.gains[0].over_chips[0].value == pytest.approx(paired(other, first)[0].value)
    assert found.sentence() in read(mho.report(found, tmp_path)).words
    assert mho.compare(first, result_of()).gains[0].why == "2 and 1 chips share a pass"


def test_intervals_hold_what_they_promise():
    """Of 400 pairs of unpaired runs with a known difference, 95 % of the intervals hold it."""
    from mho.measure.gain import _less

    rng, hit = np.random.default_rng(0), 0
    for _ in range(400):
        a, b = rng.normal(0.0, 1.0, 8), rng.normal(0.5, 3.0, 5)
        found = _less(mean_interval(b), mean_interval(a))
        hit += found.low <= 0.5 <= found.high
    assert 0.93 <= hit / 400 <= 0.99


def test_what_differs_is_named_as_settings_are(pair):
    found = {d.key: d.values for d in mho.compare(*pair).differences}
    assert found == {"adc.bits": ("8", "6"), "layers.conv1.encoding.pairs": ("–", "2")}


def test_ranges_are_told_from_weights_where_the_digital_networks_show_it(pair):
    first = pair[0]
    one, two = (
        DriftResult(dataclasses.replace(first.header, model_digest=d), first.digital, first.measurements) for d in "ab"
    )
    assert {d.key: d.values for d in mho.compare(one, two).differences} == {
        "calibrated ranges (hash; the digital networks are alike)": ("a", "b")
    }
    digital = dataclasses.replace(first.digital, loss=first.digital.loss + 0.1)
    other = DriftResult(two.header, digital, two.measurements)
    assert [d.key for d in mho.compare(one, other).differences] == ["weights or calibrated ranges (hash)"]
    later = DriftResult(dataclasses.replace(one.header, times_s=(3600.0, 86400.0)), one.digital, [
        m for m in one.measurements if m.age_s in (3600.0, 86400.0)
    ])  # fmt: skip
    assert "1 h, 1 day, 1 month | 1 h, 1 day\n" in str(mho.compare(one, later))


def test_the_sentence_says_better_worse_or_neither(pair, result_of):
    first, worse = pair
    text = mho.compare(first, worse, names=["A", "B"]).sentence()
    assert text.startswith("B is ") and " worse than A after 1 month." in text and "+" not in text and "-" not in text
    assert " better than B after 1 month." in mho.compare(worse, first, names=["B", "A"]).sentence()
    same = mho.compare(first, result_of(hardware=FINE), names=["A", "C"])
    assert same.sentence() == "C cannot be told from A after 1 month: +0.00 points [+0.00, +0.00]."
    apart = mho.compare(first, result_of(ages=(5.0, 6.0)), names=["A", "D"])
    assert apart.sentence() == "D and A have no age in common." and apart.gains[0].ages_s == ()


def test_what_is_unknown_is_not_a_number():
    assert show_gain(ACCURACY, Interval(0.01, -1.1912, 1.2112)) == "+1.00 points [unknown]"
    assert show_gain(ACCURACY, Interval(0.01, -math.inf, math.inf), unit=False) == "+1.00 [unknown]"
    assert show_gain(Score("nll", "perplexity"), Interval(2.0, 1.0, 3.0)) == "+2 nats [+1, +3]"


def test_page_rows_and_figures(pair, read, tmp_path):
    found = mho.compare(*pair, names=["A", "B"], command="mho compare a b")
    page = read(mho.report(found, tmp_path, budget=0.05))
    for text in (
        found.sentence(),
        "adc.bits",
        "layers.conv1.encoding.pairs",
        "paired over 5 chips",
        "mho compare a b",
        "lifetime at 5 %",
    ):
        assert text in page.words, text
    assert {p.name for p in (tmp_path / "figures").iterdir()} == {"compared.svg", "gained.svg"}
    rows = list(csv.DictReader((tmp_path / "compare.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 10 and {row["run"] for row in rows} == {"A", "B"}
    last = rows[-1]
    assert float(last["gain"]) == pytest.approx(found.gains[0].over_chips[-1].value) and last["over"] == "A"
    assert last["paired"] == "True" and rows[0]["gain"] == ""
    assert "  over A" in str(found) and "adc.bits: 8 | 6" in str(found)


def test_many_runs_and_one_chip(result_of, read, tmp_path):
    runs = [result_of(chips=2, lost=0.01 * i, ages=(60.0, 3600.0)) for i in range(10)]
    page = read(mho.report(mho.compare(*runs), tmp_path / "many"))
    assert "run 10" in page.words and not [w for w in page.words.split() if w in ("nan", "inf", "None")]
    alone = mho.compare(result_of(chips=1), result_of(chips=1, lost=0.1))
    assert alone.gains[0].why == "1 chip in common" and "[unknown]" in read(mho.report(alone, tmp_path / "one")).words


def test_stored_runs_are_named_by_the_ends_of_their_paths(pair, stored, tmp_path):
    a, b = stored(pair[0], tmp_path / "x" / "run"), stored(pair[1], tmp_path / "y" / "run")
    found = mho.compare(a, b)
    assert found.names == ("x/run", "y/run") and found.results[1].scores.tolist() == pair[1].scores.tolist()
    assert mho.compare(a, pair[1]).names == ("run", "run 2")


def test_refused(pair, stored, result_of, tmp_path):
    a = stored(pair[0], tmp_path / "a")
    with pytest.raises(WrongSetting, match="1 run to compare -> give two or more"):
        mho.compare(pair[0])
    with pytest.raises(WrongSetting, match="given twice"):
        mho.compare(a, tmp_path / "b" / ".." / "a")
    with pytest.raises(BadInput, match="there is no run here"):
        mho.compare(a, tmp_path / "none")
    for names in (["one"], ["same", "same"], ["", "b"]):
        with pytest.raises(WrongSetting, match="a name of its own"):
            mho.compare(*pair, names=names)
    with pytest.raises(WrongSetting, match="confidence"):
        mho.compare(*pair, confidence=95)
    with pytest.raises(WrongSetting, match="budget"):
        mho.report(mho.compare(*pair), tmp_path / "r", budget=2)
    assert not (tmp_path / "r").exists()

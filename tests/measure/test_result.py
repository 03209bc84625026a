from __future__ import annotations

import csv
import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mho.errors import BadResults, WrongSetting
from mho.measure import DataInfo, DriftResult, Measurement, RunHeader
from mho.measure.sentence import cautions
from mho.store import RunStore

N = 1000
AGES = (60.0, 3600.0, 86400.0, 2592000.0)
LABELS = np.arange(N) % 4 * (np.arange(N) % 2)  # 0 1 0 3: class 0 is half of the data, class 2 is never a label


def _measure(chip: int, age_s: float, right: int) -> Measurement:
    correct = np.arange(N) < right
    predicted = np.where(correct, LABELS, (LABELS + 1) % 4)
    return Measurement(
        chip, age_s, N, correct, 1 - right / N,
        tuple(np.bincount(predicted, minlength=4)), tuple(np.bincount(LABELS[correct], minlength=4)),
    )  # fmt: skip


def _result(table: list[list[int]], digital: int = 920, ages: tuple[float, ...] = AGES, **changes) -> DriftResult:
    data = DataInfo("toy", N, "d", ("a", "b", "c", "d"), tuple(np.bincount(LABELS, minlength=4)))
    header = RunHeader("net", data, {"name": "pcm"}, "h", 5, ages, **changes)
    measurements = [_measure(c, t, k) for c, row in enumerate(table) for t, k in zip(ages, row, strict=True)]
    return DriftResult(header, _measure(-1, 0.0, digital), measurements[::-1])


FALLING = [[920, 915, 905 - 2 * c, 880 - 3 * c] for c in range(8)]


def test_summary_by_hand() -> None:
    result = _result(FALLING)
    s = result.summary()[-1]
    x = np.array([880 - 3 * c for c in range(8)]) / N
    assert result.accuracy[:, -1] == pytest.approx(x)
    assert (s.age_s, s.chips) == (AGES[-1], 8)
    assert (s.mean, s.std, s.minimum) == pytest.approx((x.mean(), x.std(ddof=1), x.min()))
    half = 2.364624251 * x.std(ddof=1) / math.sqrt(8)
    assert (s.low, s.high) == pytest.approx((x.mean() - half, x.mean() + half))
    assert s.low_total < s.low < s.high < s.high_total
    assert s.normalised == pytest.approx(x.mean() / 0.92)
    assert s.chance_corrected == pytest.approx((x.mean() - 0.25) / (0.92 - 0.25))
    assert s.majority_corrected == pytest.approx((x.mean() - 0.5) / (0.92 - 0.5))
    assert s.loss == pytest.approx(1 - x.mean())
    assert result.half_width() == pytest.approx(half)


def test_balance_shows_a_bias() -> None:
    result = _result([[920] * 4] * 2)
    assert [s.shift for s in result.summary()] == [0.0] * 4
    always = Measurement(0, 60.0, N, LABELS == 0, 1.0, (N, 0, 0, 0), (500, 0, 0, 0))
    biased = DriftResult(dataclasses.replace(result.header, times_s=(60.0,)), result.digital, [always])
    s = biased.summary()[0]
    expected = np.array(result.digital.predicted) / N
    assert s.top_share == 1.0
    assert s.shift == pytest.approx(1 - expected[0])
    assert s.balanced == pytest.approx(1 / 3)
    assert s.majority_corrected == 0.0
    assert any("shift of the decision" in text for text in cautions(biased))


def test_per_class() -> None:
    classes = _result(FALLING).per_class()
    assert [c.label for c in classes] == ["a", "b", "c", "d"]
    assert [c.samples for c in classes] == [500, 250, 0, 250]
    assert math.isnan(classes[2].digital)
    assert classes[0].digital == pytest.approx(0.92)
    assert classes[0].recall[0] == pytest.approx(0.92)


def test_sentence_between() -> None:
    text = _result(FALLING).sentence(0.03)
    assert text.startswith("toy with net on 'pcm' keeps its 3 % budget for ")
    assert text.endswith("; 0 % [0, 32] of chips are still inside after 1 month.")
    assert "days [" in text


def test_sentence_beyond_and_before() -> None:
    assert _result([[920, 919, 918, 917]] * 3).sentence() == (
        "toy with net on 'pcm' keeps its 1 % budget for at least 1 month, the last age measured; "
        "100 % [44, 100] of chips are still inside then (up to 71 % of all chips may be worse than the 3 measured; 72 would "
        "tell of one in twenty)."
    )
    assert _result([[900 - c] * 4 for c in range(4)]).sentence() == (
        "toy with net on 'pcm' is outside its 1 % budget from the first age measured, after 1 min: "
        "89.9 % [89.6, 90.1] against 92.0 % digital; 0 % [0, 49] of chips are inside then."
    )
    assert (
        _result([[920]] * 2, ages=(0.0,))
        .sentence()
        .startswith("toy with net on 'pcm' is inside its 1 % budget right after programming, the only age measured; ")
    )


def test_one_chip_says_so() -> None:
    result = _result([[920, 915, 905, 880]])
    assert "nothing is known about the spread" in result.sentence()
    assert result.half_width() == math.inf
    s = result.summary()[0]
    assert (s.low, s.high, s.low_total, s.high_total) == (0, 1, 0, 1)
    assert math.isnan(s.std) and "unknown" in str(result)


def test_without_classes() -> None:
    """A language model: tokens, and a vocabulary too long to list."""
    header = RunHeader("lm", DataInfo("text", N, "d"), {}, "abc", 1, (60.0,))
    rows = [Measurement(c, 60.0, N, np.arange(N) < 300 - c, 3.0) for c in range(3)]
    result = DriftResult(header, Measurement(-1, 0.0, N, np.arange(N) < 305, 2.9), rows)
    s = result.summary()[0]
    assert all(math.isnan(v) for v in (s.chance_corrected, s.majority_corrected, s.balanced, s.top_share, s.shift))
    assert result.per_class() == [] and result.rows()[0]["most_predicted"] == ""
    assert "text with lm on 'abc'" in str(result)


def test_rows_and_csv(tmp_path: Path) -> None:
    result = _result(FALLING)
    rows = result.rows()
    assert [(r["chip"], r["age_s"]) for r in rows] == [(c, t) for c in range(8) for t in AGES]
    with result.to_csv(tmp_path / "rows.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [float(r["accuracy"]) for r in read] == [r["accuracy"] for r in rows]
    assert read[0]["run"] == result.header.digest()


def test_load_gives_the_same(tmp_path: Path) -> None:
    result = _result(FALLING)
    store = RunStore(tmp_path)
    store.create_or_resume(result.header, result.digital)
    for chip in result.chips[::-1]:
        store.append(chip, [m for m in result.measurements if m.chip == chip])
    again = DriftResult.load(tmp_path)
    assert again.summary() == result.summary()
    assert again.lifetime() == result.lifetime()
    assert str(again) == str(result)


def test_incomplete_results_are_refused() -> None:
    result = _result(FALLING)
    header, digital, rows = result.header, result.digital, result.measurements
    short = dataclasses.replace(rows[0], samples=2, values=np.ones(2, bool), predicted=(), correct_by_class=())
    for wrong in ([], rows[1:], [*rows, rows[0]], [short, *rows[1:]]):
        with pytest.raises(BadResults):
            DriftResult(header, digital, wrong)
    with pytest.raises(WrongSetting):
        result.lifetime(budget=2.0)
    with pytest.raises(WrongSetting):
        result.yield_at("1 year")
    assert result.yield_at("1 day", 0.03).inside == 8


def test_measuring_is_lean() -> None:
    code = (
        "import sys, mho.measure, mho.store; "
        "print([m for m in ('matplotlib', 'jinja2', 'scipy.stats') if m in sys.modules])"
    )
    path = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(path)},
    )
    assert done.stdout.strip() == "[]", done.stderr

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from mho.errors import WrongSetting
from mho.statistics import mean_interval, variance_split
from mho.statistics.crossed import crossed, over_units


def _by_hand(table: np.ndarray) -> tuple[float, float, float]:
    """The textbook computation on a table of floats, without tricks."""
    y = table.astype(float)
    c, n = y.shape
    mean, rows, columns = y.mean(), y.mean(axis=1, keepdims=True), y.mean(axis=0, keepdims=True)
    ms_chip = n * ((rows - mean) ** 2).sum() / (c - 1)
    ms_sample = c * ((columns - mean) ** 2).sum() / (n - 1)
    ms_e = ((y - rows - columns + mean) ** 2).sum() / ((c - 1) * (n - 1))
    return (ms_chip - ms_e) / n, (ms_sample - ms_e) / c, ms_e


def _draw(rng: np.random.Generator, chips: int, samples: int, margin: np.ndarray, chip_sd: float = 0.4) -> np.ndarray:
    score = margin + chip_sd * rng.normal(size=(chips, 1)) + rng.normal(size=(chips, samples))
    return score > 0


def test_agrees_with_the_textbook() -> None:
    rng = np.random.default_rng(0)
    table = _draw(rng, 7, 90, rng.normal(1, 1, size=90))
    found, expected = variance_split(table), _by_hand(table)
    assert (found.chip, found.sample, found.residual) == pytest.approx(expected, rel=1e-10)
    assert found.mean == table.mean()


def test_negative_components_become_zero() -> None:
    table = np.array([[1, 0, 1, 0], [0, 1, 0, 1]], dtype=bool)  # equal chips: less spread than chance would give
    assert _by_hand(table)[0] < 0
    assert variance_split(table).chip == 0


def _shared(rng: np.random.Generator, passes: int, share: int, samples: int, margin: np.ndarray) -> np.ndarray:
    """Each pass over the samples is shared by several chips."""
    chips = _draw(rng, passes * share, samples, margin).reshape(passes, share, samples)
    turns = rng.permutation(samples) % share
    return np.take_along_axis(chips, turns[None, None], axis=1)[:, 0]


@pytest.mark.parametrize("share", [1, 3])
def test_unbiased(share: int) -> None:
    """Estimates average to the components of the population, which are known for probit margins."""
    rng = np.random.default_rng(2)
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    mean = stats.norm.cdf(0.8 / math.sqrt(1 + 1 + 0.16))
    by_chip = stats.norm.cdf((0.8 + 0.4 * node) / math.sqrt(2))  # accuracy of a chip over all samples
    by_sample = stats.norm.cdf((0.8 + node) / math.sqrt(1.16))
    chip, sample = weight @ by_chip**2 - mean**2, weight @ by_sample**2 - mean**2
    rest = mean * (1 - mean) - chip - sample
    tables = (_shared(rng, 8, share, 60, rng.normal(0.8, 1, 60)) for _ in range(600))
    splits = [variance_split(table, share) for table in tables]
    # Clipping at zero biases the chips' share upwards: a little, more where passes hold several of them.
    for part, truth, bias in (
        ("chip", chip, 0.05 if share == 1 else 1.0),
        ("sample", sample, 0.05),
        ("residual", rest, 0.0),
    ):
        values = [getattr(split, part) for split in splits]
        error = np.std(values) / math.sqrt(len(values))
        assert abs(np.mean(values) - truth) < 4 * error + bias * truth, part


def test_interval_covers_new_chips_and_new_samples() -> None:
    rng = np.random.default_rng(3)
    truth = stats.norm.cdf(0.8 / math.sqrt(1 + 1 + 0.16))
    intervals = [variance_split(_draw(rng, 8, 200, rng.normal(0.8, 1, 200))).interval() for _ in range(400)]
    covered = sum(i.low <= truth <= i.high for i in intervals)
    assert 0.92 * 400 <= covered <= 0.99 * 400


def test_one_chip_or_one_sample_is_not_enough() -> None:
    for table in (np.ones((1, 5), dtype=bool), np.ones((5, 1), dtype=bool)):
        split = variance_split(table)
        assert math.isnan(split.residual)
        assert split.interval().half_width == math.inf
    assert variance_split(np.ones((3, 4), dtype=bool)).interval().half_width == 0


def test_a_thousand_chips_need_no_table() -> None:
    row = np.random.default_rng(0).random(10_000) < 0.9
    tracemalloc.start()
    split = variance_split(np.roll(row, chip) for chip in range(1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
    assert (split.chips, split.samples, split.chip) == (1000, 10_000, 0)


@pytest.mark.parametrize("rows", [[], [np.zeros(0, bool)], [np.zeros(3, bool), np.zeros(4, bool)]])
def test_refused(rows: list[np.ndarray]) -> None:
    with pytest.raises(WrongSetting):
        variance_split(rows)


def test_an_interval_is_over_what_there_are_several_of():
    table = np.array([[0.5, 0.6, 0.8], [0.4, 0.7, 0.7]])
    assert over_units(table, 0.9) == crossed(table, 0.9)
    for one in (table[:1], table[:1].T):
        assert over_units(one, 0.9) == mean_interval(table[0], 0.9)

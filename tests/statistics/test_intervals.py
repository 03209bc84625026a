from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mho.errors import WrongSetting
from mho.statistics import mean_interval, wilson_interval


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("n", [2, 3, 30])
def test_mean_interval_agrees_with_scipy(n: int, confidence: float) -> None:
    x = np.random.default_rng(n).normal(3, 2, n)
    low, high = stats.t.interval(confidence, n - 1, x.mean(), stats.sem(x))
    found = mean_interval(x, confidence)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert found.half_width == pytest.approx((high - low) / 2)


def test_one_value_has_no_interval_and_no_nan() -> None:
    found = mean_interval([0.9])
    assert (found.value, found.low, found.high, found.half_width) == (0.9, -math.inf, math.inf, math.inf)


def test_coverage_of_the_mean() -> None:
    x = np.random.default_rng(1).normal(size=(2000, 6))
    inside = sum(found.low <= 0 <= found.high for found in map(mean_interval, x))
    assert stats.binomtest(inside, 2000, 0.95).pvalue > 1e-3


@pytest.mark.parametrize(
    "case", [(8, 10, 0.4901625, 0.9433178), (0, 10, 0.0, 0.2775328), (81, 263, 0.2552931, 0.3662065)]
)
def test_wilson_known_numbers(case: tuple[int, int, float, float]) -> None:
    k, n, low, high = case
    found = wilson_interval(k, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-4)
    oracle = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


@pytest.mark.parametrize("call", [
    lambda: mean_interval([]),
    lambda: mean_interval([1.0, 2.0], 1.0),
    lambda: mean_interval([1.0], 0.0),
    lambda: wilson_interval(1, 0),
    lambda: wilson_interval(3, 2),
])  # fmt: skip
def test_refused(call) -> None:
    with pytest.raises(WrongSetting):
        call()

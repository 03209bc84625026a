from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mho.errors import WrongSetting
from mho.statistics import accuracy_at, lifetime, yield_at

AGES = (1.0, 1e2, 1e4, 1e6)


def _falling(ages: tuple[float, ...], slopes: np.ndarray) -> np.ndarray:
    """Accuracy 0.9 - slope·log10(t): exactly what is interpolated."""
    return 0.9 - slopes[:, None] * np.log10(ages)[None]


@given(slope=st.floats(0.002, 0.05), floor=st.floats(0.7, 0.899))
@settings(max_examples=60, deadline=None)
def test_lifetime_of_a_logarithmic_law(slope: float, floor: float) -> None:
    truth = 10 ** ((0.9 - floor) / slope)
    found = lifetime(AGES, _falling(AGES, np.full(3, slope)), floor)
    if truth > 1e6 * (1 + 1e-9):
        assert found.beyond and found.t_s == 1e6 and found.high_s == math.inf
    elif truth < 1e6 * (1 - 1e-9):
        assert found.t_s == pytest.approx(truth, rel=1e-6)
        assert found.low_s <= found.t_s <= found.high_s == pytest.approx(found.low_s, rel=1e-6)


def test_age_zero_stands_a_tenth_before_the_next() -> None:
    found = lifetime((0.0, 10.0), [[1.0, 0.0]], 0.5)
    assert found.t_s == pytest.approx(math.sqrt(1.0 * 11.0) - 1.0)


def test_first_crossing_counts() -> None:
    table = [[0.9, 0.8, 0.9, 0.7]]
    assert lifetime(AGES, table, 0.85).t_s == pytest.approx(10)
    assert lifetime(AGES, [[0.9, 0.9, 0.8, 0.8]], 0.85).t_s == pytest.approx(1e3)
    assert lifetime(AGES, [[0.9, 0.9, 0.9, 0.6]], 0.8).t_s == pytest.approx(10 ** (4 + 2 / 3))


def test_already_outside() -> None:
    found = lifetime(AGES, [[0.5] * 4, [0.6] * 4], 0.8)
    assert found.before and not found.beyond
    assert (found.t_s, found.low_s, found.high_s) == (1.0, 0.0, 1.0)
    assert str(found) == "less than 1 s"


def test_on_the_floor_is_inside() -> None:
    assert lifetime(AGES, [[0.92 - 0.01] * 4], 0.91).beyond
    assert yield_at(AGES, [[0.91] * 4], 0.92 - 0.01, 1e3).inside == 1


def test_percentile_is_shorter_than_mean() -> None:
    table = _falling(AGES, np.linspace(0.01, 0.03, 21))
    low = lifetime(AGES, table, 0.85, statistic=5)
    assert low.t_s < lifetime(AGES, table, 0.85).t_s
    assert low.t_s == pytest.approx(10 ** (0.05 / 0.029), rel=1e-6)


def test_one_chip_has_no_interval() -> None:
    found = lifetime(AGES, [[0.9, 0.8, 0.7, 0.6]], 0.75)
    assert (found.low_s, found.high_s) == (0.0, math.inf)
    assert str(found).endswith("[unknown]")


def test_bootstrap_is_repeatable() -> None:
    table = _falling(AGES, np.random.default_rng(0).uniform(0.01, 0.03, 12))
    assert lifetime(AGES, table, 0.85, seed=4) == lifetime(AGES, table, 0.85, seed=4)
    assert lifetime(AGES, table, 0.85, seed=4) != lifetime(AGES, table, 0.85, seed=5)


@pytest.mark.parametrize("chips", [4, 12])
def test_bootstrap_covers(chips: int) -> None:
    rng = np.random.default_rng(chips)
    truth, covered = 10 ** (0.05 / 0.02), 0
    for repeat in range(250):
        table = _falling(AGES, rng.normal(0.02, 0.004, chips))
        found = lifetime(AGES, table, 0.85, seed=repeat)
        covered += found.low_s <= truth <= found.high_s
    assert 0.87 * 250 <= covered <= 0.995 * 250


def test_yield_between_ages() -> None:
    table = _falling(AGES, np.array([0.01, 0.02, 0.03, 0.04]))
    found = yield_at(AGES, table, 0.85, 1e2)  # on the floor at slope 0.025
    assert (found.inside, found.chips, found.share) == (2, 4, 0.5)
    assert 0 < found.low < 0.5 < found.high < 1
    assert accuracy_at(AGES, table, 31.6227766)[:, 0] == pytest.approx([0.885, 0.87, 0.855, 0.84])
    assert yield_at(AGES, table, 0.85, 1e6).inside == 0


@pytest.mark.parametrize("call", [
    lambda: yield_at(AGES, [[0.9] * 4], 0.8, 2e6),
    lambda: yield_at(AGES, [[0.9] * 4], 0.8, 0.0),
    lambda: lifetime((1.0, 1.0), [[0.9, 0.8]], 0.8),
    lambda: lifetime(AGES, [[0.9, 0.8]], 0.8),
    lambda: lifetime(AGES, [[0.9] * 4], 0.8, statistic=101),
    lambda: lifetime(AGES, [[0.9] * 4], 0.8, statistic="median"),
    lambda: lifetime((), np.zeros((1, 0)), 0.8),
])  # fmt: skip
def test_refused(call) -> None:
    with pytest.raises(WrongSetting):
        call()


def test_few_chips_say_nothing_about_a_tail() -> None:
    """One chip in twenty falls at once; among eight it is mostly missed, and the lower bound says so."""
    rng, missed = np.random.default_rng(0), 0
    for _ in range(200):
        slopes = np.where(rng.uniform(size=8) < 0.06, 0.2, 0.001)
        found = lifetime(AGES, _falling(AGES, slopes), 0.85, statistic=5)
        assert found.low_s == 0 and found.chips_wanted == 72
        if found.beyond:
            missed += 1
            assert str(found) == "at least 11.6 days [tail not known; 72 chips would tell]"
            inside = yield_at(AGES, _falling(AGES, slopes), 0.85, 1e6)
            assert inside.tail.startswith("up to 37 % of all chips may be worse than the 8 measured; 72 would tell")
    assert missed > 80
    assert yield_at(AGES, _falling(AGES, np.full(72, 0.001)), 0.85, 1e6).tail == ""
    assert yield_at(AGES, _falling(AGES, np.array([0.001, 0.2])), 0.85, 1e6).tail == ""


@pytest.mark.parametrize(("chips", "statistic"), [(72, 5), (100, 5), (40, 20), (30, 50)])
def test_the_interval_of_a_percentile_covers_whatever_the_distribution(chips: int, statistic: float) -> None:
    rng, covered = np.random.default_rng(chips), 0
    # the lifetime of slope s is 10^(0.05/s): heavy-tailed slopes, exponential above a floor
    truth = 10 ** (0.05 / (0.01 - 0.01 * math.log(statistic / 100)))
    for _ in range(400):
        table = _falling((1.0, 1e2, 1e4, 1e6, 1e9), 0.01 + rng.exponential(0.01, chips))
        found = lifetime((1.0, 1e2, 1e4, 1e6, 1e9), table, 0.85, statistic=statistic)
        covered += found.low_s <= truth <= found.high_s
        assert found.chips_wanted == 0 and found.low_s > 0
    assert covered >= 0.93 * 400


def test_the_numbers_of_the_literature() -> None:
    from mho.statistics.tails import chips_to_see, ranks, unseen

    assert chips_to_see(0.05, 0.90) == 59  # Wilks: 59 draws for 95 % one-sided
    assert unseen(8) == pytest.approx(1 - 0.025 ** (1 / 8)) and unseen(72) < 0.05 < unseen(71)
    assert ranks(71, 0.05)[0] == 0 and ranks(72, 0.05)[0] == 1
    assert ranks(10, 0.5) == (2, 9)  # David and Nagaraja: between the 2nd and the 9th of ten, 97.9 %

"""The repeated-measures test against closed forms and scipy, and its error rate with two random units."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mho.statistics.holm import holm
from mho.statistics.within import within


def test_one_contrast_on_several_chips_is_the_paired_t_test():
    z = np.random.default_rng(0).normal(0.4, 1.0, size=(1, 1, 7))
    found, known = within(z, 1.0), stats.ttest_1samp(z[0, 0], 0.0)
    assert found.p == pytest.approx(known.pvalue) and found.f == pytest.approx(known.statistic**2)
    assert found.freedom == pytest.approx((1, 6))
    assert within(z.transpose(0, 2, 1), 1.0).p == pytest.approx(known.pvalue)  # seeds alone


def test_several_contrasts_have_the_freedom_of_greenhouse_and_geisser():
    z = np.random.default_rng(1).normal(size=(3, 1, 6)) * np.array([1.0, 3.0, 0.2])[:, None, None]
    found = within(z, 1.0)
    values = np.linalg.eigvalsh(np.cov(z[:, 0]))
    epsilon = values.sum() ** 2 / (3 * (values**2).sum())
    assert found.freedom == pytest.approx((3 * epsilon, 15 * epsilon)) and epsilon < 0.6
    mean = z[:, 0].mean(axis=1)
    assert found.f == pytest.approx(6 * (mean @ mean) / 3 / (values.sum() / 3))


def test_one_unit_says_nothing_and_equal_units_say_all():
    assert within(np.ones((2, 1, 1)), 1.0) is None
    exact = within(np.full((2, 1, 4), 0.1), 1.0)
    assert exact.p == 0.0 and math.isinf(exact.f)
    rounding = within(np.full((1, 1, 3), 1e-17) * np.array([1.0, -1.0, 2.0]), 1.0)
    assert rounding.p == 1.0


def test_seeds_and_chips_are_both_random():
    """What differs between seeds alone, or chips alone, is found no more often than chance; 400 tables, 3 standard errors."""
    rng = np.random.default_rng(2)
    for seed, chip in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        tables = [
            seed * rng.normal(size=(2, 3, 1)) + chip * rng.normal(size=(2, 1, 5)) + 0.3 * rng.normal(size=(2, 3, 5))
            for _ in range(400)
        ]
        assert np.mean([within(z, 1.0).p < 0.05 for z in tables]) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_holm_as_in_its_table():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    known = holm([0.001, math.nan, 0.9])
    assert known[0] == pytest.approx(0.003) and math.isnan(known[1]) and known[2] == 1.0

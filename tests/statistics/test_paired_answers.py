from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar

from mho.errors import WrongSetting
from mho.statistics.paired_answers import most_lost

Z = 1.6448536269514722


def _answers(lost, won, n):
    before, after = np.ones(n, bool), np.ones(n, bool)
    after[:lost] = False
    before[lost : lost + won] = False
    return before, after


def _likeliest(delta, lost, won, n):
    """Share of the samples won, given the difference, by maximising the likelihood of the three counts."""

    def cost(q):
        cells = ((lost, q + delta), (won, q), (n - lost - won, 1 - 2 * q - delta))
        return -sum(count * np.log(max(p, 1e-300)) for count, p in cells)

    return minimize_scalar(
        cost, bounds=(max(0.0, -delta), (1 - delta) / 2), method="bounded", options={"xatol": 1e-13}
    ).x


@pytest.mark.parametrize(("lost", "won", "n"), [(7, 3, 200), (3, 9, 200), (1, 0, 50), (30, 5, 100)])
def test_the_bound_solves_the_score_equation(lost, won, n):
    def score(delta):
        q = _likeliest(delta, lost, won, n)
        return (lost - won - n * delta) / np.sqrt(n * (2 * q + delta - delta**2)) + Z

    loss, bound = most_lost(*_answers(lost, won, n))
    assert loss == (lost - won) / n
    assert bound == pytest.approx(brentq(score, loss + 1e-6, 0.9), abs=2e-5)


def test_nothing_lost_is_no_proof_of_nothing():
    assert most_lost(*_answers(0, 0, 1000)) == (0, pytest.approx(Z**2 / (1000 + Z**2)))


def test_ninety_five_of_a_hundred_bounds_hold():
    generator, n, right, shares = np.random.default_rng(0), 400, 0, (0.03, 0.015)
    for _ in range(1500):
        lost, won, _same = generator.multinomial(n, [*shares, 1 - sum(shares)])
        right += most_lost(*_answers(lost, won, n))[1] >= shares[0] - shares[1]
    assert 0.935 <= right / 1500 <= 0.97


def test_a_stricter_bound_lies_higher_and_everything_may_be_lost():
    answers = _answers(5, 2, 300)
    assert most_lost(*answers, 0.99)[1] > most_lost(*answers, 0.95)[1] > most_lost(*answers, 0.6)[1] > 3 / 300
    assert most_lost(np.ones(20, bool), np.zeros(20, bool)) == (1, pytest.approx(1))
    assert most_lost(np.zeros(20, bool), np.ones(20, bool))[1] < 0


@pytest.mark.parametrize(
    "arguments", [([True], [True, False]), ([], []), ([True], [True], 0.5), ([True], [True], 1.0), ([[True]], [[True]])]
)
def test_nonsense_is_refused(arguments):
    with pytest.raises(WrongSetting):
        most_lost(*arguments)

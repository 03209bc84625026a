"""The measures of a detector, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mho.errors import BadInput
from mho.statistics.detection import detection


def test_by_hand():
    found = detection([2.0, -1.0, 0.5, -3.0], [1, 1, 0, 0])
    assert (found.accuracy, found.balanced, found.positive, found.f1) == (0.5, 0.5, 0.5, 0.5)
    assert found.auc == 0.75  # three of the four pairs stand in order
    assert found.loss == pytest.approx(np.mean([np.log1p(np.exp(a)) for a in (-2.0, 1.0, 0.5, -3.0)]))


def test_auc_is_the_share_of_pairs_in_order_with_ties_counted_half():
    generator = np.random.default_rng(0)
    z, y = generator.integers(-4, 5, 300).astype(float), generator.integers(0, 2, 300)
    above = z[y == 1][:, None] - z[y == 0][None]
    assert detection(z, y).auc == pytest.approx(np.mean((above > 0) + 0.5 * (above == 0)))


def test_a_shift_of_all_logits_costs_accuracy_and_no_auc():
    z, y = np.concatenate([np.linspace(-3, -1, 53), np.linspace(1, 3, 47)]), np.repeat([0, 1], [53, 47])
    assert detection(z, y).accuracy == 1
    shifted = detection(z + 10, y)
    assert (shifted.auc, shifted.positive, shifted.balanced) == (1, 1, 0.5) and shifted.accuracy == 0.47
    assert detection(z + 10, y, threshold=10).accuracy == 1


def test_constant_and_certain_answers():
    assert detection([-1.0, -1.0], [0, 1]).f1 == 0 and detection([0.3, 0.3], [0, 1]).auc == 0.5
    assert detection([-np.inf, np.inf], [1, 0]).loss == np.inf


@pytest.mark.parametrize(
    ("logits", "labels", "what"),
    [([1.0], [0, 1], "1 logits"), ([np.nan, 1.0], [0, 1], "no numbers"), ([1.0, 2.0], [1, 1], r"labels are \[1\]")],
)
def test_what_is_refused(logits, labels, what):
    with pytest.raises(BadInput, match=what):
        detection(logits, labels)

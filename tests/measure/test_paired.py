from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from mho.errors import WrongSetting
from mho.measure import DataInfo, DriftResult, Measurement, RunHeader
from mho.measure.paired import paired

AGES = (3600.0, 86400.0)


def _result(rights, n=200, share=1, **changes):
    """`rights`: right answers (passes, ages)."""
    header = RunHeader(
        model="net", data=DataInfo("toy", n, "abc"), hardware={"name": "pcm"}, hardware_digest="h", seed=3, times_s=AGES,
        max_chips=len(rights), chips_per_pass=share,
    )  # fmt: skip
    header = dataclasses.replace(header, **changes)

    def measured(chip, age, right, chips):
        return Measurement(chip, age, n, np.arange(n) < right, 0.5, chips=chips)

    rows = [
        measured(i * share, age, right, share)
        for i, row in enumerate(rights)
        for age, right in zip(header.times_s, row, strict=True)
    ]
    return DriftResult(header, measured(-1, 0.0, 190, 1), rows)


A = [[180, 150], [170, 160], [160, 140], [175, 130]]
B = [[178, 140], [169, 155], [155, 131], [172, 118]]


def test_it_is_the_paired_t_interval():
    for confidence in (0.95, 0.5):
        for k, interval in enumerate(paired(_result(A), _result(B), confidence)):
            a, b = (np.array(x)[:, k] / 200 for x in (A, B))
            low, high = stats.ttest_rel(a, b).confidence_interval(confidence)
            assert (interval.value, interval.low, interval.high) == pytest.approx(((a - b).mean(), low, high))


def test_what_chips_have_in_common_drops_out():
    both = paired(_result(A), _result(B))
    a, b = _result(A).summary(), _result(B).summary()
    for interval, one, other in zip(both, a, b, strict=True):
        assert interval.low > 0
        assert one.low < other.high, "apart, the two intervals overlap"
    back = paired(_result(B), _result(A))
    assert [i.value for i in back] == pytest.approx([-i.value for i in both])


def test_shared_passes_are_paired_by_pass():
    whole, shared = (paired(_result(A, share=k), _result(B, share=k)) for k in (1, 5))
    assert whole == shared


def test_one_chip_says_nothing_about_the_spread():
    (interval, _) = paired(_result(A[:1]), _result(B[:1]))
    assert interval.value == pytest.approx(0.01) and interval.half_width == np.inf


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (_result(B[:3]), "chips"), (_result(B, seed=4), "seed"), (_result(B, share=2), "images"),
        (_result(B, data=DataInfo("toy", 200, "other")), "data"), (_result(B, times_s=(3600.0, 9e4)), "times"),
    ],
)  # fmt: skip
def test_what_is_no_pair_is_refused(other, named):
    with pytest.raises(WrongSetting, match=f"^{named}: ") as error:
        paired(_result(A), other)
    assert error.value.path == named

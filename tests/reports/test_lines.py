"""The picture of several lines: every kind of axis, levels, and what lies out of it."""

from __future__ import annotations

import re

import matplotlib
import pytest

from mho.reports.lines import draw
from mho.statistics.intervals import Interval
from mho.studies import Figure, Series, limit, points, reference

Y = points([Interval(0.9, 0.85, 0.95), Interval(0.7, 0.6, 0.8), Interval(0.2, 0.1, 0.3)])


def _texts(figure):
    return re.findall(r">([^<>]+)</text>", draw(figure))


@pytest.mark.parametrize(
    ("x", "places", "ticks"),
    [
        ("age", (60.0, 3600.0, 86400.0), {"1 min", "1 h", "1 day"}),
        (("none", "<some>", "all"), range(3), {"none", "&lt;some&gt;", "all"}),
        ("linear", (0.0, 0.1, 0.2), {"0.000", "0.100", "0.200"}),
        ("log", (0.1, 1.0, 10.0), set()),
    ],
)
@pytest.mark.parametrize("legend", [True, False])
def test_axes(x, places, ticks, legend):
    lines = [Series("first", Y, places), Series("second", Y, places, "dashed", base=50.0)]
    figure = Figure(
        "f", "t", [*lines, reference("digital", 95.0), limit("budget", 94.0)], "acc (%)", x, "what", legend=legend
    )
    found = _texts(figure)
    assert ticks | {"first", "second", "acc (%)", "what"} <= set(found)
    assert ({"digital", "budget"} <= set(found)) == legend


def test_what_lies_below_is_told_in_words():
    low = Figure("f", "t", [Series("a", Y, range(3))], "acc", ("0", "1", "2"), low=50.0, high=100.0)
    assert "20 to 20" in _texts(low) and "20 to 20" not in _texts(Figure("f", "t", low.series, "acc", low.x))


def test_bytes_are_the_same_and_settings_left_alone():
    figure = Figure("f", "t", [Series("a", Y, range(3), single=[[89.0, 91.0]] * 3)], "acc", ("0", "1", "2"))
    before = dict(matplotlib.rcParams)
    assert draw(figure) == draw(figure) and dict(matplotlib.rcParams) == before


def test_points():
    (found,) = points([Interval(0.9, 0.85, 0.95)], 0.5)
    assert (found.value, found.low, found.high) == pytest.approx((40.0, 35.0, 45.0))

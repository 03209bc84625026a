from __future__ import annotations

import pytest

from mho.errors import WrongSetting
from mho.units import microsiemens, seconds, show_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h", 3600.0), ("1 h", 3600.0), ("1 day", 86400.0), ("1d", 86400.0), ("1 month", 30 * 86400.0),
        ("1mo", 30 * 86400.0), ("6 months", 180 * 86400.0), ("1y", 365 * 86400.0), ("2 weeks", 14 * 86400.0),
        ("1.5e3 s", 1500.0), ("250 ns", 250e-9), (60, 60.0), ("0 s", 0.0), ("10 min", 600.0), ("90 minutes", 5400.0),
    ],
)  # fmt: skip
def test_times_from_strings(text, expected):
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "bad", ["1 fortnight", "soon", "1.2.3 s", "h", "", "-1 h", -1, float("nan"), float("inf"), "1e400 s"]
)
def test_impossible_times_are_refused_with_a_way_out(bad):
    with pytest.raises(WrongSetting) as error:
        seconds(bad)
    assert error.value.remedy


@pytest.mark.parametrize(
    ("text", "expected"), [("25 µS", 25.0), ("25 uS", 25.0), ("0.1 mS", 100.0), ("5 nS", 5e-3), (7, 7.0)]
)
def test_conductances_from_strings(text, expected):
    assert microsiemens(text) == pytest.approx(expected)


@pytest.mark.parametrize("bad", ["25 us", "25 V", "25"])
def test_a_time_is_no_conductance(bad):
    with pytest.raises(WrongSetting):
        microsiemens(bad)


@pytest.mark.parametrize("t", [1.0, 60.0, 3600.0, 86400.0, 30 * 86400.0, 180 * 86400.0, 365 * 86400.0, 9 * 86400.0])
def test_what_is_shown_reads_back(t):
    assert seconds(show_time(t)) == pytest.approx(t, rel=5e-3)


def test_ages_are_shown_as_people_write_them():
    assert [show_time(t) for t in (0, 60, 3600, 86400, 15552000.0, 31536000.0)] == [
        "0 s", "1 min", "1 h", "1 day", "6 months", "1 year",
    ]  # fmt: skip

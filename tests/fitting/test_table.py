"""Tables of measurements: spellings that are read, and what is refused, where and why."""

from __future__ import annotations

import numpy as np
import pytest

from mho.errors import BadInput, MhoError, WrongSetting
from mho.fitting import fit_device, read_measurements
from mho.fitting.header import head

LONG = "cell,target [uS],time [s],g [uS]"


def write(tmp_path, text: str):
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    return path


def long(head_: str = LONG, cells: int = 6, times=(20, 100), scale: float = 1.0, time_scale: float = 1.0) -> str:
    lines = [head_]
    for c in range(cells):
        for t in times:
            lines.append(f"{c},{(5 + c) * scale:g},{t * time_scale:g},{(5 + c) * (1 - 0.01 * c) * scale:.6g}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "role", "unit"),
    [
        ("G_target [uS]", "target", "uS"),
        ("target_us", "target", "us"),
        ("Target conductance (µS)", "target", "µS"),
        ("conductance in nS", "conductance", "ns"),
        ("g / uS", "conductance", "uS"),
        ("time (h)", "time", "h"),
        ("t_s", "time", "s"),
        ("Device ID", "cell", None),
        ("read number", "read", None),
        ("temperature [°C]", "temperature", "°C"),
        ("comment", "", None),
    ],
)
def test_heads_of_columns(text, role, unit):
    found = head(text)
    assert (found.role, found.unit) == (role, unit)


@pytest.mark.parametrize(
    ("text", "t_s"),
    [("20 s", 20.0), ("t=20s", 20.0), ("g(1 h) [nS]", 3600.0), ("G @ 1 day", 86400.0), ("g_5min", 300.0)],
)
def test_heads_of_wide_columns(text, t_s):
    assert (head(text).role, head(text).time_s) == ("wide", t_s)


def test_units_in_heads_values_and_options_give_the_same(tmp_path):
    first = read_measurements(write(tmp_path, long()))
    nano = read_measurements(
        write(
            tmp_path,
            long("device;G_target (nS);time (min);conductance (nS)".replace(";", ","), scale=1e3, time_scale=1 / 60),
        )
    )
    bare = read_measurements(write(tmp_path, long("cell,target,time,g")), conductance_unit="uS", time_unit="s")
    semicolons = read_measurements(write(tmp_path, "# by hand\n" + long().replace(",", ";")))
    lines = [LONG.replace(" [uS]", "").replace(" [s]", "")]
    lines += [f"{c},{t} uS,{a} s,{g} uS" for c, t, a, g in (line.split(",") for line in long().splitlines()[1:])]
    own = read_measurements(write(tmp_path, "\n".join(lines)))
    wide = ["cell,target [uS],20 s [uS],100 s [uS]"]
    wide += [f"{c},{5 + c},{(5 + c) * (1 - 0.01 * c):.6g},{(5 + c) * (1 - 0.01 * c):.6g}" for c in range(6)]
    for other in (nano, bare, semicolons, own, read_measurements(write(tmp_path, "\n".join(wide)))):
        assert np.allclose(other.g_us, first.g_us, rtol=1e-5) and np.allclose(other.time_s, first.time_s, rtol=1e-4)
        assert np.allclose(other.target_us, first.target_us) and other.cells == first.cells


def test_a_reading_that_is_missing_in_wide_form_is_not_there(tmp_path):
    text = "cell,target [uS],20 s [uS],1 h [uS]\n" + "".join(
        f"{c},{c + 1},{c + 1},{'' if c == 2 else c + 1}\n" for c in range(6)
    )
    found = read_measurements(write(tmp_path, text))
    assert found.readings == 11 and np.isnan(found.g_us[2, 1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no readings"),
        ("cell,target [uS],g [uS]\n1,2,3\n", "no column time"),
        ("cell,time [s],g [uS]\n1,2,3\n", "no column target"),
        ("target [uS],time [s],g [uS]\n1,2,3\n", "no column cell"),
        (long("cell,target,time [s],g [uS]"), "'target' has no unit"),
        (long("cell,target [uS],time,g [uS]"), "'time' has no unit"),
        (long("cell,target [uS],time [s],g [nS]"), "0.000975 times their targets"),
        (long().replace("5,10,20,9.5", "5,10,20,9.5 uS"), "has a unit in 1 lines and none in 11"),
        (long().replace("5,10,20,9.5", "5,10,20,nan"), "line 12: no conductance ('nan')"),
        (long().replace("5,10,20,9.5", "5,10,20,inf"), "line 12: conductance 'inf' is not finite"),
        (long().replace("5,10,20,9.5", "5,10,20,abc"), "line 12: conductance 'abc' is no number"),
        (long().replace("5,10,20,9.5", "5,10,20,-9.5"), "line 12: negative conductance '-9.5'"),
        (long().replace("5,10,20,9.5", "5,10,20,1e300"), "1 conductance beyond 1 S, the first 1e+294 S"),
        (
            long().replace(",", ";").replace("5;10;20;9.5", "5;10;20;9,5"),
            "line 12: conductance '9,5' has a decimal comma",
        ),
        (long().replace("5,10,20,9.5", "5,10,0,9.5"), "lies at programming itself"),
        (long().replace("5,10,20,9.5", "5,10,-3,9.5"), "lies before programming"),
        (long().replace("5,10,20,9.5", "5,10,1790000000,9.5"), "beyond 40 years"),
        (long().replace("5,10,20,9.5", "5,10,100,9.5"), "cell 5 has several readings at 1.67 min"),
        (long().replace("5,10,20,9.5", "5,11,20,9.5"), "cell 5 has 2 targets: 10 µS, 11 µS"),
        (long().replace("5,10,20,9.5", "5,10,20"), "line 12 has 3 fields, the head 4"),
        (long(cells=1), "1 cell: how cells differ cannot be known from one"),
        (long(cells=4), "4 cells: how cells differ cannot be known from so few"),
        (LONG + ",conductance [uS]\n1,2,3,4,5\n", "several columns are the conductance"),
        (
            LONG + ",temperature [°C]\n" + "".join(f"{c},5,20,5,{25 + 60 * (c > 2)}\n" for c in range(6)),
            "readings at 2 temperatures: 25, 85 °C",
        ),
    ],
)
def test_tables_that_are_refused(tmp_path, text, said):
    with pytest.raises(BadInput) as error:
        read_measurements(write(tmp_path, text))
    assert said in error.value.problem and error.value.remedy and str(tmp_path) in str(error.value)


def test_invalid_readings_can_be_left_out_and_are_counted(tmp_path):
    text = long().replace("5,10,20,9.5", "5,10,20,nan").replace("4,9,20,8.64", "4,9,20,-1")
    found = read_measurements(write(tmp_path, text), skip_invalid=True)
    assert found.readings == 10
    assert (
        found.notes == ("1 reading left out: no conductance", "1 reading left out: negative conductance")
        or len(found.notes) == 2
    )


def test_one_temperature_of_several_is_taken_by_name(tmp_path):
    text = LONG + ",T_C\n" + "".join(f"{c}-{k},{5 + c},20,{5 + c},{k}\n" for c in range(6) for k in (25, 85))
    found = read_measurements(write(tmp_path, text), temperature=85)
    assert found.temperature_c == 85 and len(found.cells) == 6
    with pytest.raises(BadInput, match="no reading at 30"):
        read_measurements(write(tmp_path, text), temperature=30)


def test_options_that_are_refused(tmp_path):
    path = write(tmp_path, long())
    for settings, said in (
        ({"conductance_unit": "ohm"}, "unit"),
        ({"g_max": 5.0}, "lie outside"),
        ({"t_read": "soon"}, "soon"),
        ({"levels": 1}, "levels"),
        ({"confidence": 2}, "confidence"),
        ({"resamples": 3}, "resamples"),
        ({"temperature": 25.0}, "no column of temperatures"),
    ):
        with pytest.raises(WrongSetting, match=said):
            fit_device(path, **settings)
    with pytest.raises(MhoError, match="cannot read it"):
        fit_device(tmp_path / "nothing.csv")
    with pytest.raises(BadInput, match="cannot tell t₀"):
        fit_device(path, first_read="fit")


def test_five_cells_that_hold_their_targets_exactly_are_fitted(tmp_path):
    text = "cell,target [uS],time [s],g [uS]\n" + "".join(f"{c},{5 + c},20,{5 + c}\n" for c in range(5))
    found = fit_device(write(tmp_path, text), resamples=50)
    assert found.quantities["programming_us"].at(0.9).value == pytest.approx(0.0, abs=1e-6)

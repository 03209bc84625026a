"""A fitted cell holds what was planted, and says what the data cannot tell."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch

import mho
from mho.devices.fitted import Fitted
from mho.devices.law import Law
from mho.devices.pcm import PCM
from mho.devices.power_law import PowerLaw
from mho.devices.reram_milo import SIGMA_US, ReRAMMilo
from mho.errors import WrongSetting
from mho.fitting import DeviceFit
from mho.fitting.shapes import PCM_NU, PCM_NU_STD, PCM_READING
from mho.hardware import Cell, Hardware
from mho.rng import Stream
from mho.testing import check_cell

AGES_S = (0.0, 100.0, 1e4, 1e6)


def planted(
    cell: Cell, each: int = 15, ages_s=AGES_S, seed: int = 0, reads: int = 1, targets: int = 9
) -> dict[str, list]:
    """Readings of simulated cells, as columns."""
    levels = np.linspace(max(cell.g_min_us, cell.g_max_us / 9), cell.g_max_us, targets)
    target = torch.tensor(np.repeat(levels, each), dtype=torch.float64)
    draw, first = Stream((seed, "planted")), getattr(cell, "t0_s", 1.0)
    state, found = cell.program(target, draw), defaultdict(list)
    for age in ages_s:
        for read in range(reads):
            g = cell.read(cell.age(state, age), state, age, draw / (f"{age:g}", read))
            found["cell"] += range(len(target))
            found["target [uS]"] += target.tolist()
            found["time [s]"] += [age + first] * len(target)
            found["g [uS]"] += g.tolist()
            found["read"] += [read] * len(target)
    return dict(found)


def fit(columns: dict[str, list], **settings) -> DeviceFit:
    return mho.fit_device(columns, **{"resamples": 100, **settings})


def holds(fitted: DeviceFit, name: str, r: float, value: float) -> bool:
    found = fitted.quantities[name].at(r)
    return found.low <= value <= found.high


def test_the_laws_of_the_shapes_are_those_of_the_cell():
    r, pcm = torch.linspace(0.01, 1, 50), PCM()
    for law, own in (
        (PCM_NU, pcm.nu_statistics(r)[0]),
        (PCM_NU_STD, pcm.nu_statistics(r)[1]),
        (PCM_READING, pcm.reading(r)),
    ):
        assert torch.allclose(law(r), own)


def test_pcm_is_found_again():
    fitted, pcm = fit(planted(PCM(), 25, seed=1)), PCM()
    at = torch.tensor([0.5])
    assert holds(fitted, "programming_us", 0.5, float(pcm.sigma_programming_us(at)))
    assert holds(fitted, "nu", 0.5, 0.049) and holds(fitted, "nu_std", 0.5, 0.008)
    assert fitted.cell.t0_s == 20.0 and fitted.cell.g_max_us == 25.0
    assert not fitted.stages.odd
    half = fitted.quantities["nu"].at(0.5).half_width
    assert 0 < half < 0.01


def test_a_power_law_with_white_noise_is_found_again():
    cell = Fitted(g_max_us=50.0, t0_s=1.0, programming_us=Law(coefficients=(1.0,)), nu=Law(coefficients=(0.03,)),
                  nu_std=Law(coefficients=(0.01,)), reading_q=Law(coefficients=(0.01,)), reading_form="white")  # fmt: skip
    fitted = fit(planted(cell, 20, ages_s=(0.0, 1.0, 1e3, 1e5), seed=5, reads=3), t_read="0.1 s")
    for name, value in (("programming_us", 1.0), ("nu", 0.03), ("nu_std", 0.01), ("reading_q", 0.01)):
        assert holds(fitted, name, 0.5, value), name
    assert fitted.cell.reading_form == "white"


def test_reram_at_one_time_has_its_programming_error_and_no_drift():
    fitted = fit(planted(ReRAMMilo(), 30, ages_s=(0.0,), seed=2))
    assert holds(fitted, "programming_us", 0.6, SIGMA_US[0] + SIGMA_US[1] * 0.6 * 225)
    assert (
        fitted.cell.drift == 0
        and fitted.cell.nu is None
        and "drift" in Hardware.preset("pcm").replace(cell=fitted.cell).leaves_out()
    )
    told = " ".join(fitted.unknown)
    assert "one time only" in told and "holds the read noise" in told


def test_two_times_cannot_tell_drift_from_read_noise_unless_readings_are_repeated():
    cell = PowerLaw(nu_std=0.02, read_us=0.2)
    assert any("cannot be told from read noise" in s for s in fit(planted(cell, ages_s=(0.0, 1e4))).unknown)
    repeated = fit(planted(cell, ages_s=(0.0, 1e4), reads=4))
    assert not any("cannot be told from read noise" in s for s in repeated.unknown)
    assert holds(repeated, "nu_std", 0.5, 0.02)


def test_intervals_hold_what_was_planted_about_as_often_as_they_say():
    """54 cells are few: there 83 to 90 % of the intervals of 95 % hold it (benchmarks/fitting has more cells). Of 36 with 83 %,
    all but 1 in 200 runs find more than 23."""
    inside = []
    for seed in range(12):
        fitted = fit(
            planted(PowerLaw(nu=0.06, nu_std=0.015, read_us=0.3, programming_us=1.0), 6, seed=seed), resamples=50
        )
        planted_values = {"programming_us": 1.0, "nu": 0.06, "nu_std": 0.015}
        inside += [holds(fitted, name, 0.5, value) for name, value in planted_values.items()]
    assert sum(inside) > 23, sum(inside)


def test_stuck_and_odd_cells_are_named_and_do_not_move_the_laws():
    columns = planted(PowerLaw(programming_us=0.5, read_us=0.2), 20, seed=3)
    cell, g = np.array(columns["cell"]), np.array(columns["g [uS]"])
    g[cell == 170], g[cell == 171], g[cell == 5] = 0.02, 0.0, 24.9
    g[cell == 90] *= 1.6
    fitted = fit({**columns, "g [uS]": g})
    assert {(o.cell, o.why) for o in fitted.stages.odd} >= {
        (170, "stuck low"),
        (171, "stuck low"),
        (5, "stuck high"),
        (90, "programming"),
    }
    assert holds(fitted, "programming_us", 0.5, 0.5)
    assert fitted.stuck["stuck low"].value == pytest.approx(2 / 120) and fitted.stuck["stuck low"].high < 0.1
    assert fitted.hardware().faults.stuck_low == fitted.stuck["stuck low"].value


def test_t0_is_fitted_where_times_count_from_the_first_reading():
    cell = Fitted(g_max_us=25.0, t0_s=40.0, programming_us=Law(coefficients=(0.5,)), nu=Law(coefficients=(0.08,)),
                  reading_q=Law(coefficients=(0.003,)), reading_form="white")  # fmt: skip
    columns = planted(cell, 10, ages_s=(0.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4))
    columns["time [s]"] = [t - 40.0 for t in columns["time [s]"]]
    fitted = fit(columns, first_read="fit")
    assert fitted.t0.low <= 40.0 <= fitted.t0.high and fitted.t0.high < 2 * fitted.t0.low
    assert holds(fit(columns, first_read="40 s"), "nu", 0.5, 0.08)


def test_errors_that_are_not_power_laws_in_time_show():
    columns = planted(PowerLaw(read_us=0.1, nu_std=0.0), 10, ages_s=(0.0, 100.0, 1e4, 1e6))
    bump = {20.0: 1.0, 120.0: 0.7, 10020.0: 1.0, 1000020.0: 1.0}
    columns["g [uS]"] = [g * bump[t] for g, t in zip(columns["g [uS]"], columns["time [s]"], strict=True)]
    assert any("power law of drift does not hold" in s for s in fit(columns).unknown)


def test_the_fitted_cell_is_one_that_any_command_takes(tmp_path):
    fitted = fit(planted(PCM(), 8, seed=4))
    check_cell(fitted.cell)
    paths = fitted.write(tmp_path)
    hw = Hardware.from_yaml(paths["device.yaml"])
    assert hw.cell == fitted.cell and hw.encoding.kind == "differential"
    again = Hardware.preset("hermes").replace(cell=Fitted.parse(fitted.cell.as_dict()))
    assert again.cell.kind == "fitted"
    page = mho.report(fitted, tmp_path).read_text()
    assert page.count("<figure") == 5 and "What the data cannot tell" in page and "https://" not in page
    import json

    numbers = json.loads(paths["fit.json"].read_text())
    assert numbers["laws"]["nu"]["tried"][0]["delta_aicc"] == 0 and len(numbers["laws"]["nu"]["curve"]) == 33


def test_laws_refuse_what_they_cannot_be():
    for wrong in (
        {"form": "log", "coefficients": (1.0,)},
        {"coefficients": ()},
        {"form": "table", "coefficients": (1.0, 2.0)},
        {"form": "table", "coefficients": (1.0, 2.0), "at": (0.5, 0.2)},
        {"coefficients": (1.0,), "low": 2.0, "high": 1.0},
    ):
        with pytest.raises(WrongSetting):
            Law(**wrong)
    with pytest.raises(WrongSetting, match="drift"):
        Fitted(g_max_us=25.0, drift=1.0)
    with pytest.raises(WrongSetting, match="nu"):
        Fitted(g_max_us=25.0, nu_std=Law(coefficients=(0.1,)))
    table = Law(form="table", coefficients=(1.0, 3.0), at=(0.2, 0.6))
    assert torch.allclose(table(torch.tensor([0.0, 0.4, 1.0])), torch.tensor([1.0, 2.0, 3.0]))

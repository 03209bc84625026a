"""A cell that relaxes holds what its formula says, and is found again where it was planted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import mho
from mho.devices.law import Law
from mho.devices.relaxing import Relaxing
from mho.errors import BadInput, WrongSetting
from mho.rng import Stream
from mho.testing import check_cell

CELL = Relaxing(
    g_max_us=40.0, onset_s=1e-3, programming_us=Law(coefficients=(0.3,)), trend_us=Law(coefficients=(0.0, -0.4)),
    fluctuation_us=Law(coefficients=(1.2,)),
)  # fmt: skip
TIMES_S = (0.0, 0.01, 0.1, 1.0, 1e5)


def grown(t_s: float) -> float:
    return math.log10(1 + t_s / 1e-3)


def columns(each: int = 40, seed: int = 0) -> dict[str, list]:
    """Readings of exact 1/f noise from the verified conductance, which the cell gives by a walk and by readings."""
    target = np.repeat(np.linspace(10.0, 40.0, 8), each)
    rng = np.random.default_rng(seed)
    later = np.array(TIMES_S[1:])
    size = np.log10(1 + later / 1e-3)
    covariance = (size[:, None] + size - np.log10(1 + np.abs(later[:, None] - later) / 1e-3)) / 2
    verified = target + 0.3 * rng.standard_normal(len(target))
    noise = rng.standard_normal((len(target), 4)) @ np.linalg.cholesky(covariance).T
    g = np.concatenate([verified[:, None], verified[:, None] - 0.4 * target[:, None] / 40 * size + 1.2 * noise], axis=1)
    return {
        "cell": np.repeat(np.arange(len(target)), 5).tolist(), "target [uS]": np.repeat(target, 5).tolist(),
        "time [s]": list(TIMES_S) * len(target), "g [uS]": np.maximum(g, 0).ravel().tolist(),
    }  # fmt: skip


def test_the_cell_keeps_the_laws_of_cells():
    check_cell(CELL)
    check_cell(CELL.replace(programming_us=None, programming_noise=0.0, trend_us=None))
    check_cell(CELL.replace(relaxation=0.5))


def test_mean_spread_and_memory_are_those_of_the_formula():
    target, draw = torch.full((200_000,), 30.0, dtype=torch.float64), Stream((0, "cell"))
    state = CELL.program(target, draw)
    gone = {}
    for age in (0.099, 86400.0, 3e9):
        g = CELL.read(CELL.age(state, age), state, age, draw / f"{age}")
        gone[age] = (g - state["g"]).numpy()
        assert gone[age].mean() == pytest.approx(-0.3 * grown(age), abs=0.02)
        assert gone[age].std() == pytest.approx(1.2 * math.sqrt(grown(age)), rel=0.01)
    shared = np.cov(gone[0.099], gone[86400.0])[0, 1]
    assert shared == pytest.approx(
        1.44 * grown(0.099) / 2, rel=0.04
    )  # half of what is there at one age is there at the next
    still = CELL.replace(relaxation=0.0)
    state = still.program(target, draw)
    assert torch.equal(still.read(still.age(state, 1e6), state, 1e6, draw), state["g"])


def test_what_was_planted_is_found_again():
    found = mho.fit_device(columns(seed=2), law="relaxation", resamples=100)
    assert found.t0 is not None and found.t0.low <= 1e-3 <= found.t0.high and found.t0.high < 10 * found.t0.low
    for name, r, value in (("programming_us", 0.6, 0.3), ("fluctuation_us", 0.6, 1.2), ("trend_us", 0.6, -0.24)):
        interval = found.quantities[name].at(r)
        assert interval.low <= value <= interval.high, name
        assert interval.half_width < 0.35 * abs(value), name
    assert isinstance(found.cell, Relaxing) and "t_w" in str(found)


def test_the_fit_is_a_hardware_and_a_page(tmp_path):
    found = mho.fit_device(columns(12), law="relaxation", resamples=50)
    page = mho.report(found, tmp_path).read_text(encoding="utf-8")
    assert "Fluctuation in a decade of time" in page and "ν" not in page
    assert mho.Hardware.from_yaml(tmp_path / "device.yaml").cell == found.cell


def test_a_power_law_that_does_not_hold_says_what_else_there_is():
    found = mho.fit_device(columns(60), first_read="fit", resamples=50)
    assert any("--law relaxation" in sentence for sentence in found.unknown)


def test_what_cannot_be_fitted_is_refused():
    given = columns(12)
    later = [i for i, t in enumerate(given["time [s]"]) if t > 0]
    with pytest.raises(BadInput, match="no reading at time 0"):
        mho.fit_device({name: [values[i] for i in later] for name, values in given.items()}, law="relaxation")
    with pytest.raises(BadInput, match="several readings at one time"):
        twice = {name: values * 2 for name, values in given.items()} | {
            "read": [0] * len(given["cell"]) + [1] * len(given["cell"])
        }
        mho.fit_device(twice, law="relaxation")
    for option in ({"first_read": "fit"}, {"first_read": "20 s"}, {"t_read": "1 ms"}):
        with pytest.raises(WrongSetting, match=f"leave {next(iter(option))} out"):
            mho.fit_device(given, law="relaxation", **option)
    with pytest.raises(WrongSetting, match="power, relaxation"):
        mho.fit_device(given, law="walk")
    few = [i for i, t in enumerate(given["time [s]"]) if t in (0.0, 0.01, 0.1)]
    with pytest.raises(BadInput, match="cannot tell when relaxation begins"):
        mho.fit_device({name: [values[i] for i in few] for name, values in given.items()}, law="relaxation")


def test_a_factor_without_its_law_is_refused():
    for factor, law in (("programming_noise", "programming_us"), ("relaxation", "fluctuation_us")):
        with pytest.raises(WrongSetting, match=f"{factor} = 2 has no law .give '{law}' too"):
            Relaxing(**{factor: 2.0})

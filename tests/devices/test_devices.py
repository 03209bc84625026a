"""Every law against its formula, evaluated independently in NumPy float64."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from scipy.stats import norm

from mho.devices.faults import draw_faults, lay_over
from mho.devices.fitted import Fitted
from mho.devices.hermes import Hermes
from mho.devices.ideal import IdealCell
from mho.devices.levels import round_to_levels
from mho.devices.pcm import PCM
from mho.devices.phase_change import spread_of_reading
from mho.devices.power_law import PowerLaw
from mho.devices.relaxing import Relaxing
from mho.devices.reram_cmo import ReRAMCMO
from mho.devices.reram_milo import ReRAMMilo
from mho.devices.reram_wan import ReRAMWan
from mho.devices.retention import Retention
from mho.devices.variation import deviate, sigma_us
from mho.errors import WrongSetting
from mho.hardware import CELLS, Cell, Faults, Variation
from mho.rng import Stream
from mho.testing import check_cell

N = 200_000
HOUR, DAY, YEAR = 3600.0, 86400.0, 365 * 86400.0
CELL_LIST = [
    IdealCell(), PCM(), PCM(nu=0.05), PCM(g_max_us=160.0, programming_noise=0, read_noise=0), Hermes(), Hermes(devices=1),
    ReRAMWan(), ReRAMWan(g_max_us=20.0), ReRAMMilo(), ReRAMCMO(), ReRAMCMO(acceptance="0.2%"), Retention(),
    Retention(toward="random", exponent=0.05), PowerLaw(), PowerLaw(nu_std=0, programming_us=0, read_us=0),
    PCM(programming_noise=0, drift=0, read_noise=0), Fitted(), Relaxing(), Relaxing(fluctuation_us={"coefficients": (1.0,)}),
    Fitted(programming_us={"coefficients": (0.3, 2.0)}, nu={"form": "log", "coefficients": (0.02, -0.01)}, reading_form="white",
           nu_std={"coefficients": (0.01,)}, reading_q={"form": "power", "coefficients": (0.01, -0.5), "high": 0.2}),
]  # fmt: skip


def rectified(mean, sigma):
    """Mean and standard deviation of max(0, N(mean, sigma))."""
    a = mean / sigma
    m = mean * norm.cdf(a) + sigma * norm.pdf(a)
    return m, math.sqrt((mean**2 + sigma**2) * norm.cdf(a) + mean * sigma * norm.pdf(a) - m**2)


def agrees(sample, mean, sigma, z=4.5):
    sample = np.asarray(sample, dtype=np.float64)
    assert abs(sample.mean() - mean) < z * max(sigma, 1e-9) / math.sqrt(len(sample)) + 1e-6
    assert sample.std() == pytest.approx(sigma, rel=z * 1.2 / math.sqrt(len(sample)), abs=1e-6)


def programmed(cell, target, seed=0):
    return cell.program(torch.full((N,), target, dtype=torch.float64), Stream(("test", seed)))


@pytest.mark.parametrize("spread", [{}, {"programming_us": {"coefficients": (1.0,)}, "programming_noise": 0.0}])
def test_a_systematic_error_of_programming_needs_no_noise(spread):
    cell, target = Fitted(programming_bias_us={"coefficients": (-3.0, 5.0)}, **spread), torch.tensor([10.0, 5.0, 0.0])
    assert torch.allclose(cell.program(target, Stream("test"))["g"], torch.tensor([9.0, 3.0, 0.0]))
    assert cell.programming_noise == 0.0


@pytest.mark.parametrize("cell", CELL_LIST, ids=lambda c: f"{c.kind}-{c.digest()[:4]}")
def test_every_cell_keeps_the_laws(cell):
    check_cell(cell)


def test_every_known_kind_is_tested():
    assert {cell.kind for cell in CELL_LIST} >= {kind for kind in CELLS.names() if "test" not in kind}


@pytest.mark.parametrize("target", [0.0, 1.0, 5.0, 12.5, 20.0, 25.0])
def test_pcm_programming_has_the_moments_of_the_polynomial(target):
    r = target / 25
    sigma = 0.26348 + 1.9650 * r - 1.1731 * r**2
    agrees(programmed(PCM(), target)["g"], *rectified(target, sigma))


def test_pcm_programming_scales_with_the_range():
    g = programmed(PCM(g_max_us=50.0), 25.0)["g"]
    agrees(g, *rectified(25.0, 2 * (0.26348 + 1.9650 * 0.5 - 1.1731 * 0.25)))


@pytest.mark.parametrize("target", [0.5, 5.0, 25.0])
@pytest.mark.parametrize("t", [HOUR, DAY, YEAR])
def test_pcm_median_follows_the_drift_law(target, t):
    r = target / 25
    mu = min(max(-0.0155 * math.log(r) + 0.0244, 0.049), 0.1)
    std = min(max(-0.0125 * math.log(r) - 0.0059, 0.008), 0.045)
    state = programmed(PCM(), target)
    nu = np.asarray(state["nu"])
    a = mu / std
    folded = std * math.sqrt(2 / math.pi) * math.exp(-(a**2) / 2) + mu * (1 - 2 * norm.cdf(-a))
    agrees(nu, folded, math.sqrt(mu**2 + std**2 - folded**2))
    # The median of |N(mu, std)| solves Phi((m - mu)/std) - Phi((-m - mu)/std) = 1/2.
    from scipy.optimize import brentq

    median = brentq(lambda m: norm.cdf((m - mu) / std) - norm.cdf((-m - mu) / std) - 0.5, 0, mu + 5 * std)
    ratio = np.asarray(PCM().age(state, t) / state["g"])
    expected = ((t + 20) / 20) ** -median
    assert np.nanmedian(ratio) == pytest.approx(expected, rel=4e-3)


@pytest.mark.parametrize(("cell", "t_read"), [(PCM(), 250e-9), (Hermes(), 512e-9)])
def test_read_noise_has_its_size(cell, t_read):
    target = 0.8 * cell.g_max_us
    state = {k: v[:1].expand(N).clone() for k, v in programmed(cell, target).items()}
    aged = cell.age(state, DAY)
    seen = cell.read(aged, state, DAY, Stream(("read",)))
    r = float(state["g"][0]) / cell.g_max_us
    q = min(0.0088 / r**0.65, 0.2) if cell.kind == "pcm" else 0.0123 + 0.0211 * r - 0.0280 * r**2 + 0.0069 * r**3
    sigma = float(aged[0]) * q * math.sqrt(math.log((DAY + cell.t0_s + t_read) / (2 * t_read)))
    agrees(seen, *rectified(float(aged[0]), sigma))


@pytest.mark.parametrize(
    ("devices", "g_max", "t0", "poly"),
    [
        (2, 20.7, 300.0, (0.16603222, 4.71806468, -8.48101252, 4.68961419)),
        (1, 10.35, 200.0, (0.15781817, 2.32443916, -2.16310839, 0.68841818)),
    ],
)
def test_hermes_fits(devices, g_max, t0, poly):
    cell = Hermes(devices=devices)
    assert (cell.g_max_us, cell.t0_s) == (g_max, t0)
    for r in (0.0, 0.05, 0.5, 1.0):
        sigma = sum(c * r**i for i, c in enumerate(poly))
        state = programmed(cell, r * g_max)
        agrees(state["g"], *rectified(r * g_max, sigma))
        mu = (
            min(max(-0.0387 * math.log(max(r, 1e-7)) - 0.0182, 0.0720), 0.13)
            if r < 0.0945
            else -0.0436 * r**2 - 0.0126 * r + 0.0736
        )
        a, b, low, c = (
            (-0.0117, -0.0057, 0.0091, (-0.0118, 0.0093, 0.0073))
            if devices == 2
            else (-0.0120, -0.0023, 0.0124, (-0.0165, 0.0116, 0.0104))
        )
        edge = 0.3055 if devices == 2 else 0.3039
        std = min(max(a * math.log(max(r, 1e-7)) + b, low), 0.04) if r < edge else c[0] * r**2 + c[1] * r + c[2]
        ratio = mu / std
        folded = std * math.sqrt(2 / math.pi) * math.exp(-(ratio**2) / 2) + mu * (1 - 2 * norm.cdf(-ratio))
        agrees(state["nu"], folded, math.sqrt(mu**2 + std**2 - folded**2))


WAN = {
    1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
    DAY: (0.701, 22.086, -50.773, 47.095, -16.458),
    2 * DAY: (0.782, 20.274, -43.507, 37.062, -11.934),
}


@pytest.mark.parametrize("r", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("t", [0.0, 1.0, 300.0, DAY, 1.5 * DAY, 2 * DAY, YEAR])
def test_wan_relaxation_is_the_fit_and_its_interpolation_in_log_time(r, t):
    at = {age: sum(c * r**i for i, c in enumerate(poly)) for age, poly in WAN.items()}
    sigma = np.interp(math.log(max(t, 1.0)), [math.log(a) for a in at], list(at.values()))
    cell = ReRAMWan()
    agrees(cell.age(programmed(cell, 40 * r), t), *rectified(40 * r, sigma))


def test_wan_trajectories_are_continuous_and_scaled():
    cell = ReRAMWan()
    state = programmed(cell, 20.0)
    before, after = cell.age(state, DAY * 0.999), cell.age(state, DAY * 1.001)
    assert float((before - after).abs().max()) < 0.02
    small = ReRAMWan(g_max_us=20.0)
    agrees(
        small.age(programmed(small, 10.0), DAY), *rectified(10.0, 0.5 * sum(c * 0.5**i for i, c in enumerate(WAN[DAY])))
    )


def test_cmo_programming_relaxation_and_bounds():
    cell = ReRAMCMO()
    state = programmed(cell, 50.0)
    agrees(state["g"], 50.0, 0.0112185391 + 0.01129027418 * 50)
    agrees(cell.age(state, DAY) - state["g"], -0.08900206 * math.log(DAY), 0.04201137 * math.log(DAY) + 0.41183342)
    fixed = {k: v[:1].expand(N).clone() for k, v in state.items()}
    seen = cell.read(fixed["g"], fixed, DAY, Stream(("r",)))
    g = float(fixed["g"][0])
    agrees(seen, g, 0.0277316483 * math.log10(g) * math.sqrt(math.log((DAY + 1e-6) / 2e-6)))
    edge = programmed(cell, 9.0)
    assert float(cell.read(cell.age(edge, YEAR), edge, YEAR, Stream(("e",))).min()) == 9.0
    assert float((cell.age(state, 0.99) - cell.age(state, 1.01)).abs().max()) < 0.01, "no jump at 1 s"


def test_milo_error_falls_with_conductance():
    for g in (50.0, 225.0):
        agrees(programmed(ReRAMMilo(), g)["g"], g, 4.782321 - 0.009107 * g)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_retention_against_a_literal_loop(fraction):
    cell = Retention(exponent=0.03, target_fraction=fraction)
    g0 = np.linspace(2.5, 25.0, 37)
    found = cell.age(cell.program(torch.from_numpy(g0), Stream(("x",))), DAY).numpy()
    goal = 2.5 + fraction * 22.5
    for g, value in zip(g0, found, strict=True):
        sign = 0 if g == goal else (1 if goal > g else -1)
        assert value == pytest.approx(min(max(g * DAY ** (0.03 * sign), 2.5), 25.0))


def test_random_retention_leaves_a_third_alone():
    state = programmed(Retention(toward="random"), 10.0)
    shares = [float((state["sign"] == s).double().mean()) for s in (-1, 0, 1)]
    assert shares == pytest.approx([1 / 3] * 3, abs=4.5 * math.sqrt(2 / 9 / N))


def test_power_law_is_state_independent():
    cell = PowerLaw()
    for g in (5.0, 20.0):
        state = programmed(cell, g)
        agrees(state["g"], *rectified(g, 0.2))
        fixed = {k: v[:1].expand(N).clone() for k, v in state.items()}
        aged = cell.age(fixed, DAY)
        seen = cell.read(aged, fixed, DAY, Stream(("r",)))
        sigma = float(aged[0]) / 25 * math.sqrt(math.log((DAY + 20 + 250e-9) / 500e-9))
        agrees(seen, *rectified(float(aged[0]), sigma))


def test_a_law_that_is_off_is_off_bit_for_bit():
    target = torch.linspace(0, 25, 1000)
    quiet = PCM(programming_noise=0, drift=0, read_noise=0)
    state = quiet.program(target, Stream(("x",)))
    assert torch.equal(quiet.read(quiet.age(state, YEAR), state, YEAR, Stream(("y",))), target)
    for one in ({"programming_noise": 0}, {"drift": 0}, {"read_noise": 0}):
        assert len(PCM(**one).definitions()) == 2


FACTORS = [
    (kind, factor)
    for kind in (PCM, Hermes, ReRAMMilo, ReRAMCMO, ReRAMWan)
    for factor in ("programming_noise", "drift", "read_noise", "relaxation")
    if factor in kind.model_fields
]


@pytest.mark.parametrize(("kind", "factor"), FACTORS, ids=lambda value: getattr(value, "__name__", value))
def test_every_factor_scales_its_own_law_and_no_other(kind, factor):
    """At 0 the law is off and the description does not name it; the other laws stay."""
    others = len(kind().definitions()) - 1
    assert len(kind(**{factor: 0}).definitions()) == others and len(kind(**{factor: 0.5}).definitions()) == others + 1
    assert any("0.5·" in definition.sigma for definition in kind(**{factor: 0.5}).definitions())
    with pytest.raises(WrongSetting, match=factor):
        kind(**{factor: -0.1})
    quiet = dict.fromkeys((f for k, f in FACTORS if k is kind), 0)
    target = torch.full((N,), 0.6 * kind().g_max_us, dtype=torch.float64)

    def spread(**changes):
        cell = kind(**{**quiet, **changes})
        state = cell.program(target, Stream(("x",)))
        aged = cell.age(state, DAY) if factor != "programming_noise" else state["g"]
        return float((cell.read(aged, state, DAY, Stream(("r",))) / target).log().std())

    assert spread() == 0 or factor == "drift"
    assert spread(**{factor: 0.5}) == pytest.approx(0.5 * spread(**{factor: 1}), rel=0.05)


def test_the_first_reading_already_has_the_noise_since_programming():
    state = PCM().program(torch.full((N,), 20.0, dtype=torch.float64), Stream(("x",)))
    fixed = {k: v[:1].expand(N).clone() for k, v in state.items()}
    seen = PCM().read(fixed["g"], fixed, 0.0, Stream(("y",)))
    g = float(fixed["g"][0])
    agrees(seen, g, g * 0.0088 / (g / 25) ** 0.65 * math.sqrt(math.log((20 + 250e-9) / 500e-9)))


def test_no_logarithm_of_less_than_one():
    assert spread_of_reading(1e-9, 250e-9) == 0.0 and spread_of_reading(1.0, 250e-9) > 3


def test_variations_reach_every_cell_and_a_zero_one_changes_nothing():
    import mho
    from mho.hardware import Hardware

    torch.manual_seed(0)
    layer, x = torch.nn.Linear(20, 10), torch.randn(4, 20)
    for name in ("pcm-cells", "reram", "hermes"):
        quiet = Hardware.preset(name).replace(**{"dac.bits": None, "adc.bits": None})
        outputs = []
        for sigma in (None, 0.0, 0.5):
            hw = (
                quiet
                if sigma is None
                else quiet.replace(variations=[{"sigma": sigma, "relative_to": "gmax", "clip": "range"}])
            )
            outputs.append(mho.program(mho.to_analog(layer, hw)).at("1 day")(x))
        assert torch.equal(outputs[0], outputs[1]) and not torch.allclose(outputs[0], outputs[2], atol=1e-2)


def test_a_zero_cell_survives_an_enormous_exponent():
    cell = Retention(g_min_us=0.0, exponent=5.0, toward="random")
    assert torch.isfinite(cell.age(cell.program(torch.zeros(50), Stream(("x",))), 3e8)).all()


@pytest.mark.parametrize(
    ("reference", "size"), [("ideal", 0.1 * 10), ("gmax", 0.1 * 25), ("range", 0.1 * 20), ("level", 0.1 * 20 / 15)]
)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_variations_have_the_reference_and_shape_they_name(reference, size, distribution):
    cell = IdealCell(g_min_us=5.0, g_max_us=25.0, levels=16)
    variation = Variation(sigma=0.1, relative_to=reference, distribution=distribution, clip="none")
    ideal = torch.full((N,), 10.0, dtype=torch.float64)
    found = deviate(ideal, ideal, variation, cell, Stream(("x",)), "v")
    agrees(found, 10.0, size)
    assert float(sigma_us(ideal, variation, cell)[0]) == pytest.approx(size)
    if distribution == "uniform":
        assert float((found - 10).abs().max()) <= math.sqrt(3) * size + 1e-6


def test_lognormal_keeps_the_median_and_clipping_clips():
    cell = IdealCell(g_min_us=5.0, g_max_us=25.0)
    ideal = torch.full((N,), 20.0, dtype=torch.float64)
    log = Variation(sigma=0.4, relative_to="ideal", distribution="lognormal")
    found = deviate(ideal, ideal, log, cell, Stream(("x",)), "v")
    assert float(found.median()) == pytest.approx(20.0, rel=5e-3)
    assert float((found / 20).log().std()) == pytest.approx(0.4, rel=1e-2)
    wide = Variation(sigma=2.0, relative_to="ideal", clip="range")
    found = deviate(ideal, ideal, wide, cell, Stream(("x",)), "v")
    assert float(found.min()) == 5.0 and float(found.max()) == 25.0
    positive = deviate(ideal, ideal, wide.replace(clip="positive"), cell, Stream(("x",)), "v")
    assert float(positive.min()) == 0.0 and float(positive.max()) > 25.0


def test_faults_have_their_shares_and_values():
    low, high = draw_faults((N,), Faults(stuck_low=0.1, stuck_high=0.03), Stream(("x",)))
    assert float(low.double().mean()) == pytest.approx(0.1, abs=4.5 * math.sqrt(0.09 / N))
    assert float(high.double().mean()) == pytest.approx(0.03, abs=4.5 * math.sqrt(0.03 / N))
    assert not bool((low & high).any())
    g = lay_over(torch.full((N,), 12.0), (low, high), IdealCell(g_min_us=1.0, g_max_us=25.0))
    assert set(g.unique().tolist()) == {1.0, 12.0, 25.0} and torch.equal(g == 25.0, high)


def test_levels_are_even_and_nearest():
    cell = IdealCell(g_min_us=1.0, g_max_us=16.0, levels=16)
    assert round_to_levels(torch.tensor([1.0, 1.4, 1.6, 16.0]), cell).tolist() == [1.0, 1.0, 2.0, 16.0]
    assert round_to_levels(torch.tensor([1.4]), IdealCell()).tolist() == pytest.approx([1.4])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: PCM(g_maxx=1), lambda: PCM(g_min_us=30.0), lambda: PCM(drift=-1), lambda: PCM(t0_s=0), lambda: Hermes(devices=3),
        lambda: ReRAMCMO(acceptance="1%"), lambda: IdealCell(levels=1), lambda: Retention(target_fraction=2),
        lambda: PCM(nu_std=0.1), lambda: Hermes(devices=1, g_max_us=20.7), lambda: PCM(g_max_us=float("inf")),
    ],
)  # fmt: skip
def test_impossible_cells_are_refused(wrong):
    with pytest.raises(WrongSetting):
        wrong()


class _Broken(Cell):
    kind: Literal["broken-test"] = "broken-test"
    g_max_us: float = 10.0
    fault: str = ""

    def program(self, target, draw):
        if self.fault == "mutates":
            target.add_(1)
        if self.fault == "nan":
            return {"g": target * float("nan")}
        if self.fault == "ignores the address":
            return {"g": target + torch.rand_like(target)}
        if self.fault == "silent":
            return {"g": (target + draw.normal("x", target.shape, like=target)).clamp(min=0)}
        return {"conductance": target} if self.fault == "no g" else {"g": target}

    def age(self, state, t_s):
        return state["g"] - t_s if self.fault == "negative" else state["g"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("mutates", "changed"), ("nan", "not finite"), ("ignores the address", "same address"), ("no g", "'g'"),
        ("negative", "negative"), ("silent", "every random quantity"),
    ],
)  # fmt: skip
def test_the_harness_catches_broken_cells(fault, said):
    with pytest.raises(AssertionError, match=said):
        check_cell(_Broken(fault=fault))

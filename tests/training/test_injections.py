"""Injections against their closed forms: moments, references, gradients."""

from __future__ import annotations

import math

import pytest
import torch

from mho.crossbar import Operator, Scheme
from mho.crossbar.scaling import scaled
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.rng import Stream
from mho.training import Discretise, DropConnect, Gaussian, Programming
from mho.training.injections import INJECTIONS, Scope

_CONV = Operator(2, (1, 1), (1, 1), (1, 1), 1)


def _scope(weight, hw, operator=_CONV, *, strength=1.0, step=0):
    matrix = operator.to_matrix(weight)
    scheme = Scheme.of(operator, tuple(weight.shape), hw)
    unit, scale = scaled(matrix, scheme)
    return unit, Scope(scheme, scale, Stream(("test", step)), strength)


def _weight(seed=0, shape=(24, 40, 3, 3)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator) * torch.linspace(0.2, 2, shape[0]).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("scale", ["tensor", "column", "array", "column_of_array"])
@pytest.mark.parametrize("relative_to", ["max", "std", "weight"])
@pytest.mark.parametrize("per", [None, "column", "array"])
def test_gaussian_has_the_size_that_its_words_say(scale, relative_to, per):
    if relative_to == "weight" and per:
        pytest.skip("refused, see below")
    hw = Hardware.preset("pcm-cells", array={"rows": 128, "cols": 10}, mapping={"scale": scale})
    weight = _weight()
    unit, scope = _scope(weight, hw)
    spread = scope.plan.spread(scope.scale)
    noise = torch.stack(
        [
            (
                Gaussian(sigma=0.05, relative_to=relative_to, per=per)(
                    unit, Scope(scope.scheme, scope.scale, draw, 1.0)
                )
                - unit
            )
            * spread
            for draw in (Stream(("draw", i)) for i in range(60))
        ]
    )
    real = unit * spread
    pick = {"max": lambda w: w.abs().max(), "std": lambda w: w.std(correction=0), "weight": None}[relative_to]
    if relative_to == "weight":
        wanted = 0.05 * real.abs()
    elif per is None:
        wanted = 0.05 * pick(real).expand_as(real)
    elif per == "column":
        wanted = 0.05 * torch.stack([pick(column) for column in real[0]])[None, :, None].expand_as(real)
    else:
        wanted = torch.empty_like(real)
        for block in scope.plan.blocks:  # rows of 128 // 9 channels, columns of 10
            for first in range(0, 24, 10):
                rows, columns = slice(block.start, block.stop), slice(first, min(24, first + 10))
                wanted[:, columns, rows] = 0.05 * pick(real[:, columns, rows])
    # Pooled over all weights and draws; normal, so the variance's relative error is sqrt(2 / n).
    z = noise / wanted
    assert float(z.square().mean()) == pytest.approx(1, abs=5 * math.sqrt(2 / z.numel()))
    by_weight = z.square().mean(0)
    assert float(by_weight.max()) < 4 and float(by_weight.min()) > 0.2  # no weight has another size


def test_gradients_are_those_of_the_changed_weights():
    hw = Hardware.preset("pcm-cells")
    unit, scope = _scope(_weight().double(), hw)
    for injection in (Gaussian(sigma=0.1), Gaussian(sigma=0.1, relative_to="weight"), DropConnect(share=0.3)):
        leaf = unit.clone().requires_grad_()
        coefficients = torch.randn(unit.shape, dtype=unit.dtype, generator=torch.Generator().manual_seed(1))
        (injection(leaf, scope) * coefficients).sum().backward()
        # w -> w (1 + c) + d for fixed draws: the difference quotient of any width is exact where the reference is fixed.
        index = int(unit.flatten().abs().argmin())  # not the largest, which is the reference
        step = torch.zeros_like(unit).flatten()
        step[index] = 1e-3
        up, down = (injection(unit + s * step.reshape(unit.shape), scope) for s in (1, -1))
        slope = ((up - down) * coefficients).sum() / 2e-3
        assert float(leaf.grad.flatten()[index]) == pytest.approx(float(slope), rel=1e-6, abs=1e-9)


def test_rounding_and_programming_pass_the_gradient_straight_through():
    hw = Hardware.preset("pcm-cells")
    unit, scope = _scope(_weight(), hw)
    for injection in (Discretise(bits=4), Programming()):
        leaf = unit.clone().requires_grad_()
        injection(leaf, scope).sum().backward()
        assert bool((leaf.grad == 1).all())
    # Of rounding that is the derivative of its expectation over a uniform shift of the levels.
    x, levels = 0.3, 7.0
    shifts = (torch.arange(10_000) + 0.5) / 10_000 - 0.5
    mean = [float((((x + d) * levels + shifts).round() - shifts).mean() / levels) for d in (-0.01, 0.01)]
    assert (mean[1] - mean[0]) / 0.02 == pytest.approx(1, abs=1e-3)


def test_rounding_gives_the_levels():
    unit, scope = _scope(_weight(), Hardware.preset("pcm-cells"))
    found = Discretise(bits=4)(unit, scope) * 7
    assert float((found - found.round()).abs().max()) < 1e-5
    assert float((found / 7 - unit).abs().max()) <= 0.5 / 7 + 1e-6
    assert len(found.round().unique()) == 15


def test_missing_weights_have_their_share_and_the_others_their_size():
    unit, scope = _scope(_weight(), Hardware.preset("pcm-cells"))
    found = DropConnect(share=0.2)(unit, scope)
    missing = found == 0
    assert float(missing.float().mean()) == pytest.approx(0.2, abs=5 * math.sqrt(0.16 / unit.numel()))
    assert torch.equal(found[~missing], unit[~missing])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"encoding": {"kind": "differential", "subtract": "digital"}},
        {"encoding": {"kind": "differential", "sides": "two", "pairs": 2}},
        {"encoding": {"kind": "offset", "reference": "digital"}},
        {"encoding": {"kind": "offset", "reference": "column"}},
    ],
)
def test_programming_has_the_moments_of_the_cell(changes):
    hw = Hardware.preset("pcm-cells", **changes, **{"cell.read_noise": 0.0})
    unit, scope = _scope(_weight(), hw)
    found = torch.stack(
        [Programming()(unit, Scope(scope.scheme, scope.scale, Stream(("p", i)), 1.0)) - unit for i in range(40)]
    )
    # The variance of the weight, summed over the cells that hold it; targets at 0 are cut at 0 and so are left out.
    targets = hw.encoding.encode(unit, hw.cell)
    readouts = hw.encoding.readouts(hw.cell)
    variance = torch.zeros_like(unit)
    inside = torch.ones_like(unit, dtype=torch.bool)
    for p, target in enumerate(targets):
        size = sum(readout.coefficients[p] ** 2 * readout.factor**2 for readout in readouts.columns)
        sigma = hw.cell.sigma_programming_us(target / hw.cell.g_max_us)
        variance = variance + size * sigma.square()
        inside = inside & (target > 4 * sigma)
    if not bool(inside.any()):  # one-sided pairs: one cell of each rests at 0 and gives half a normal
        rest = hw.cell.sigma_programming_us(torch.zeros(())) ** 2 * (0.5 - 0.5 / math.pi) / hw.cell.g_max_us**2
        on = hw.cell.sigma_programming_us(unit.abs()).square() / hw.cell.g_max_us**2
        variance, inside = on + rest, unit.abs() > 0.3
    shared = hw.encoding.kind == "offset" and hw.encoding.reference == "column"
    z = (found - found.mean(0)).square().mean(0)[inside] / variance.expand_as(unit)[inside] * 40 / 39
    assert float(z.mean()) == pytest.approx(1, abs=0.12 if shared else 0.02)


def test_an_aged_chip_is_injected_with_its_drift_compensated():
    hw = Hardware.preset("pcm-cells")
    unit, scope = _scope(_weight(), hw)
    fresh = Programming()(unit, scope) - unit
    month = Programming(time="1 month")(unit, scope) - unit
    ratio = lambda d: float(((unit + d) * unit).sum() / unit.square().sum())  # noqa: E731
    assert abs(ratio(month) - 1) < 0.1  # without compensation a month leaves less than 0.7
    assert float(month.square().mean()) > 1.5 * float(fresh.square().mean())
    half = Programming(scale=0.5)(unit, scope) - unit
    assert torch.allclose(half, fresh / 2, atol=1e-6)


def test_strength_multiplies_the_size_and_zero_changes_nothing():
    hw = Hardware.preset("pcm-cells")
    for injection in (Gaussian(sigma=0.1), Programming(), DropConnect(share=0.5)):
        unit, scope = _scope(_weight(), hw, strength=0.0)
        assert injection(unit, scope) is unit
    unit, scope = _scope(_weight(), hw)
    once, twice = (
        Gaussian(sigma=s)(unit, Scope(scope.scheme, scope.scale, scope.draw, f)) for s, f in ((0.2, 1.0), (0.1, 2.0))
    )
    assert torch.allclose(once, twice, atol=1e-6)


def test_mistakes_are_named():
    with pytest.raises(WrongSetting, match="per = 'column' has no effect"):
        Gaussian(sigma=0.1, relative_to="weight", per="column")
    with pytest.raises(WrongSetting, match="time"):
        Programming(time="soon")
    with pytest.raises(WrongSetting, match="sigma"):
        Gaussian(sigma=-1)
    with pytest.raises(WrongSetting, match="unknown injection 'poly'.*"):
        INJECTIONS.find("poly")

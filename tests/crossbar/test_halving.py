"""A vector that clips is repeated at half the input: what comes out is twice what half the input gives.

The other side of each comparison is the same hardware without repetitions, given half (a quarter of) the input by hand.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mho
from mho.hardware import Hardware

BOUND, MOST = 0.2, 3
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(12, 5, bias=False), (9, 12)),
    "conv": (lambda: nn.Conv1d(4, 6, 3, bias=False), (4, 4, 7)),
    "grouped": (lambda: nn.Conv2d(4, 6, (1, 3), groups=2, bias=False), (4, 4, 2, 6)),
    "transposed": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2, bias=False), (4, 4, 5)),
}
EFFECTS: dict[str, dict[str, Any]] = {
    "quiet": {}, "IR drop": {"ir_drop": {"scale": 1.0, "conductance_ratio": 50.0}}, "output": {"noise": {"output": 0.01}},
    "weights": {"noise": {"weight": 0.01}}, "inputs": {"noise": {"input": 0.01}},
}  # fmt: skip


def networks(name: str, x: Tensor, dac: dict[str, Any], steps: int | None = 2**16, **effects: Any) -> tuple[Any, Any]:
    """With repetitions; and without, but with a converter that nothing clips. A code of both is worth the same."""
    layer, found = nn.Sequential(LAYERS[name][0]()).double(), []
    given = {"bits": 5, **dac}
    for times, more in ((1, {"on_clip": "halve_input", "max_halvings": MOST}), (16, {})):
        adc = {"bits": None, "steps": steps and steps * times, "range": "fixed", "bound": BOUND * times, **more}
        hw = Hardware.preset("ideal", dac=given if times == 1 else {"bits": 5}, adc=adc, **effects)
        found.append(mho.calibrate(mho.to_analog(layer, hw), [x]).eval())
    return found[0], found[1]


def chosen(plain: Any, x: Tensor, top: float = BOUND) -> tuple[Tensor, Tensor]:
    """2^k y(x / 2^k), for each vector (and group) with the least k that clips none of its columns; and those k."""
    layer = plain[0]
    groups, axis = getattr(layer, "groups", 1), -1 - len(getattr(layer, "kernel_size", ()))
    columns = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose1d) else layer.weight
    unit = columns.flatten(1).abs().amax(1).reshape(-1, *(1,) * (-1 - axis)) * layer.matrix.input_range
    with torch.no_grad():
        halved = [plain(x / 2**k) for k in range(MOST + 1)]
    seen = torch.stack([(y / unit).abs().unflatten(axis, (groups, -1)).amax(axis, keepdim=True) for y in halved])
    times = (seen[:MOST] >= BOUND).long().cumprod(0).sum(0)
    times = times.expand_as(halved[0].unflatten(axis, (groups, -1))).flatten(axis - 1, axis)
    values = torch.stack([2**k * (y.clamp(-top * unit, top * unit)) for k, y in enumerate(halved)])
    return values.gather(0, times[None])[0], times


@pytest.mark.parametrize("steps", [2**16, None], ids=["converted", "analog"])
@pytest.mark.parametrize("effect", ["quiet", "IR drop"])
@pytest.mark.parametrize("name", LAYERS)
def test_half_the_input_twice_the_output(name, effect, steps):
    shape = LAYERS[name][1]
    x = torch.randn(shape, dtype=torch.float64) * torch.linspace(0.1, 1, shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    net, plain = networks(name, x, {}, steps, **EFFECTS[effect])
    expected, times = chosen(plain, x, BOUND if steps else math.inf)  # nothing limits what is not converted
    assert set(times.unique().tolist()) >= {0, 1, 2}
    with torch.no_grad():
        torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["linear", "conv", "grouped"])
def test_a_range_for_every_vector_halves_what_that_vector_gives(name):
    """One vector alone, whose largest input is that of the calibration."""
    shape = {"linear": (1, 12), "conv": (1, 4, 3), "grouped": (1, 4, 1, 3)}[name]
    x = torch.randn(shape, dtype=torch.float64)
    if name == "grouped":
        x = torch.cat([x[:, :2], x[:, :2].flip(-1)], dim=1)  # both groups have the same largest input
    net, plain = networks(name, x, {"range": "abs_max"})
    expected, times = chosen(plain, x)
    assert int(times.max()) > 0
    with torch.no_grad():
        torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("effect", ["output", "weights", "inputs"])
def test_noise_at_half_the_input_counts_twice(effect):
    torch.manual_seed(5)
    x, draws = torch.randn(12, dtype=torch.float64), 3000
    net, plain = networks("linear", x[None], {}, **EFFECTS[effect])
    with torch.no_grad():
        seen = (plain(x.expand(200, 12)) / plain[0].weight.abs().amax(1) / plain[0].matrix.input_range).abs().amax(1)
        times = math.ceil(math.log2(float(seen.mean()) / BOUND))
        assert times == MOST and float(seen.max() / 2**times) < 0.95 * BOUND and float(seen.min()) > 4.2 * BOUND
        found, expected = net(x.expand(draws, 12)), 2**times * plain(x.expand(draws, 12) / 2**times)
    error = expected.std(0) / math.sqrt(draws)
    assert bool(((found.mean(0) - expected.mean(0)).abs() < 6 * error + 1e-4).all())
    assert float(found.var(0).sum() / expected.var(0).sum()) == pytest.approx(1, abs=0.15)


def test_a_bound_without_a_converter_is_a_bound_too():
    """Columns of 200 and one of 10 in units of the bound of 20: four halvings for all of them, and 16 times the noise."""
    layer, x = nn.Linear(200, 4, bias=False), torch.ones(2000, 200)
    with torch.no_grad():
        layer.weight.fill_(1.0)[3] = 0.05
    adc = {"bits": None, "range": "fixed", "bound": 20.0, "on_clip": "halve_input", "max_halvings": 10}
    hw = Hardware.preset(
        "ideal", dac={"bits": None, "range": "abs_max"}, adc=adc, noise__output=0.03, mapping__scale="tensor"
    )
    net = mho.to_analog(layer, hw)
    with torch.no_grad():
        strong, weak = net(x), net(x / 16)
    torch.testing.assert_close(strong.std(0), torch.full((4,), 16 * 0.03), rtol=0.1, atol=0)
    torch.testing.assert_close(strong.mean(0), layer.weight.detach().sum(1), rtol=0, atol=0.06)
    torch.testing.assert_close(weak.std(0), torch.full((4,), 0.03), rtol=0.1, atol=0)  # its range is its own, too


def test_the_largest_code_alone_clips():
    """An odd number of steps: codes 0, 1, 2, 2.5 (a quarter of a unit of input each). 2 is no clipping, above 2.25 is."""
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
    adc = {"steps": 5, "range": "fixed", "bound": 1.25, "on_clip": "halve_input"}
    net = mho.calibrate(
        mho.to_analog(layer, Hardware.preset("ideal", dac__bits=None, adc=adc)), [torch.full((1, 2), 1.0)]
    )
    with torch.no_grad():
        torch.testing.assert_close(net(torch.tensor([[1.0, 0.3]])), torch.tensor([[1.0, 0.5]]))
        torch.testing.assert_close(net(torch.tensor([[1.3, 0.3]])), torch.tensor([[1.0, 0.0]]))

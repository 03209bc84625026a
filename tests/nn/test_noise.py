"""Noise at the output against literal draws of noisy weights, and IR drop against loops and an exact nodal solver."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.linalg import solveh_banded
from torch import nn

import mho
from mho.crossbar import ideal_cells
from mho.hardware import Hardware

IDEAL = Hardware.preset("ideal").replace(cell__g_min_us=2.0)
ENCODINGS = {
    "one_sided": {"kind": "differential"},
    "two_sided": {"kind": "differential", "sides": "two"},
    "digital_subtraction": {"kind": "differential", "subtract": "digital"},
    "offset_digital": {"kind": "offset"},
    "offset_column": {"kind": "offset", "reference": "column"},
}
REACH = 1.5
DRAWS = 4000


def layer_of(make: Any, hw: Hardware, reach: float = REACH) -> tuple[Any, Any]:
    torch.manual_seed(0)
    layer = make().double()
    net = mho.to_analog(layer, hw).eval()
    net.matrix.set_range("input_range", torch.tensor(reach, dtype=torch.float64))
    return layer, net


class Held(NamedTuple):
    weight: torch.Tensor
    gain: torch.Tensor
    scale: torch.Tensor


def cells_of(net: Any) -> Held:
    view = next(net.views())
    scheme = net.matrix.scheme(view.weight, view.operator)
    cells = ideal_cells(view.operator.to_matrix(view.weight.detach()), scheme)
    gain = torch.stack([readout.factor * cells.scale for readout in scheme.readouts.columns])
    return Held(cells.weight, gain, cells.scale)


def assert_normal(sample: np.ndarray, sigma: np.ndarray | float) -> None:
    """z-scores of mean, variance and fourth moment below 4.5, and a Kolmogorov–Smirnov test."""
    z = (np.asarray(sample) / sigma).ravel()
    n = len(z)
    assert abs(z.mean()) * np.sqrt(n) < 4.5
    assert abs(z.var() - 1) * np.sqrt(n / 2) < 4.5
    assert abs((z**4).mean() - 3) * np.sqrt(n / 96) < 4.5
    assert stats.kstest(z, "norm").pvalue > 1e-4


def assert_uncorrelated(sample: np.ndarray) -> None:
    """Every pair of entries (last axis) over the draws (first axis)."""
    flat = sample.reshape(len(sample), -1)
    correlation = np.corrcoef(flat.T) - np.eye(flat.shape[1])
    assert np.abs(correlation).max() * np.sqrt(len(flat)) < 5.5


@pytest.mark.parametrize("rows", [64, 5])
@pytest.mark.parametrize("converted", [False, True])
def test_output_noise_is_normal_and_drawn_per_column_and_block(rows, converted):
    hw = IDEAL.replace(array__rows=rows, noise={"output": 0.03})
    if converted:
        hw = hw.replace(adc={"bits": 14, "range": "fixed", "bound": 8.0})
    layer, net = layer_of(lambda: nn.Linear(12, 6, bias=False), hw)
    x = torch.randn(12, dtype=torch.float64).expand(DRAWS, 12)
    with torch.no_grad():
        noise = (net(x) - layer(x)).numpy()
    blocks = -(-12 // rows)
    scale = layer.weight.detach().abs().amax(1).numpy()
    assert_normal(noise, 0.03 * np.sqrt(blocks) * scale * REACH)
    assert_uncorrelated(noise)


def test_output_noise_of_a_convolution_differs_from_position_to_position():
    layer, net = layer_of(lambda: nn.Conv2d(4, 3, 3, bias=False), IDEAL.replace(array__rows=20, noise={"output": 0.05}))
    x = torch.randn(1, 4, 4, 4, dtype=torch.float64).expand(DRAWS, -1, -1, -1)
    for memory in (torch.contiguous_format, torch.channels_last):
        with torch.no_grad():
            noise = (net(x.contiguous(memory_format=memory)) - layer(x)).numpy()
        scale = layer.weight.detach().abs().flatten(1).amax(1).numpy()[:, None, None]
        assert_normal(noise, 0.05 * np.sqrt(2) * scale * REACH)
        assert_uncorrelated(noise)


FORMS = {
    "additive": np.ones_like,
    "proportional": np.abs,
    "pcm_read": lambda w: np.sqrt(np.abs(w)),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", FORMS)
def test_weight_noise_at_the_output_is_that_of_noisy_weights(form, encoding):
    """A fresh noisy weight matrix for every product, drawn literally, against noise added to the output."""
    sigma, rows = 0.1, 6
    hw = IDEAL.replace(array__rows=rows, encoding=ENCODINGS[encoding], noise={"weight": sigma, "weight_form": form})
    layer, net = layer_of(lambda: nn.Linear(10, 4, bias=False), hw)
    vector = torch.randn(10, dtype=torch.float64)
    with torch.no_grad():
        found = (net(vector.expand(DRAWS, 10)) - layer(vector)).numpy()
    cells = cells_of(net)
    rng = np.random.default_rng(0)
    u = vector.numpy() / REACH
    literal, variance = np.zeros((DRAWS, 4)), np.zeros(4)
    for b, start in enumerate(range(0, 10, rows)):
        part = slice(start, start + rows)
        scale = cells.scale[b, 0].numpy() * REACH
        size = sigma * FORMS[form](layer.weight.detach().numpy()[:, part] / cells.scale[b, 0].numpy()[:, None])
        literal += ((size * rng.standard_normal((DRAWS, *size.shape))) @ u[part]) * scale
        variance += (size**2 @ u[part] ** 2) * scale**2
    assert_normal(found, np.sqrt(variance))
    assert_uncorrelated(found)
    for column in range(4):
        assert stats.ks_2samp(found[:, column], literal[:, column]).pvalue > 1e-4


@pytest.mark.parametrize("reference", ["gmax", "ideal", "weight_max", "weight_std"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_cell_variations_per_product_are_those_of_noisy_conductances(encoding, reference):
    sigma = 0.08
    variation = {"sigma": sigma, "relative_to": reference, "redraw": "mvm"}
    hw = IDEAL.replace(array__rows=64, encoding=ENCODINGS[encoding], variations=[variation])
    layer, net = layer_of(lambda: nn.Linear(10, 4, bias=False), hw)
    vector = torch.randn(10, dtype=torch.float64)
    with torch.no_grad():
        found = (net(vector.expand(DRAWS, 10)) - layer(vector)).numpy()
    cells = cells_of(net)
    unit = layer.weight.detach() / cells.scale[0, 0][:, None]
    u, scale = vector.numpy() / REACH, cells.scale[0, 0].numpy() * REACH
    rng = np.random.default_rng(1)
    readouts = hw.encoding.readouts(hw.cell)
    literal = np.zeros((DRAWS, 4))
    if reference.startswith("weight"):
        w = layer.weight.detach().numpy()
        size = sigma * (np.abs(w).max() if reference == "weight_max" else w.std())
        literal += (size * rng.standard_normal((DRAWS, 4, 10))) @ vector.numpy()
    else:
        planes = [plane[0].numpy() for plane in hw.encoding.encode(unit[None], hw.cell)]
        errors = [
            sigma * (hw.cell.g_max_us if reference == "gmax" else g) * rng.standard_normal((DRAWS, *g.shape))
            for g in planes
        ]
        for readout in readouts.columns:
            drawn = sum(c * e for c, e in zip(readout.coefficients, errors, strict=True))
            literal += readout.factor * drawn @ u * scale
    for column in range(4):
        ratio = found[:, column].std() / literal[:, column].std()
        assert abs(ratio - 1) < 5 / np.sqrt(DRAWS)
        assert stats.ks_2samp(found[:, column], literal[:, column]).pvalue > 1e-4


@pytest.mark.parametrize("dac", ["calibrated", "abs_max"])
@pytest.mark.parametrize("name", ["conv", "conv cut inside the kernel", "depthwise", "transposed"])
def test_weight_noise_of_convolutions(name, dac):
    """Variance of every output position, from the layer's own operator on squares."""
    make, shape = {
        "conv": (lambda: nn.Conv2d(4, 3, 3, stride=2, padding=1, bias=False), (4, 5, 5)),
        "depthwise": (lambda: nn.Conv2d(3, 6, 3, groups=3, bias=False), (3, 4, 4)),
        "transposed": (lambda: nn.ConvTranspose2d(3, 4, 2, stride=2, bias=False), (3, 2, 2)),
    }[name.partition(" ")[0]]
    rows = 6 if "cut" in name else 18
    if name == "transposed":
        dac = "calibrated"
    noise = {"weight": 0.1, "weight_form": "proportional"}
    layer, net = layer_of(make, IDEAL.replace(array__rows=rows, noise=noise, dac__range=dac))
    x = torch.randn(1, *shape, dtype=torch.float64)
    with torch.no_grad():
        found = (net(x.expand(DRAWS, -1, -1, -1)) - layer(x)).numpy()
        squared = make().double()
        squared.weight.copy_(layer.weight.square())
        sigma = 0.1 * squared(x.square()).sqrt().numpy()
    z = found[:, sigma[0] > 0] / sigma[0][sigma[0] > 0]
    assert_normal(z, 1.0)
    assert_uncorrelated(z)


def test_noise_is_drawn_before_the_adc():
    hw = IDEAL.replace(noise={"output": 0.2}, adc={"steps": 8, "range": "fixed", "bound": 1.0})
    layer, net = layer_of(lambda: nn.Linear(5, 3, bias=False), hw)
    with torch.no_grad():
        codes = net(torch.zeros(2000, 5, dtype=torch.float64)) / layer.weight.abs().amax(1) / REACH * 4
    torch.testing.assert_close(codes, codes.round(), atol=1e-9, rtol=0)
    counts = np.histogram(codes.numpy(), np.arange(-4.5, 5))[0] / codes.numel()
    edges = stats.norm.cdf(np.array([-np.inf, *np.arange(-3.5, 4), np.inf]) / 0.8)
    assert np.abs(counts - np.diff(edges)).max() < 0.03


# IR drop


def literal_drop(w: np.ndarray, u: np.ndarray, ratio: float, scale: float = 1.0) -> np.ndarray:
    """The formula of `ir_drop`, entry by entry; w (columns, rows), u (rows)."""
    n = len(u)
    lost = np.zeros(len(w))
    for i in range(len(w)):
        a = sum(abs(w[i, j]) * abs(u[j]) for j in range(n)) * n / ratio
        c = a * (a * (0.05 * a - 0.2) + 0.5)
        lost[i] = scale * c * sum(w[i, j] * u[j] * (1 - (1 - j / n) ** 2) for j in range(n))
    return lost


@pytest.mark.parametrize("encoding", ["one_sided", "digital_subtraction", "offset_digital"])
def test_ir_drop_of_a_linear_layer_follows_its_formula(encoding):
    drop = {"scale": 0.7, "conductance_ratio": 300.0}
    hw = IDEAL.replace(array__rows=7, encoding=ENCODINGS[encoding], ir_drop=drop)
    layer, net = layer_of(lambda: nn.Linear(12, 4, bias=False), hw)
    x = torch.randn(3, 12, dtype=torch.float64)
    cells = cells_of(net)
    expected = layer(x).detach().numpy()
    for n, vector in enumerate(x.numpy() / REACH):
        for k, weights in enumerate(cells.weight[:, 0].numpy()):
            for b, part in enumerate((slice(0, 7), slice(7, 12))):
                lost = literal_drop(weights[:, part], vector[part], 300.0, 0.7)
                expected[n] -= lost * cells.gain[k, b, 0].numpy() * REACH
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dac", ["calibrated", "abs_max"])
def test_ir_drop_of_a_convolution_follows_its_formula(dac):
    hw = IDEAL.replace(array__rows=20, ir_drop={"scale": 1.0, "conductance_ratio": 500.0}, dac__range=dac)
    layer, net = layer_of(lambda: nn.Conv2d(4, 3, 3, bias=False), hw)
    x = torch.randn(1, 4, 4, 5, dtype=torch.float64)
    cells = cells_of(net)
    expected = layer(x).detach().numpy()
    patches = nn.functional.unfold(x, 3)[0].T.numpy()
    for p, vector in enumerate(patches):
        for b, part in enumerate((slice(0, 18), slice(18, 36))):
            reach = np.abs(vector[part]).max() if dac == "abs_max" else REACH
            lost = literal_drop(cells.weight[0, 0].numpy()[:, part], vector[part] / reach, 500.0)
            expected[0, :, p // 3, p % 3] -= lost * cells.gain[0, b, 0].numpy() * reach
    np.testing.assert_allclose(net(x).detach().numpy(), expected, rtol=1e-9, atol=1e-12)


def nodal(g: np.ndarray, u: np.ndarray, ratio: float) -> float:
    """Exact current into a converter at 0 V from one column; in units of g_max times a full input.

    Node j hangs on the input u[j] by the conductance g[j] and on its neighbours by the wire's `ratio`; node 0 hangs on
    the converter. Kirchhoff's law at every node is one tridiagonal system.
    """
    n = len(g)
    if n == 1:
        return float(g[0] * u[0] * ratio / (g[0] + ratio))
    bands = np.zeros((2, n))
    bands[1] = g + 2 * ratio
    bands[1, -1] -= ratio
    bands[0, 1:] = -ratio
    return ratio * float(solveh_banded(bands, g * u)[0])


def simulated(g: np.ndarray, u: np.ndarray, ratio: float) -> float:
    """The same through an analog layer of one column of non-negative weights whose largest is 1."""
    layer = nn.Linear(len(g), 1, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(g)[None])
    hw = Hardware.preset("ideal").replace(array__rows=len(g), ir_drop={"scale": 1.0, "conductance_ratio": ratio})
    net = mho.to_analog(layer, hw)
    net.matrix.set_range("input_range", torch.ones((), dtype=torch.float64))
    with torch.no_grad():
        return float(net(torch.from_numpy(u)[None]))


def column(kind: str, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        return np.ones(n), np.ones(n)
    g = rng.uniform(0, 1, n)
    g[rng.integers(n)] = 1.0
    return g, np.ones(n)


def test_the_nodal_solver_agrees_with_two_columns_solved_by_hand():
    # One cell: 1 in series with the wire. Two cells: g₁ with its segment, parallel to g₀, in series with the last one.
    assert nodal(np.array([1.0]), np.array([1.0]), 4.0) == pytest.approx(1 / (1 + 1 / 4))
    parallel = 1 + 1 / (1 + 1 / 4)
    assert nodal(np.ones(2), np.ones(2), 4.0) == pytest.approx(1 / (1 / parallel + 1 / 4))


@pytest.mark.parametrize(("kind", "seed"), [("uniform", 0), ("random", 1), ("random", 2), ("random", 3)])
def test_the_first_order_of_the_drop_is_that_of_the_circuit(kind, seed):
    errors = []
    for n in (64, 256):
        g, u = column(kind, n, seed)
        ideal, ratio = float(g @ u), 1e4 * n * float(g @ u)
        exact, found = ideal - nodal(g, u, ratio), ideal - simulated(g, u, ratio)
        errors.append(abs(found / exact - 1))
    # The formula counts no drop between the converter and the nearest cell, a share of 1/n; and it knows the mean
    # current only, not from where along the column it comes.
    assert errors[0] < 0.1 and errors[1] < (0.01 if kind == "uniform" else 0.05)
    if kind == "uniform":
        assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("kind", ["uniform", "random"])
def test_the_deviation_from_the_first_order_shrinks_with_the_square_of_the_resistance(kind):
    g, u = column(kind, 128, 5)
    ideal = float(g @ u)
    for solve in (nodal, simulated):
        slope = (ideal - solve(g, u, 1e9)) * 1e9
        deviations = [abs(ideal - solve(g, u, ratio) - slope / ratio) for ratio in (4e5, 8e5, 1.6e6)]
        assert deviations[0] / deviations[1] == pytest.approx(4, rel=0.1)
        assert deviations[1] / deviations[2] == pytest.approx(4, rel=0.1)


def test_inputs_coded_as_voltages_lose_more_than_the_formula():
    """A driven row loses g_j V_j whatever its own voltage u_j is; the formula, made for pulses, loses u_j g_j V_j.

    For inputs uniform in [0, 1] the ratio is 1 / mean(u) = 2.
    """
    n, rng = 512, np.random.default_rng(7)
    g, u = column("random", n)[0], rng.uniform(0, 1, n)
    ratio = 1e4 * n * float(g @ u)
    formula = float(g @ u) - simulated(g, u, ratio)
    assert (float(g @ u) - nodal(g, u, ratio)) / formula == pytest.approx(2, abs=0.15)


def test_pulsed_inputs_lose_what_the_formula_says_only_if_rows_float_between_pulses():
    """A row that is held at 0 V between its pulses goes on losing g_j V_j: the mean is that of a partial voltage."""
    n, rng = 128, np.random.default_rng(7)
    g, u = column("random", n)[0], rng.uniform(0, 1, n)
    ratio = 1e4 * n * float(g @ u)
    formula = float(g @ u) - simulated(g, u, ratio)
    pulses = [(rng.uniform(size=n) < u).astype(float) for _ in range(1000)]
    floating = np.mean([float(g @ s) - nodal(g * s, s, ratio) for s in pulses])
    held = np.mean([float(g @ s) - nodal(g, s, ratio) for s in pulses])
    assert floating / formula == pytest.approx(1, abs=0.08)
    assert held / (float(g @ u) - nodal(g, u, ratio)) == pytest.approx(1, abs=0.03)


def test_a_long_uniform_column_is_tanh():
    """Closed form: I / I₀ = tanh(√a) / √a with a = n² / γ; the formula is its series to second order."""
    n = 1024
    for a in (0.05, 0.2, 0.4):
        g, u = column("uniform", n)
        closed = np.tanh(np.sqrt(a)) / np.sqrt(a)
        assert nodal(g, u, n**2 / a) / n == pytest.approx(closed, abs=2e-3 * a)
        assert simulated(g, u, n**2 / a) / n == pytest.approx(closed, abs=2e-3 * a + 0.03 * a**3)

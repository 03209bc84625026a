"""Imported hardware computes what the other tool's formulas say, written out here."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.exchange import import_hardware
from mho.hardware import Hardware


def crosssim(**changes) -> dict:
    """ISAAC's cells and converters, with changes by dotted name (__ for a dot)."""
    converter = {"model": "SignMagnitudeADC", "bits": 9, "adc_per_ibit": True, "adc_range_option": 3}
    inputs = {"model": "SignMagnitudeDAC", "bits": 16, "input_bitslicing": True, "slice_size": 1}
    data = {
        "core": {"style": 2, "weight_bits": 16, "bit_sliced": {"style": 3, "num_slices": 8}, "offset": {"style": 2}},
        "xbar": {
            "device": {"cell_bits": 2, "Rmin": 2e3, "Rmax": 2e6},
            "adc": {"mvm": converter},
            "dac": {"mvm": inputs},
        },
    }
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        node: dict = data
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return data


def layer(hw: Hardware, weight: torch.Tensor, reach: float = 1.0) -> nn.Module:
    net = mho.to_analog(nn.Sequential(nn.Linear(weight.shape[1], len(weight), bias=False)).double(), hw)
    with torch.no_grad():
        net[0].weight.copy_(weight)
    if hw.dac.bits is not None or hw.dac.range == "calibrated":
        net[0].matrix.set_range("input_range", torch.tensor(reach, dtype=torch.float64))
    return net.eval()


def quantizer(y, low, high, bits, sign_magnitude):
    """CrossSim's QuantizerADC and SignMagnitudeADC."""
    step = (high - low) / (2**bits - 1 - sign_magnitude)
    return np.rint((np.clip(y, low, high) - low) / step) * step + low


def crosssims(w, u, *, style, option, bits, weight_bits, g_min, model, dac_bits, signed, analog, cell_bits=0):
    """Cores of one array, not sliced: OFFSET (digital) and BALANCED (one-sided), conductances in units of g_max."""
    rows, norm = w.shape[1], w / np.abs(w).max()
    corr = 2 ** (dac_bits - signed) / (2 ** (dac_bits - signed) - 1)
    both = signed or (style == "BALANCED" and analog)
    high = rows if option == "MAX" else 2.0**-weight_bits * (2 ** (bits - both) - 1) * corr
    convert = lambda y: quantizer(y, -high if both else 0.0, high, bits, model == "SignMagnitudeADC")  # noqa: E731
    span = 1 - g_min
    if style == "OFFSET":
        if cell_bits:
            span *= (2**cell_bits - 2) / (2**cell_bits - 1)
        g_low = 1 - span
        g = span * (norm / 2 + 0.5) + g_low
        return (convert(u @ g.T) - (g_low + 0.5 * span) * u.sum(1, keepdims=True)) * 2 * np.abs(w).max() / span
    up, down = g_min + span * np.clip(norm, 0, None), g_min + span * np.clip(-norm, 0, None)
    y = convert(u @ up.T - u @ down.T) if analog else convert(u @ up.T) - convert(u @ down.T)
    return y * np.abs(w).max() / span


@pytest.mark.parametrize(
    ("core", "model"),
    [
        ({"style": "OFFSET", "option": "MAX", "signed": True, "analog": True, "g_min": 0.1}, "SignMagnitudeADC"),
        ({"style": "OFFSET", "option": "MAX", "signed": False, "analog": True, "g_min": 0.1}, "QuantizerADC"),
        ({"style": "OFFSET", "option": "GRANULAR", "signed": True, "analog": True, "g_min": 0.1}, "SignMagnitudeADC"),
        ({"style": "OFFSET", "option": "GRANULAR", "signed": True, "analog": True, "g_min": 0.1, "cell_bits": 4},
         "SignMagnitudeADC"),
        ({"style": "BALANCED", "option": "MAX", "signed": True, "analog": True, "g_min": 0.0}, "SignMagnitudeADC"),
        ({"style": "BALANCED", "option": "MAX", "signed": False, "analog": True, "g_min": 0.0}, "SignMagnitudeADC"),
        ({"style": "BALANCED", "option": "MAX", "signed": False, "analog": False, "g_min": 0.1}, "QuantizerADC"),
        ({"style": "BALANCED", "option": "GRANULAR", "signed": True, "analog": True, "g_min": 0.1}, "SignMagnitudeADC"),
        ({"style": "BALANCED", "option": "GRANULAR", "signed": False, "analog": False, "g_min": 0.1}, "QuantizerADC"),
    ],
)  # fmt: skip
def test_cores_and_ranges_of_crosssim(core, model):
    bits, weight_bits, dac_bits = 10, 4, 5
    hw = import_hardware(
        crosssim(
            core__style=core["style"],
            core__offset__style=1,
            core__rows_max=0,
            core__weight_bits=weight_bits,
            core__balanced__subtract_current_in_xbar=core["analog"],
            xbar__device__cell_bits=core.get("cell_bits", 0),
            xbar__device__Rmin=1e4,
            xbar__device__Rmax=1e5,
            xbar__device__infinite_on_off_ratio=core["g_min"] == 0,
            xbar__adc__mvm__model=model,
            xbar__adc__mvm__bits=bits,
            xbar__adc__mvm__signed=True,  # says nothing of the range there
            xbar__adc__mvm__adc_range_option=core["option"],
            xbar__dac__mvm__bits=dac_bits,
            xbar__dac__mvm__signed=core["signed"],
            xbar__dac__mvm__input_bitslicing=False,
        ),
        "crosssim",
    ).hardware
    torch.manual_seed(0)
    w = torch.randn(4, 64, dtype=torch.float64)
    w[0], w[1] = 3.0, -3.0  # full columns
    if core.get("cell_bits"):
        states = 2 ** core["cell_bits"] - 2
        w = 3.0 * (2 * torch.randint(0, states + 1, w.shape).double() / states - 1)
        w[0], w[1] = 3.0, -3.0
    half = 2 ** (dac_bits - core["signed"]) - 1
    codes = torch.randint(-half if core["signed"] else 0, half + 1, (20, 64))
    codes[0], codes[1, 1:] = half, 0
    u = codes.double() / half
    expected = crosssims(
        w.numpy(), u.numpy(), bits=bits, weight_bits=weight_bits, dac_bits=dac_bits, model=model, **core
    )
    with torch.no_grad():
        for found in (layer(hw, w)(u), mho.program(layer(hw, w)).at(0.0)(u)):
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-5)


def test_an_offset_core_with_the_maximal_range_has_all_of_it():
    hw = import_hardware(
        crosssim(core__style="OFFSET", core__offset__style=1, xbar__device__cell_bits=0, xbar__device__infinite_on_off_ratio=True,
                 xbar__adc__mvm__adc_range_option="MAX", xbar__adc__mvm__bits=16), "crosssim")  # fmt: skip
    w = torch.tensor([[1.0], [0.5], [0.0], [-1.0]], dtype=torch.float64).expand(4, 128)
    with torch.no_grad():
        y = layer(hw.hardware, w)(torch.ones(1, 128, dtype=torch.float64))
    np.testing.assert_allclose(y[0].numpy(), [128, 64, 0, -128], atol=0.1)


def test_limits_of_weights_of_crosssim_are_a_full_conductance():
    """Weights up to 0.5 then fill half the range: numbers W = round(w · 127)."""
    hw = import_hardware(
        crosssim(core__mapping__weights={"clipping": True, "min": -1.0, "max": 1.0, "percentile": None}, core__weight_bits=8,
                 core__bit_sliced__num_slices=4, xbar__adc__mvm__model="IdealADC"), "crosssim").hardware  # fmt: skip
    torch.manual_seed(0)
    w, u = torch.rand(4, 64, dtype=torch.float64) - 0.5, torch.rand(3, 64, dtype=torch.float64)
    u = (u * (2**15 - 1)).round() / (2**15 - 1)
    with torch.no_grad():
        y = layer(hw, w)(u)
    np.testing.assert_allclose(y.numpy(), u.numpy() @ np.rint(w.numpy() * 127).T / 127, atol=1e-9)


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("signed", [True, False])
def test_slices_of_crosssim_with_a_unit_column_that_is_converted_by_itself(signed, pair):
    """Two slices of two bits, inputs bit by bit, GRANULAR: every slice, its unit column and every bit clip on their own."""
    bits, dac_bits, g_min = 5, 4, 0.02
    hw = import_hardware(
        crosssim(core__weight_bits=4, core__bit_sliced__num_slices=2, core__bit_sliced__style=1 if pair else 3,
                 xbar__device__Rmin=1e4, xbar__device__Rmax=1e4 / g_min, xbar__device__cell_bits=2,
                 xbar__adc__mvm__model="QuantizerADC" if not (signed or pair) else "SignMagnitudeADC", xbar__adc__mvm__bits=bits,
                 xbar__dac__mvm__bits=dac_bits, xbar__dac__mvm__signed=signed, core__rows_max=0), "crosssim",
    ).hardware  # fmt: skip
    torch.manual_seed(10)  # no sum halfway between two codes, where the order of a machine's additions would decide
    w = torch.randint(-7, 8, (4, 64)).double() / 7
    w[0, 0] = 1.0
    places = dac_bits - signed
    codes = torch.randint(-(2**places) + 1 if signed else 0, 2**places, (20, 64)).double()
    corr, both = 2**places / (2**places - 1), signed or pair
    high = (2 ** (bits - both) - 1) / 3 * corr
    span, total, clipped = 1 - g_min, np.zeros((20, 4)), False
    number, code = w.numpy() * 7, codes.numpy()
    for k in range(2):
        digits = ((np.abs(number) if pair else number + 8) // 4**k) % 4 * (np.sign(number) if pair else 1) / 3
        up, down = g_min + span * np.clip(digits, 0, None), g_min + span * np.clip(-digits, 0, None)
        unit = g_min + span * (2 / 3 if k == 1 else 0.0)
        for z in range(places):
            bit = np.sign(code) * ((np.abs(code) // 2**z) % 2)
            y = bit @ up.T - (bit @ down.T if pair else 0)
            clipped |= bool((np.abs(y) > high).any())
            y = quantizer(y, -high if both else 0.0, high, bits, both)
            if not pair:
                y = y - quantizer(unit * bit.sum(1, keepdims=True), -high if both else 0.0, high, bits, both)
            total += y / span * 3 * 4**k * 2**z / (2**places - 1) / 7
    assert clipped
    with torch.no_grad():
        y = layer(hw, w)(codes / (2**places - 1))
    np.testing.assert_allclose(y.numpy(), total, atol=1e-6)


def neurosims(w, x, *, bits, cell_bits, inputs, adc, ratio, vari, rows, rng):
    """One layer of DNN+NeuroSim V1.4, its converters exact where `adc` is None; without its factor 255/256 twice."""
    states, low, total = 2**cell_bits, 1 / ratio, np.zeros((len(x), len(w)))
    code = np.rint((2**inputs - 1) * x)
    for z in range(inputs):
        bit, code = code % 2, code // 2
        for start in range(0, w.shape[1], rows):
            part, number = bit[:, start : start + rows], np.rint((2**bits - 1) / 2 * (w[:, start : start + rows] + 1))
            for k in range(bits // cell_bits):
                digit, number = number % states, number // states
                g = (1 - low) * digit + (states - 1) * low
                g = g + g * vari * rng.standard_normal(g.shape)
                dummy = np.full_like(g, (states - 1) * (1 + low) / 2)
                columns = [part @ g.T, part @ dummy.T]
                if adc:  # from 0 and to the nearest
                    columns = [np.rint(y / y.max() * (2**adc - 1)) * y.max() / (2**adc - 1) for y in columns]
                total += (columns[0] - columns[1]) * states**k * 2 / (1 - low) * 2**z
    return total / (2**inputs - 1) / (2**bits - 1)


# 31 rows: no sum of ones lies half-way between two codes of five bits
ARGUMENTS = {
    "inference": 1,
    "wl_weight": 4,
    "wl_activate": 4,
    "cellBit": 2,
    "subArray": 31,
    "parallelRead": 128,
    "onoffratio": 9.7,
}


@pytest.mark.parametrize("adc", [5, 20])
def test_layers_of_neurosim(adc):
    hw = import_hardware({**ARGUMENTS, "ADCprecision": adc}, "neurosim").hardware
    torch.manual_seed(0)
    w, x = 2 * torch.rand(4, 62, dtype=torch.float64) - 1, torch.rand(50, 62, dtype=torch.float64)
    expected = neurosims(0.5 * w.numpy(), x.numpy(), bits=4, cell_bits=2, inputs=4, adc=adc, ratio=9.7, vari=0, rows=31,
                         rng=np.random.default_rng(0))  # fmt: skip
    with torch.no_grad():
        y = layer(hw, 0.5 * w)(x)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-6 if adc == 5 else 1e-4)


def test_variation_of_neurosim_is_shared_by_a_batch():
    hw = import_hardware({**ARGUMENTS, "ADCprecision": 20, "vari": 0.2}, "neurosim").hardware
    torch.manual_seed(0)
    w, x = 2 * torch.rand(4, 62, dtype=torch.float64) - 1, torch.rand(1, 62, dtype=torch.float64).expand(3, 62)
    rng = np.random.default_rng(0)
    given = {"bits": 4, "cell_bits": 2, "inputs": 4, "adc": None, "ratio": 9.7, "rows": 31, "rng": rng}
    theirs = np.stack([neurosims(w.numpy(), x[:1].numpy(), vari=0.2, **given)[0] for _ in range(150)])
    net = layer(hw, w)
    with torch.no_grad():
        found = np.stack([net(x).numpy() for _ in range(150)])
    np.testing.assert_allclose(found, np.broadcast_to(found[:, :1], found.shape), atol=1e-3)
    np.testing.assert_allclose(found[:, 0].std(0), theirs.std(0), rtol=0.3)
    np.testing.assert_allclose(found[:, 0].mean(0), theirs.mean(0), atol=5 * theirs.std() / 150**0.5)


PLAIN = {"is_perfect": False, "inp_res": -1, "out_res": -1, "out_bound": 12.0, "out_noise": 0.0, "bound_management": "NONE",
         "noise_management": "ABS_MAX"}  # fmt: skip


def aihwkit(omega: float, **forward) -> Hardware:
    return import_hardware({"forward": {**PLAIN, **forward}, "drift_compensation": None, "noise_model": IDEAL,
                            "mapping": {"weight_scaling_omega": omega, "weight_scaling_columnwise": False}},
                           "aihwkit").hardware  # fmt: skip


IDEAL = {"class": "StateIndependentNoiseModel", "prog_coeff": [0.0], "prog_noise_scale": 0.0, "read_noise_scale": 0.0,
         "drift_scale": 0.0}  # fmt: skip


@pytest.mark.parametrize("form", ["ADDITIVE_CONSTANT", "PCM_READ"])
def test_noise_of_weights_of_aihwkit(form):
    """σ_j = max|W| w_noise sqrt(Σ u²), or with |w|/max|W| in the sum: weights there are scaled by their largest."""
    hw = aihwkit(1.0, w_noise=0.05, w_noise_type=form, out_bound=100.0)
    w, x = torch.full((4, 64), 0.1, dtype=torch.float64), torch.ones(4000, 64, dtype=torch.float64)
    w[2:], w[3, 0] = 0.025, 0.1
    with torch.no_grad():
        found = layer(hw, w)(x).std(0).numpy()
    share = np.ones((4, 64)) if form == "ADDITIVE_CONSTANT" else w.numpy() / 0.1
    np.testing.assert_allclose(found, 0.1 * 0.05 * np.sqrt(share.sum(1)), rtol=0.05)


def test_ir_drop_of_aihwkit():
    """y - c Σ w u (1 - (1 - j/n)²) with c = a (a (0.05 a - 0.2) + 0.5) and a = n/γ Σ|w||u|, weights scaled by their largest."""
    hw = aihwkit(1.0, ir_drop=1.0, ir_drop_g_ratio=4000.0)
    torch.manual_seed(0)
    w, x = torch.randn(4, 64, dtype=torch.float64), torch.randn(5, 64, dtype=torch.float64)
    largest, reach = float(w.abs().max()), np.abs(x.numpy()).max(1, keepdims=True)
    unit, u = w.numpy() / largest, x.numpy() / reach
    a = np.abs(u) @ np.abs(unit).T * 64 / 4000
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    y = u @ unit.T - c * ((u * (1 - (1 - np.arange(64) / 64) ** 2)) @ unit.T)
    with torch.no_grad():
        found = layer(hw, w)(x).numpy()
    np.testing.assert_allclose(found, y * largest * reach, rtol=1e-5, atol=1e-4)


def test_columns_of_aihwkit():
    """(1 - v) y - 2 v w_ref Σu, then f² y / (1 + n|y|) with n = nonlinearity / out_bound, f = 1 + n · out_bound · slope."""
    hw = aihwkit(
        0.0, out_nonlinearity=0.4, slope_calibration=0.5, v_offset_std=0.1, v_offset_w_min=-0.3, out_bound=12.0
    )
    torch.manual_seed(0)
    w, x = 0.3 * torch.randn(4, 64, dtype=torch.float64), torch.randn(5, 64, dtype=torch.float64)
    net = layer(hw, w)
    chip = mho.program(net, seed=3)
    v = chip.arrays["0"].columns[0, 0][:, 0].double().numpy()
    reach = np.abs(x.numpy()).max(1, keepdims=True)
    u = x.numpy() / reach
    y = (1 - v) * (u @ w.numpy().T) - 2 * v * 0.3 * u.sum(1, keepdims=True)
    n, f = 0.4 / 12, 1 + 0.4 * 0.5
    expected = reach * np.clip(f * f * y / (1 + n * np.abs(y)), -12, 12)
    with torch.no_grad():
        found = chip.at(0.0)(x).numpy()
    assert (v > 0).any()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)

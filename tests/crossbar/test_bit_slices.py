"""Weights in slices of bits, inputs in slices of bits: against whole numbers, for every sign and reference."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.crossbar import effective, hold, ideal_cells
from mho.crossbar.cells import decode, whole
from mho.errors import NotYet, WrongSetting
from mho.hardware import Hardware
from mho.nn.linear import LINEAR

ROWS, COLUMNS, BLOCK, REACH, CODES = 23, 6, 9, 2.0, 15
"""Rows and columns of the matrix, rows of an array, range of the DAC and its largest code (4 bits and a sign)."""
KINDS = [
    {"sign": "pair"}, {"sign": "pair", "subtract": "digital"}, {"sign": "offset"}, {"sign": "offset", "reference": "column"},
    {"sign": "twos_complement"}, {"sign": "twos_complement", "reference": "column"},
]  # fmt: skip
WIDTHS = [(8, 4), (8, 2), (8, 1), (5, 3), (8, 8), (4, (1, 2)), (6, (2, 3))]


def encodings():
    found = []
    for kind, (bits, cell_bits), analog in itertools.product(KINDS, WIDTHS, ("digital", "analog")):
        if isinstance(cell_bits, tuple) and kind["sign"] == "offset":
            cell_bits = (*cell_bits, 1)
        found.append({"kind": "bit_sliced", "bits": bits, "cell_bits": cell_bits, "shift_and_add": analog, **kind})
    return found


def hardware(encoding, *, slice_bits=None, half=None, bound=None, g_min=2.0, **changes):
    adc = {"bits": None} if half is None else {"bits": None, "steps": int(2 * half), "range": "fixed", "bound": bound}
    widths = encoding["cell_bits"]
    levels = 2**widths if isinstance(widths, int) else None
    return Hardware.preset("ideal", cell={"kind": "ideal", "g_min_us": g_min, "levels": levels}, array={"rows": BLOCK},
                           dac={"steps": 2 * CODES, "slice_bits": slice_bits}, adc=adc, encoding=encoding, **changes)  # fmt: skip


def network(hw, dtype=torch.float64):
    torch.manual_seed(1)
    net = mho.to_analog(nn.Sequential(nn.Linear(ROWS, COLUMNS, bias=False)).to(dtype), hw)
    net[0].matrix.set_range("input_range", torch.tensor(REACH, dtype=dtype))
    return net


def whole_numbers(net, bits):
    weight = net[0].weight.detach().double().numpy()
    scale = np.abs(weight).max(1, keepdims=True)
    return np.rint(weight / scale * (2 ** (bits - 1) - 1)).astype(np.int64), scale


def codes_of(x):
    return np.clip(np.rint(x.double().numpy() * CODES / REACH), -CODES, CODES).astype(np.int64)


@pytest.mark.parametrize("encoding", encodings(), ids=lambda e: "-".join(map(str, list(e.values())[1:])))
def test_without_loss_the_product_is_that_of_whole_numbers(encoding):
    """Exactly: every bit of the answer, up to the rounding of float64; converted and programmed, input whole and in slices."""
    x = torch.randn(40, ROWS, dtype=torch.float64)
    for slice_bits in (None, 1, 2):
        net = network(hardware(encoding, slice_bits=slice_bits))
        whole, scale = whole_numbers(net, encoding["bits"])
        expected = codes_of(x) @ whole.T * (REACH / CODES / (2 ** (encoding["bits"] - 1) - 1)) * scale.T
        with torch.no_grad():
            for found in (net(x), mho.program(net).at("1 year")(x)):
                np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-11)


def digits(whole, encoding):
    """Signed digit planes and the factor of each, by the textbook: independent of the encoding's own arithmetic."""
    bits, widths = encoding["bits"], encoding["cell_bits"]
    count = bits if encoding["sign"] == "offset" else bits - 1
    widths = [widths] * -(-count // widths) if isinstance(widths, int) else list(widths)
    planes, place = [], 0
    for width in widths:
        mask = (1 << width) - 1
        if encoding["sign"] == "pair":
            digit = np.sign(whole) * (np.abs(whole) >> place & mask)
        elif encoding["sign"] == "offset":
            digit = (whole + (1 << bits - 1)) >> place & mask
            if encoding.get("reference") == "column":
                digit = digit - ((1 << bits - 1) >> place & mask)
        else:
            digit = (whole & (1 << bits) - 1) >> place & mask
            if place + width > bits - 1:  # the sign has a cell of its own
                digit = digit & (1 << bits - 1 - place) - 1
        planes.append((digit, 1 << place, mask))
        place += width
    if encoding["sign"] == "twos_complement":
        planes.append(((whole < 0).astype(np.int64), -(1 << bits - 1), 1))
    return planes


def by_integers(x, net, encoding, half, bound, slice_bits):
    """Every digit of every slice of the input converted on its own; what an offset adds is taken away from exact sums."""
    whole, scale = whole_numbers(net, encoding["bits"])
    codes, total = codes_of(x), np.zeros((len(x), COLUMNS))
    places = range(0, 4, slice_bits) if slice_bits else [0]
    width = slice_bits or 4
    for start in range(0, ROWS, BLOCK):
        rows = slice(start, start + BLOCK)
        for place in places:
            part = np.sign(codes[:, rows]) * (np.abs(codes[:, rows]) >> place & (1 << width) - 1)
            for digit, factor, largest in digits(whole[:, rows], encoding):
                y = part @ digit.T / largest / ((1 << width) - 1)
                converted = bound * np.clip(np.rint(y * half / bound), -half, half) / half
                total += factor * largest * (1 << place) * ((1 << width) - 1) * converted
        if encoding["sign"] == "offset" and encoding.get("reference", "digital") == "digital":
            total -= (1 << encoding["bits"] - 1) * codes[:, rows].sum(1, keepdims=True)
    return total * (REACH / CODES / (2 ** (encoding["bits"] - 1) - 1)) * scale.T


@pytest.mark.parametrize("slice_bits", [None, 1, 2])
@pytest.mark.parametrize(
    "encoding",
    [e for e in encodings() if e["shift_and_add"] == "digital" and e.get("subtract") != "digital"],
    ids=lambda e: "-".join(map(str, list(e.values())[1:])),
)
def test_every_slice_is_converted_on_its_own(encoding, slice_bits):
    x = torch.randn(40, ROWS, dtype=torch.float64)
    net = network(hardware(encoding, slice_bits=slice_bits, half=31, bound=3.3, g_min=0.0))
    expected = by_integers(x, net, encoding, 31, 3.3, slice_bits)
    exact = by_integers(x, net, encoding, 2**40, 2.0**12, slice_bits)
    with torch.no_grad():
        for found in (net(x), mho.program(net).at("1 year")(x)):
            np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-11)
    assert np.abs(expected - exact).max() > 1e-3  # the converters cost something


def test_conversions_are_counted():
    scheme = {}
    for name, encoding in {
        "digital": {}, "analog": {"shift_and_add": "analog"}, "polarities": {"subtract": "digital"},
        "both": {"shift_and_add": "analog", "subtract": "digital"},
    }.items():  # fmt: skip
        net = network(hardware({"kind": "bit_sliced", "cell_bits": 4, **encoding}, half=31, bound=3.0, slice_bits=2))
        scheme[name] = len(net[0].matrix.scheme(net[0].weight, LINEAR).conversions)
    assert scheme == {"digital": 3 * 2 * 2, "analog": 3 * 2, "polarities": 3 * 2 * 4, "both": 3 * 2 * 2}
    assert net.placement is not None


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(k.values()))
def test_cells_stand_for_the_quantised_weights(kind):
    net = network(hardware({"kind": "bit_sliced", "cell_bits": 4, **kind}))
    whole, scale = whole_numbers(net, 8)
    scheme = net[0].matrix.scheme(net[0].weight, LINEAR)
    held = hold(ideal_cells(LINEAR.to_matrix(net[0].weight.detach()), scheme), LINEAR, scheme)
    np.testing.assert_allclose(effective(held, LINEAR).numpy(), scale * whole / 127, rtol=1e-12, atol=1e-14)


def test_variation_of_cells_reaches_weights_as_the_formula_says():
    """Offset, σ of each cell's own conductance, frozen: var(w) = Σ_k f_k² σ² (d_k/(2^c - 1))² for g_min = 0."""
    sigma, encoding = 0.1, {"kind": "bit_sliced", "cell_bits": 4, "sign": "offset"}
    hw = hardware(encoding, g_min=0.0, variations=[{"sigma": sigma, "relative_to": "ideal", "redraw": "program"}])
    net = mho.to_analog(nn.Sequential(nn.Linear(300, 200, bias=False)).double(), hw)
    weight = net[0].weight.detach().numpy()
    scale = np.abs(weight).max(1, keepdims=True)
    whole = np.rint(weight / scale * 127).astype(np.int64) + 128
    expected = sigma**2 * ((whole & 15) ** 2 + (16 * (whole >> 4)) ** 2) / 127**2
    chip = mho.program(net, seed=3).at(0.0)[0].matrix.source.weight(LINEAR).numpy() / scale
    z = (chip - (whole - 128) / 127) / np.sqrt(expected)
    assert abs(z.mean()) < 5 / math.sqrt(z.size) and abs(z.var() - 1) < 5 * math.sqrt(2 / z.size)


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(k.values()))
def test_it_is_calibrated_drifts_and_trains_like_any_encoding(kind):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 3)), torch.randn(120, 12)
    y = model(x).argmax(1)
    hw = Hardware.preset("pcm-cells", encoding={"kind": "bit_sliced", **kind}, array__rows=16, dac__slice_bits=4)
    net = mho.calibrate(mho.to_analog(model, hw, example=x), [x])
    result = mho.drift(net, [(x, y)], times=["1 h"], chips=2)
    assert result.digital_score > 0.9 and result.scores.min() > (0.5 if kind["sign"] == "pair" else 0.2)
    net(x).square().sum().backward()
    digital = mho.to_digital(net)
    digital.zero_grad()
    digital(x).square().sum().backward()
    a, b = net[0].weight.grad.flatten(), digital[0].weight.grad.flatten()
    assert float(torch.nn.functional.cosine_similarity(a, b, dim=0)) > 0.8


def test_convolutions_and_float32():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1, groups=2)), torch.randn(3, 6, 7, 7)
    hw = Hardware.preset("ideal", encoding={"kind": "bit_sliced", "bits": 8, "cell_bits": 4}, array={"rows": 20},
                         dac={"bits": 8, "slice_bits": 1}, adc={"bits": None})  # fmt: skip
    net = mho.to_analog(model, hw, example=x)
    mho.calibrate(net, [x])
    weight = model[0].weight.detach()
    scale = weight.abs().amax((1, 2, 3), keepdim=True)
    reach = float(net[0].matrix.input_range)
    quantised = (x.clamp(-reach, reach) * 127 / reach).round() * reach / 127
    rounded = (weight / scale * 127).round() * scale / 127
    expected = nn.functional.conv2d(quantised.double(), rounded.double(), model[0].bias.double(), padding=1, groups=2)
    with torch.no_grad():
        torch.testing.assert_close(net(x).double(), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"bits": 1}, "bits"), ({"cell_bits": 0}, "1 to 8 bits"), ({"cell_bits": [4, 4, 4]}, "slices of 4, 4, 4 bits"),
        ({"cell_bits": [4]}, "as many slices"), ({"sign": "pair", "reference": "column"}, "no constant part"),
        ({"sign": "offset", "subtract": "digital"}, "nothing is subtracted"), ({"sign": "signed"}, "sign"),
        ({"cellbits": 4}, "cell_bits"),
    ],
)  # fmt: skip
def test_encodings_that_contradict_themselves_are_refused(changes, named):
    with pytest.raises(WrongSetting, match=named):
        Hardware.preset("ideal", encoding={"kind": "bit_sliced", **changes})


def test_states_of_cells_must_be_digits_and_slices_need_codes():
    with pytest.raises(WrongSetting, match=r"cells of 8 states cannot hold digits of 4 bits.*16"):
        Hardware.preset("ideal", encoding={"kind": "bit_sliced"}, cell={"kind": "ideal", "levels": 8})
    with pytest.raises(WrongSetting, match="cell.levels to null"):
        Hardware.preset(
            "ideal", encoding={"kind": "bit_sliced", "cell_bits": [3, 4]}, cell={"kind": "ideal", "levels": 16}
        )
    with pytest.raises(WrongSetting, match="slices are of codes"):
        Hardware.preset("ideal", dac={"bits": None, "slice_bits": 1})


def test_descriptions_that_were_stored_keep_their_digest():
    assert "slice_bits" not in Hardware.preset("pcm").dac.as_dict(lasting=True)
    assert Hardware.preset("pcm", dac__slice_bits=1).digest() != Hardware.preset("pcm").digest()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: "-".join(k.values()))
def test_weights_that_noise_brings_beyond_the_largest_are_the_largest(kind):
    """Training injects noise before weights are encoded: 1.1 must not come back as a number of the other sign."""
    encoding = Hardware.preset("ideal", encoding={"kind": "bit_sliced", "cell_bits": 1, **kind}).encoding
    cell = Hardware.preset("ideal").cell
    weight = torch.tensor([[[1.1, -1.1, 1.0, -1.0, 0.5]]])
    readouts = encoding.readouts(cell)
    found = whole(decode(encoding.encode(weight, cell), readouts), readouts)
    torch.testing.assert_close(found, torch.tensor([[[1.0, -1.0, 1.0, -1.0, 64 / 127]]]), rtol=0, atol=1e-5)


def test_the_largest_code_keeps_its_digits_in_half_precision():
    x = torch.tensor([[1.0] + [0.0] * 8], dtype=torch.bfloat16)
    hw = Hardware.preset("ideal", dac={"bits": 10, "slice_bits": 1}, adc={"bits": None})
    net = mho.to_analog(nn.Sequential(nn.Linear(9, 3, bias=False)).bfloat16(), hw)
    net[0].matrix.set_range("input_range", torch.tensor(1.0))
    with torch.no_grad():
        torch.testing.assert_close(net(x)[0], net[0].weight[:, 0], rtol=0.02, atol=0.01)


def test_what_slices_cannot_do_is_refused():
    with pytest.raises(WrongSetting, match="even number of steps"):
        Hardware.preset("ideal", dac={"steps": 13, "slice_bits": 1})
    hw = Hardware.preset("ideal", dac={"bits": 4, "slice_bits": 1},
                         adc={"bits": 6, "range": "fixed", "bound": 3.0, "on_clip": "halve_input"})  # fmt: skip
    with pytest.raises(NotYet, match="not repeated at half their size"):
        mho.to_analog(nn.Sequential(nn.Linear(4, 3)), hw, example=torch.randn(2, 4))


@pytest.mark.parametrize("slice_bits", [1, 2, None])
def test_the_error_that_calibration_reckons_is_the_error_that_there_is(slice_bits):
    from mho.calibration.adc_ranges import adc_error
    from mho.calibration.kept import Kept

    torch.manual_seed(0)
    x = torch.randn(400, 64, dtype=torch.float64)
    hw = Hardware.preset("ideal", dac={"bits": 8, "slice_bits": slice_bits}, adc={"bits": 6}, array={"rows": 32})
    net = mho.calibrate(mho.to_analog(nn.Sequential(nn.Linear(64, 8)).double(), hw, example=x[:2]), [x])
    matrix, weight = net[0].matrix, net[0].weight.detach()
    kept = Kept(weight, LINEAR)
    kept.add(x, x @ weight.T)
    reckoned = adc_error(matrix, kept, matrix.adc_range)
    exact = mho.calibrate(mho.to_analog(mho.to_digital(net), hw.replace(adc__bits=None), example=x[:2]), [x])
    exact[0].matrix.set_range("input_range", matrix.input_range)
    with torch.no_grad():
        error = float((net(x) - exact(x)).square().mean() / (x @ weight.T).square().mean())
    assert reckoned == pytest.approx(error, rel=0.05)

"""Chips of noise-free cells against a dense float64 computation in NumPy that shares no code with the package.

Every input vector of every layer is written out, every conversion done on it, every row block summed: encoding × range of
the DAC × ADC × rows of an array × kind of layer. Only what a user sees is used: `to_analog`, `calibrate`, `program`, `at`.
"""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.errors import MhoError

G_MIN, G_MAX = 2.0, 25.0
ENCODINGS: dict[str, dict[str, str]] = {
    "one-sided": {"kind": "differential"},
    "one-sided, digital": {"kind": "differential", "subtract": "digital"},
    "two-sided": {"kind": "differential", "sides": "two"},
    "two-sided, digital": {"kind": "differential", "sides": "two", "subtract": "digital"},
    "offset, digital": {"kind": "offset"},
    "offset, column": {"kind": "offset", "reference": "column"},
}
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(13, 5), (4, 13)),
    "linear, sequences": (lambda: nn.Linear(9, 4, bias=False), (2, 3, 9)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, padding=2, stride=2), (2, 3, 7)),
    "conv2d": (lambda: nn.Conv2d(4, 5, 3, padding=1, stride=2), (2, 4, 5, 6)),
    "conv2d, dilated": (lambda: nn.Conv2d(3, 4, (3, 2), dilation=(2, 1), padding=(2, 0), stride=(1, 2)), (2, 3, 5, 6)),
    "conv2d, same": (lambda: nn.Conv2d(3, 4, (3, 2), padding="same", dilation=2), (2, 3, 5, 4)),
    "conv3d": (lambda: nn.Conv3d(2, 3, (2, 3, 2), padding=(0, 1, 1)), (1, 2, 3, 4, 3)),
    "grouped": (lambda: nn.Conv2d(6, 4, 3, groups=2, padding=1), (2, 6, 4, 4)),
    "depthwise": (lambda: nn.Conv2d(3, 6, 3, groups=3, stride=2, padding=1, bias=False), (2, 3, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), (2, 3, 3, 3)),
    "transposed, grouped": (lambda: nn.ConvTranspose1d(4, 6, 3, groups=2, dilation=2, stride=2), (2, 4, 4)),
}  # fmt: skip
DACS = {
    "calibrated": {"bits": 6},
    "abs_max": {"bits": 8, "range": "abs_max"},
    "coarse": {"steps": 14},
    "none": {"bits": None},
}
# A block of one row gives multiples of (code / largest code). With 64 codes up to the range of the ADC, and fewer than 128 of
# the DAC, none of them lies half way between two codes, where rounding errors would decide.
ADCS = {
    "none": {"bits": None},
    "fixed": {"steps": 61, "range": "fixed", "bound": 1.1},
    "calibrated": {"steps": 128},
}


def rows_of(layer: Any) -> dict[str, int]:
    """Rows of the arrays for one block, for several, and, where there is a kernel, for a cut inside of it."""
    taps = math.prod(getattr(layer, "kernel_size", ()))
    several = {"one block": 512, "several blocks": 5 if taps == 1 else taps + 1}
    return several if taps == 1 else {**several, "cut inside the kernel": taps // 2 + 1}


# The oracle


def cuts(rows: int, taps: int, height: int) -> list[tuple[int, int]]:
    """First and last row (exclusive) of each block: whole channels where they fit, pieces of a channel where not."""
    if height >= taps:
        step = height - height % taps
        return [(i, min(i + step, rows)) for i in range(0, rows, step)]
    return [(i, min(i + height, c + taps)) for c in range(0, rows, taps) for i in range(c, c + taps, height)]


@cache
def sources(kind: str) -> tuple[np.ndarray, tuple[int, ...], int]:
    """For each (group, position, row) the flat place in the input, -1 for padding; the output's shape; the taps."""
    make, shape = LAYERS[kind]
    layer = make()
    out = tuple(layer(torch.zeros(shape)).shape)
    if isinstance(layer, nn.Linear):
        return np.arange(math.prod(shape)).reshape(1, -1, shape[-1]), out, 1
    kernel, channels, space = layer.kernel_size, layer.in_channels // layer.groups, shape[2:]
    transposed, flat = "Transpose" in type(layer).__name__, np.arange(math.prod(shape)).reshape(shape)
    found = np.full((layer.groups, shape[0] * math.prod(out[2:]), channels * math.prod(kernel)), -1)
    pads = layer.padding
    if pads == "same":  # torch puts the odd zero behind
        pads = [d * (k - 1) // 2 for d, k in zip(layer.dilation, kernel, strict=True)]
    for p, (n, *to) in enumerate(np.ndindex(shape[0], *out[2:])):
        for r, (c, *tap) in enumerate(np.ndindex(channels, *kernel)):
            at = []
            for i, (y, k) in enumerate(zip(to, tap, strict=True)):
                if transposed:  # y = x · stride - padding + k · dilation
                    x, rest = divmod(y + pads[i] - k * layer.dilation[i], layer.stride[i])
                    at.append(x if rest == 0 else -1)
                else:
                    at.append(y * layer.stride[i] - pads[i] + k * layer.dilation[i])
            if all(0 <= x < size for x, size in zip(at, space, strict=True)):
                for g in range(layer.groups):
                    found[g, p, r] = flat[(n, g * channels + c, *at)]
    return found, out, math.prod(kernel)


def matrices(layer: Any) -> np.ndarray:
    """(groups, columns, rows), rows in the order of `sources`."""
    w = layer.weight.detach().numpy()
    groups = getattr(layer, "groups", 1)
    if "Transpose" in type(layer).__name__:
        channels = layer.in_channels // groups
        return np.stack([np.stack([w[g * channels : (g + 1) * channels, o].ravel() for o in range(w.shape[1])])
                         for g in range(groups)])  # fmt: skip
    return w.reshape(groups, w.shape[0] // groups, -1)


def planes(w: np.ndarray, encoding: dict[str, str]) -> tuple[list[tuple[float, np.ndarray]], float]:
    """What each conversion multiplies with, with its sign, and the offset that is taken away digitally; |w| ≤ 1."""
    span = G_MAX - G_MIN
    if encoding["kind"] == "offset":
        cell, middle = G_MIN + span * (w + 1) / 2, (G_MIN + G_MAX) / 2
        if encoding.get("reference") == "column":
            return [(1.0, (cell - middle) * 2 / span)], 0.0
        return [(1.0, cell * 2 / span)], middle * 2 / span
    if encoding.get("sides") == "two":
        plus, minus = G_MIN + span * (1 + w) / 2, G_MIN + span * (1 - w) / 2
    else:
        plus, minus = np.where(w > 0, G_MIN + span * w, G_MIN), np.where(w < 0, G_MIN - span * w, G_MIN)
    if encoding.get("subtract") == "digital":
        return [(1.0, plus / span), (-1.0, minus / span)], 0.0
    return [(1.0, (plus - minus) / span)], 0.0


def half_steps(converter: dict[str, Any]) -> float | None:
    if converter.get("steps"):
        return converter["steps"] / 2
    return None if converter.get("bits") is None else 2 ** (converter["bits"] - 1) - 1


def convert(v: np.ndarray, reach: Any, half: float | None) -> np.ndarray:
    """In units of the range."""
    return v / reach if half is None else np.clip(np.round(v * half / reach), -half, half) / half


def scales(w: np.ndarray, cut: list[tuple[int, int]], rule: str, per_array: int) -> np.ndarray:
    """The weight that a full one stands for, (blocks, groups, columns); arrays hold `per_array` columns of one group."""
    size = np.abs(w)
    if rule in ("tensor", "column"):
        largest = size.max(-1) if rule == "column" else np.full(size.shape[:2], size.max())
        return np.broadcast_to(largest, (len(cut), *largest.shape))
    found = np.stack([size[..., a:b].max(-1) for a, b in cut])
    if rule == "array":
        for first in range(0, w.shape[1], per_array):
            part = found[..., first : first + per_array]
            part[:] = part.max(-1, keepdims=True)
    return found


def dense(layer: Any, kind: str, x: np.ndarray, hw: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The layer's output, and what one step of the converters is worth in it, per column."""
    places, shape, taps = sources(kind)
    vectors = np.append(x.ravel(), 0.0)[places]
    w, dac, adc = matrices(layer), hw["dac"], hw["adc"]
    groups, columns, rows = w.shape
    dac_half, adc_half = half_steps(dac), half_steps(adc)
    cut = cuts(rows, taps, hw["rows"])
    scale = scales(w, cut, hw.get("scale", "column"), hw.get("per_array", 10**6))
    out, step = np.zeros((groups, vectors.shape[1], columns)), np.zeros((groups, columns))
    for b, (start, stop) in enumerate(cut):
        block = vectors[..., start:stop]
        reach: Any = np.abs(x).max()
        if dac.get("range") == "abs_max":
            reach = np.maximum(np.abs(block).max(-1, keepdims=True), 1e-12)
        u = convert(block, reach, dac_half)
        held, offset = planes(w[..., start:stop] / scale[b][..., None], hw["encoding"])
        total = -offset * u.sum(-1, keepdims=True)
        for sign, weights in held:
            y = u @ weights.transpose(0, 2, 1)
            bound = adc.get("bound") or np.abs(y).max()
            total = total + sign * (y if adc_half is None else convert(y, bound, adc_half) * bound)
            step += scale[b] * np.max(reach) * (0 if adc_half is None else bound / adc_half)
            step += scale[b] * np.max(reach) * (0 if dac_half is None else np.abs(weights).max(-1) / dac_half)
        out += total * reach * scale[b][:, None]
    if layer.bias is not None:
        out += layer.bias.detach().numpy().reshape(groups, 1, columns)
    if isinstance(layer, nn.Linear):
        return out[0].reshape(shape), step[0]
    images = out.reshape(groups, shape[0], -1, columns).transpose(1, 0, 3, 2)
    return images.reshape(shape), step.reshape(-1, *(1,) * (len(shape) - 2))


# The comparison


IDEAL = mho.Hardware.preset("ideal", cell__g_min_us=G_MIN, cell__g_max_us=G_MAX)


def hardware(hw: dict[str, Any]) -> mho.Hardware:
    array = {"rows": hw["rows"], "cols": hw.get("cols", 512)}
    return IDEAL.replace(
        encoding=hw["encoding"], dac=hw["dac"], adc=hw["adc"], array=array, mapping__scale=hw.get("scale", "column")
    )


@cache
def case(kind: str) -> tuple[Any, torch.Tensor]:
    make, shape = LAYERS[kind]
    generator = torch.Generator().manual_seed(len(kind))
    layer = make().double().eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 3)
    return layer, torch.randn(shape, generator=generator, dtype=torch.float64)


def check(kind: str, hw: dict[str, Any]) -> None:
    """The converted network and its chip give what the oracle says; a tie may fall to the other side."""
    layer, x = case(kind)
    net = mho.calibrate(mho.to_analog(nn.Sequential(layer), hardware(hw)), [x])
    expected, step = dense(layer, kind, x.numpy(), hw)
    chip = mho.program(net).at("1 day")
    with torch.no_grad():
        digital = layer(x).numpy()
        for found in (chip(x).numpy(), net(x).numpy()):
            wrong = np.abs(found - expected)
            ties = wrong > 1e-6 * np.abs(digital).max()
            assert ties.mean() <= 0.01, f"{ties.mean():.1%} differ, by up to {wrong.max():.3g}"
            assert (wrong <= 1.01 * step + 1e-6 * np.abs(digital).max()).all(), f"by up to {wrong.max():.3g}"
    if half_steps(hw["dac"]) or half_steps(hw["adc"]):
        assert np.abs(expected - digital).max() > 1e-4, "nothing was converted"


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("adc", ADCS)
@pytest.mark.parametrize("dac", ["calibrated", "abs_max"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", LAYERS)
def test_a_chip_of_ideal_cells_is_the_dense_computation(kind, encoding, dac, adc):
    hw: dict[str, Any] = {"encoding": ENCODINGS[encoding], "dac": DACS[dac], "adc": ADCS[adc]}
    if dac == "abs_max" and kind.startswith("transposed"):
        with pytest.raises(MhoError, match="transposed"):
            mho.to_analog(nn.Sequential(case(kind)[0]), hardware({**hw, "rows": 512}))
        return
    for rows in rows_of(case(kind)[0]).values():
        check(kind, {**hw, "rows": rows})


@pytest.mark.parametrize("dac", ["coarse", "none"])
@pytest.mark.parametrize("adc", ADCS)
@pytest.mark.parametrize("kind", ["linear", "grouped", "transposed"])
def test_other_converters_of_the_inputs(kind, adc, dac):
    for encoding, rows in itertools.product(("two-sided, digital", "offset, digital"), rows_of(case(kind)[0]).values()):
        check(kind, {"encoding": ENCODINGS[encoding], "dac": DACS[dac], "adc": ADCS[adc], "rows": rows})


@pytest.mark.parametrize("rule", ["tensor", "column", "array", "column_of_array"])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("kind", ["linear", "conv2d", "transposed"])
def test_scales_of_weights(kind, encoding, rule):
    cols = 4 if encoding == "offset, column" else 3  # one of them is the reference
    for rows in rows_of(case(kind)[0]).values():
        check(kind, {"encoding": ENCODINGS[encoding], "dac": DACS["calibrated"], "adc": ADCS["calibrated"], "rows": rows,
                     "scale": rule, "cols": cols, "per_array": 3})  # fmt: skip


def test_the_oracle_without_converters_is_torch():
    for kind in LAYERS:
        layer, x = case(kind)
        nothing = {"dac": DACS["none"], "adc": ADCS["none"], "rows": 4}
        for encoding in ENCODINGS.values():
            found, _ = dense(layer, kind, x.numpy(), {"encoding": encoding, **nothing})
            np.testing.assert_allclose(found, layer(x).detach().numpy(), rtol=1e-9, atol=1e-12)

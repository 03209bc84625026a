"""Arguments of DNN+NeuroSim's PyTorch inference (V1.3, V1.4) as a hardware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mho.errors import WrongSetting
from mho.exchange.settings import OFF, Imported, Settings
from mho.hardware import Hardware

DEFAULTS: dict[str, Any] = {
    "dataset": "cifar10", "model": "VGG8", "mode": "WAGE", "batch_size": 200, "epochs": 200, "grad_scale": 8.0, "seed": 117,
    "log_interval": 100, "test_interval": 1, "logdir": "log/default", "lr": 0.01, "decreasing_lr": "140,180", "wl_weight": 8,
    "wl_grad": 8, "wl_activate": 8, "wl_error": 8, "inference": 0, "subArray": 128, "parallelRead": 128, "ADCprecision": 5,
    "cellBit": 1, "onoffratio": 10.0, "vari": 0.0, "t": 0.0, "v": 0.0, "detect": 0, "target": 0.0,
}  # fmt: skip
"""Its arguments and their defaults."""
R_ON_OHM = 6000.0
"""Resistance of the highest state, which its arguments do not have: of the ReRAM at 22 nm in its manual (V1.4, Table VI)."""
_RUN = ("dataset", "batch_size", "epochs", "grad_scale", "seed", "log_interval", "test_interval", "logdir", "lr", "decreasing_lr",
        "wl_grad", "wl_error", "type", "cuda", "gpu", "ngpu", "debug")  # fmt: skip


def arguments(text: str) -> dict[str, Any]:
    """Arguments from a command line (``--cellBit 4 --vari=0.1``) or from the lines ``cellBit: 4`` of its log.

    Raises:
        WrongSetting: Neither.
    """
    words = text.replace("=", " ").split()
    found: dict[str, Any] = {}
    if any(word.startswith("--") for word in words):
        names = [i for i, word in enumerate(words) if word.startswith("--")]
        for i in names:
            value = words[i + 1] if i + 1 < len(words) and not words[i + 1].startswith("--") else None
            if value is None:
                raise WrongSetting(f"{words[i]} has no value", "write it as --cellBit 4", path="NeuroSim")
            found[words[i][2:]] = _value(value)
        return found
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip().isidentifier() and value.strip():
            found[name.strip()] = _value(value.strip())
    if not found:
        raise WrongSetting("no arguments are in it", "give its command line, or the FLAGS of its log", path="NeuroSim")
    return found


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"True": True, "False": False}.get(text, text)


def from_neurosim(data: Mapping[str, Any], *, name: str = "neurosim", without: tuple[str, ...] = ()) -> Imported:
    """A hardware from NeuroSim's arguments.

    Args:
        data: Its arguments by name; missing ones have its defaults.
        name: Of the hardware.
        without: Settings that are left out where they have no meaning here.

    Raises:
        WrongSetting: Arguments that have no meaning here, all of them by name.
    """
    s = Settings(data, "NeuroSim", without)

    def take(key: str) -> Any:
        return s.like(key, DEFAULTS[key])

    def became(key: str, what: str, note: str = "") -> None:
        s.became(key, what, note, default=DEFAULTS[key])

    for key in _RUN:
        s.became(key, "not of a chip", "how its network is trained and run")
    if int(take("inference")) == 0 and s.given("inference"):
        s.refuse("inference", "0 switches its hardware off: give 1, or --hardware ideal here")
    else:
        became("inference", "this hardware")
    if take("model") != "VGG8":
        became("model", "nothing", "there, cells, arrays and variation act on VGG8 alone; here on any network")
    else:
        became("model", "nothing", "give any network here; there, the first layer has no converter, here it has")
    if take("mode") != "WAGE":
        s.refuse("mode", "its layers of other modes have no cells: WAGE")
    else:
        became(
            "mode", "mapping.scale: unit", "a weight of 1 is the full conductance; WAGE's own scales are the network's"
        )
    bits, cell_bits = int(take("wl_weight")), int(take("cellBit"))
    if bits % max(cell_bits, 1) or cell_bits < 1:
        s.refuse("cellBit", f"{bits} bits do not fill cells of {cell_bits}")
        cell_bits = 1
    became("wl_weight", f"encoding.bits: {bits}", "encoding.quantiser: neurosim: half-way numbers, none of which is 0")
    became(
        "cellBit",
        f"encoding.cell_bits: {cell_bits}, cell.levels: {2**cell_bits}",
        "its dummy column: encoding.reference: fixed_column, converted by itself: encoding.subtract: digital",
    )
    inputs = int(take("wl_activate"))
    became(
        "wl_activate",
        f"dac.bits: {inputs + 1}, dac.slice_bits: 1",
        "codes are signed here: one bit more gives its steps; bit by bit",
    )
    size, read = int(take("subArray")), int(take("parallelRead"))
    rows = min(size, read)
    became(
        "subArray", f"array.cols: {size}", "kernel pixels stand in arrays of their own there; here rows are filled up"
    )
    became("parallelRead", f"array.rows: {rows}", "rows that are read at once, each group with a conversion")
    adc = int(take("ADCprecision"))
    became(
        "ADCprecision",
        f"adc.bits: {adc}, unipolar, adc.range: batch",
        "from the smallest output of a batch and rounded down there, from 0 and to the nearest code here",
    )
    ratio, g_max = float(take("onoffratio")), 1e6 / R_ON_OHM
    if not ratio > 1:
        s.refuse("onoffratio", "give a ratio above 1")
        ratio = 10.0
    became(
        "onoffratio",
        f"cell.g_min_us: {g_max / ratio:.4g}",
        f"of g_max = {g_max:.4g} µS: R_on is not among its arguments",
    )
    variations = _variation(take, became)
    cell = {**_cell(s, take, became), "g_min_us": g_max / ratio, "g_max_us": g_max, "levels": 2**cell_bits}
    s.finish()
    hw = Hardware.parse({
        "name": name, "sources": ["imported from the arguments of DNN+NeuroSim V1.4"], "cell": cell,
        "encoding": {"kind": "bit_sliced", "bits": bits, "cell_bits": cell_bits, "sign": "offset", "quantiser": "neurosim",
                     "reference": "fixed_column", "subtract": "digital"},
        "array": {"rows": rows, "cols": size}, "mapping": {"scale": "unit"},
        "dac": {"bits": inputs + 1, "slice_bits": 1}, "adc": {"bits": adc, "range": "batch", "unipolar": True},
        "variations": variations, "compensation": {"kind": "none"},
    })  # fmt: skip
    return Imported(hw, tuple(s.rows), "NeuroSim")


def _variation(take: Any, became: Any) -> list[dict[str, Any]]:
    sigma = float(take("vari"))
    if not sigma:
        became("vari", OFF)
        return []
    became(
        "vari",
        f"variations.sigma: {sigma:g} of the ideal conductance, redraw: conversion",
        "drawn anew for every slice and bit, shared by a batch; a frozen chip has variations.redraw: program",
    )
    return [{"sigma": sigma, "relative_to": "ideal", "distribution": "normal", "redraw": "conversion", "clip": "none"}]


def _cell(s: Settings, take: Any, became: Any) -> dict[str, Any]:
    t, v = float(take("t")), float(take("v"))
    if t < 0:
        s.refuse("t", "a time is not below 0")
    if int(take("detect")) not in (0, 1):
        s.refuse("detect", "1: toward the target, 0: to either side")
    if not v or not t:
        for key in ("t", "v", "detect", "target"):
            became(key, OFF)
        return {"kind": "ideal"}
    toward = "target" if int(take("detect")) else "random"
    target = float(take("target"))
    if not 0 <= target <= 1:
        s.refuse("target", "it lies between 0 and 1")
        target = 0.0
    became(
        "v", f"cell.kind: retention, cell.exponent: {v:g}", "on conductances, as V1.5 has it; V1.4 raises the digits"
    )
    became("t", "nothing", f"an age is asked for: mho drift --times {t:g}s")
    became("detect", f"cell.toward: {toward}")
    became("target", f"cell.target_fraction: {target:g}" if toward == "target" else OFF)
    return {
        "kind": "retention",
        "exponent": v,
        "toward": toward,
        **({"target_fraction": target} if toward == "target" else {}),
    }

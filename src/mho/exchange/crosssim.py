"""CrossSim's parameters (version 3, its JSON) as a hardware."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mho.exchange.crosssim_converters import VMM, adc, dac, style
from mho.exchange.settings import OFF, Imported, Settings
from mho.hardware import Hardware

_STYLES = {1: "BALANCED", 2: "BITSLICED", 3: "OFFSET"}
_UNLIMITED = 1_000_000
_ERRORS = {
    "NormalIndependentDevice": ("gmax", "normal"),
    "NormalProportionalDevice": ("ideal", "normal"),
    "UniformIndependentDevice": ("gmax", "uniform"),
    "UniformProportionalDevice": ("ideal", "uniform"),
}
"""Generic errors: what they are relative to, and their distribution."""
_FITS_US: dict[str, tuple[tuple[float, ...], float, float, str]] = {
    "PCMJoshi": ((0.28638599, 0.07585724, -0.00178767), 0.0, 25.0, "Joshi et al. 2020, fig. 3b"),
    "RRAMWan": ((1.053, 0.2374, -1.167e-2, 1.536e-4), 0.0, 39.26, "Wan et al. 2022, extended data fig. 3, 1 s"),
    "RRAMMilo": ((4.782321, -0.009107), 50.0, 225.0, "Milo et al. 2021"),
}
"""σ of programming in µS by ascending powers of g in µS, the smallest and the largest g it holds for, and its source."""
_ERROR = ("enable", "model", "magnitude")
_WIRES = ("enable", "Rp_row", "Rp_col", "gate_input")


def from_crosssim(data: Mapping[str, Any], *, name: str = "crosssim", without: tuple[str, ...] = ()) -> Imported:
    """A hardware from CrossSim's parameters.

    Args:
        data: ``core``, ``xbar`` and ``simulation``, as in CrossSim's JSON files; missing ones have its defaults.
        name: Of the hardware.
        without: Settings that are left out where they have no meaning here.

    Raises:
        WrongSetting: Settings that have no meaning here, all of them by name.
    """
    s = Settings(data, "CrossSim", without)
    hw: dict[str, Any] = {"name": name, "sources": ["imported from CrossSim"], "compensation": {"kind": "none"}}
    hw["encoding"], levels = _encoding(s)
    hw["array"] = _array(s)
    hw["mapping"] = _mapping(s)
    hw["cell"], hw["variations"] = _cell(s, levels, offset=hw["encoding"]["kind"] == "offset")
    hw["dac"] = dac(s)
    hw["adc"] = adc(s, hw)
    s.elsewhere("simulation", "how the simulator computes")
    for key in ("core.complex_matrix", "core.complex_input"):
        s.off(key, False, "products here are real")
    s.became("core.output_dtype", "not of a chip", "how the simulator computes")
    s.off("xbar.array.Icol_max", 0, "no limit of a column's current is known here")
    wires = s.switch("xbar.array.parasitics.enable")
    if wires:
        s.refuse(
            "xbar.array.parasitics.enable",
            "wires here are driven and read at their ends and have nothing switched off: where that is the circuit meant, "
            "set wires.column to Rmin / Rp_col and wires.row to Rmin / Rp_row in the hardware",
        )
    else:
        s.became("xbar.array.parasitics.enable", OFF)
    for key in s.under("xbar.array.parasitics", _WIRES):
        s.became(key, "left out with them" if wires else OFF, "" if wires else "parasitics are not enabled")
    s.finish()
    return Imported(Hardware.parse(hw), tuple(_unique(s.rows)), "CrossSim")


def _encoding(s: Settings) -> tuple[dict[str, Any], int | None]:
    """The encoding, and the states of a cell."""
    core = style(s, "core.style", _STYLES, 1)
    bits, cell_bits = s.whole("core.weight_bits", 0), s.whole("xbar.device.cell_bits", 0)
    levels = 2**cell_bits if cell_bits else None
    unit_column = (
        style(s, "core.offset.style", {1: "DIGITAL_OFFSET", 2: "UNIT_COLUMN_SUBTRACTION"}, 1)
        == "UNIT_COLUMN_SUBTRACTION"
    )
    analog = s.switch("core.balanced.subtract_current_in_xbar", True)
    subtract = "analog" if analog else "digital"
    if not s.switch("core.balanced.interleaved_posneg"):
        s.became("core.balanced.interleaved_posneg", OFF)
    else:
        s.became(
            "core.balanced.interleaved_posneg",
            "nothing",
            "where the cells of a pair stand matters with wire resistances only",
        )
    states = f"cell.levels: {levels}" if levels else "cell.levels: null"
    if core == "BALANCED":
        two = style(s, "core.balanced.style", {1: "ONE_SIDED", 2: "TWO_SIDED"}, 1) == "TWO_SIDED"
        s.became("core.style", "encoding.kind: differential")
        s.became("core.balanced.style", f"encoding.sides: {'two' if two else 'one'}")
        s.became("core.balanced.subtract_current_in_xbar", f"encoding.subtract: {subtract}")
        s.became(
            "core.weight_bits", "nothing", "there, too, cells that are not sliced take their states from cell_bits"
        )
        _unused(s, ("core.bit_sliced", "core.offset"), core)
        s.became("xbar.device.cell_bits", states)
        return {"kind": "differential", "sides": "two" if two else "one", "subtract": subtract}, levels
    reference = "column" if unit_column else "digital"
    if core == "OFFSET":
        s.became("core.style", "encoding.kind: offset")
        if unit_column:
            s.refuse("core.offset.style", "there the unit column is converted by itself; here it is subtracted before")
        else:
            s.became("core.offset.style", f"encoding.reference: {reference}")
        s.became(
            "core.weight_bits", "nothing", "there, too, cells that are not sliced take their states from cell_bits"
        )
        _unused(s, ("core.bit_sliced", "core.balanced"), core)
        if levels == 2:
            s.refuse(
                "xbar.device.cell_bits", "an offset core there leaves the lowest state unused: one bit leaves one state"
            )
            levels = None
        used = f"cell.levels: {levels - 1}" if levels else states
        s.became("xbar.device.cell_bits", used, "the lowest state is not used, as there" if levels else "")
        return {"kind": "offset", "reference": reference}, levels
    return _sliced(s, bits, cell_bits, reference, subtract)


def _sliced(s: Settings, bits: int, cell_bits: int, reference: str, subtract: str) -> tuple[dict[str, Any], int | None]:
    slices = s.whole("core.bit_sliced.num_slices", 2)
    if slices < 1:
        s.refuse("core.bit_sliced.num_slices", "give one at least")
        slices = 1
    pair = style(s, "core.bit_sliced.style", {1: "BALANCED", 3: "OFFSET"}, 1) == "BALANCED"
    if bits < 2:
        s.refuse("core.weight_bits", "bit slices need the bits of a weight")
        bits = 8
    width = bits // slices if bits % slices == 0 else math.ceil((bits - pair) / slices)
    digits = bits - pair
    widths = [width] * (slices - 1) + [digits - width * (slices - 1)]
    if widths[-1] < 1:
        s.refuse("core.bit_sliced.num_slices", f"{bits} bits do not fill {slices} slices of {width}")
        widths = [digits]
    if len(set(widths)) > 1:  # the highest slice holds fewer bits in cells of the same states
        widths = [width] * slices
    if cell_bits and cell_bits != width:
        s.refuse("xbar.device.cell_bits", f"slices of {width} bits stand in cells of {2**width} states here")
    else:
        s.became("xbar.device.cell_bits", f"cell.levels: {2**width}" if cell_bits else "cell.levels: null")
    s.became("core.style", "encoding.kind: bit_sliced")
    s.became("core.weight_bits", f"encoding.bits: {bits}")
    s.became("core.bit_sliced.num_slices", f"encoding.cell_bits: {width}")
    s.became("core.bit_sliced.style", f"encoding.sign: {'pair' if pair else 'offset'}")
    found: dict[str, Any] = {
        "kind": "bit_sliced",
        "bits": bits,
        "cell_bits": width,
        "sign": "pair" if pair else "offset",
    }
    if pair:
        found["subtract"] = subtract
        s.became("core.balanced.subtract_current_in_xbar", f"encoding.subtract: {subtract}")
        if style(s, "core.balanced.style", {1: "ONE_SIDED", 2: "TWO_SIDED"}, 1) != "ONE_SIDED":
            s.refuse("core.balanced.style", "slices in pairs are one-sided here")
        s.became("core.balanced.style", "the cell of the other sign rests at g_min")
        _unused(s, ("core.offset",), "BITSLICED, balanced")
    else:
        found["reference"] = reference
        how = "" if reference == "digital" else ", encoding.subtract: digital"
        if how:
            found["subtract"] = "digital"
            if bits % slices:
                s.refuse(
                    "core.offset.style", "its unit column is half a slice off where slices do not divide the weight"
                )
        s.became("core.offset.style", f"encoding.reference: {reference}{how}")
        _unused(s, ("core.balanced",), "BITSLICED, offset")
    return found, 2**width if cell_bits else None


def _unused(s: Settings, prefixes: tuple[str, ...], style: str) -> None:
    for prefix in prefixes:
        for name in s.under(prefix):
            s.became(name, "nothing", f"has no effect there with style {style}")


def _array(s: Settings) -> dict[str, int]:
    found = {}
    for key, here in (("core.rows_max", "rows"), ("core.cols_max", "cols")):
        value = s.whole(key, 0)
        found[here] = value or _UNLIMITED
        s.became(key, f"array.{here}: {found[here]}", "" if value else "0 there: one array, however large", default=0)
    return found


def _mapping(s: Settings) -> dict[str, str]:
    prefix = "core.mapping.weights"
    limits = {key: s.take(f"{prefix}.{key}") for key in ("percentile", "min", "max")}
    if s.under(prefix) and limits["percentile"] is None:  # its data class then takes -1 and 1 for what is not given
        ends = {key: limits[key] if s.given(f"{prefix}.{key}") else end for key, end in (("min", -1.0), ("max", 1.0))}
        scale, why = "unit", "a weight of 1 is the full conductance"
        if ends != {"min": -1.0, "max": 1.0}:
            s.refuse(
                f"{prefix}.max", "limits of one layer's weights; here they are -1 and 1, or each layer's own largest"
            )
    else:
        scale, why = "tensor", "the largest weight of each matrix is the full conductance"
        if limits["percentile"] not in (None, 1, 1.0):
            s.refuse(f"{prefix}.percentile", "weights are scaled by their largest, or clipped at mapping.clip_sigma")
    for key in ("percentile", "min", "max", "clipping"):
        s.became(f"{prefix}.{key}", f"mapping.scale: {scale}", why)
    for key in (f"{prefix}.row_partition_priority", f"{prefix}.col_partition_priority"):
        s.off(key, ([], None), "arrays are filled in order here")
    for key in (f"{prefix}.row_partition_strategy", f"{prefix}.col_partition_strategy"):
        s.became(key, "nothing", "row blocks are full here, the last one less; EQUAL there makes them alike")
    for direction in ("mvm", "vmm"):
        inner = f"core.mapping.inputs.{direction}"
        if direction == "mvm":
            s.off(f"{inner}.percentile", None, "ranges of inputs come from calibrate(method='quantile')")
        for key in s.under(inner):
            if key != f"{inner}.percentile" or direction == "vmm":
                s.became(key, "dac.range: calibrated" if direction == "mvm" else "nothing",
                         "each layer's own range: mho.calibrate" if direction == "mvm" else VMM)  # fmt: skip
    s.became("core.mapping.inputs._match", "nothing", VMM)
    return {"scale": scale}


def _cell(s: Settings, levels: int | None, *, offset: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    d = "xbar.device"
    low, high = s.number(f"{d}.Rmin", 1000), s.number(f"{d}.Rmax", 10000)
    infinite = s.switch(f"{d}.infinite_on_off_ratio")
    if not 0 < low < (math.inf if infinite else high):
        s.refuse(f"{d}.Rmin", "resistances are 0 < Rmin < Rmax")
        low, high = 1000.0, 10000.0
    g_max, g_min = 1e6 / low, 0.0 if infinite else 1e6 / high
    s.became(f"{d}.Rmin", f"cell.g_max_us: {g_max:g}", default=1000)
    s.became(f"{d}.Rmax", f"cell.g_min_us: {g_min:g}", "infinite on/off ratio" if infinite else "", default=10000)
    s.became(f"{d}.infinite_on_off_ratio", f"cell.g_min_us: {g_min:g}")
    s.became(f"{d}.Vread", "nothing", "cells are linear: the voltage cancels")
    if offset and levels:  # its conductances are squeezed so that a zero weight is a state: the lowest one is not used
        g_min, levels = g_min + (g_max - g_min) / (levels - 1), levels - 1
    clip = "range" if s.switch(f"{d}.clip_conductance") else "none"
    cell: dict[str, Any] = {"kind": "ideal", "g_min_us": g_min, "g_max_us": g_max, "levels": levels}
    variations: list[dict[str, Any]] = []
    for what, redraw in (("programming_error", "program"), ("read_noise", "mvm")):
        model = str(s.take(f"{d}.{what}.model", "IdealDevice"))
        magnitude = s.number(f"{d}.{what}.magnitude", 0)
        if not s.switch(f"{d}.{what}.enable") or model == "IdealDevice":
            for key in s.under(f"{d}.{what}", _ERROR):
                s.became(key, OFF)
        elif model in _ERRORS:
            _variation(s, f"{d}.{what}", model, magnitude, redraw, clip, variations)
        elif what == "programming_error" and model in _FITS_US:
            cell = _fitted(s, f"{d}.{what}", model, cell, lowest=0.0 if infinite else 1e6 / high)
            if clip == "range":
                s.refuse(f"{d}.clip_conductance", f"cells of the law {model} are cut off at 0 alone here")
        else:
            s.refuse(f"{d}.{what}.model", "no cell here has this law; fit one: mho device fit")
            for key in s.under(f"{d}.{what}", _ERROR):
                s.became(key, "refused with its model")
    if clip == "range" and offset and levels and variations:
        s.refuse(
            f"{d}.clip_conductance", "an offset core cuts off at the lowest state there; here at the lowest one in use"
        )
    clips = any(v["clip"] != "none" for v in variations)
    s.became(
        f"{d}.clip_conductance", f"variations.clip: {clip}", "" if clips or clip == "none" else "nothing to cut off"
    )
    enabled = s.switch(f"{d}.drift_error.enable") and s.take(f"{d}.drift_error.model", "IdealDevice") != "IdealDevice"
    if enabled:
        s.refuse(f"{d}.drift_error.model", "drift there takes the place of the programming error; cells here have both")
    for key in s.under(f"{d}.drift_error", _ERROR):
        s.became(key, OFF if not enabled else "refused with its model")
    s.became(
        f"{d}.time", "nothing" if not enabled else "refused with drift_error", "ages are asked for: mho drift --times"
    )
    s.off(f"{d}.nonlinear_IV.enable", False, "cells are linear here")
    for key in s.under(f"{d}.nonlinear_IV"):
        s.became(key, OFF)
    return cell, variations


def _variation(
    s: Settings, prefix: str, model: str, magnitude: float, redraw: str, clip: str, variations: list[dict[str, Any]]
) -> None:
    reference, distribution = _ERRORS[model]
    if redraw == "mvm" and distribution == "uniform":
        s.refuse(f"{prefix}.model", "noise of each product is normal here")
        return
    sigma = magnitude / math.sqrt(12) if distribution == "uniform" else magnitude
    if magnitude:
        variations.append({"sigma": sigma, "relative_to": reference, "distribution": distribution, "redraw": redraw,
                           "clip": clip if redraw == "program" else "none"})  # fmt: skip
    s.became(f"{prefix}.enable", f"variations.redraw: {redraw}")
    s.became(f"{prefix}.model", f"variations.relative_to: {reference}, {distribution}")
    s.became(
        f"{prefix}.magnitude",
        f"variations.sigma: {sigma:g}",
        "its width is the magnitude" if distribution == "uniform" else "",
    )


def _fitted(s: Settings, prefix: str, model: str, cell: dict[str, Any], lowest: float) -> dict[str, Any]:
    coefficients, least, most, source = _FITS_US[model]
    if lowest < least * (1 - 1e-3):
        s.refuse(f"{prefix}.model", f"it was measured from {least:g} µS on, and refused there below: set Rmax")
    if cell["g_max_us"] > most * (1 + 1e-9):
        s.refuse(f"{prefix}.model", f"it was measured up to {most:g} µS: set Rmin")
    scaled = [c * cell["g_max_us"] ** k for k, c in enumerate(coefficients)]
    s.became(f"{prefix}.enable", "cell.kind: fitted")
    s.became(f"{prefix}.model", "cell.programming_us", f"its polynomial, in r = g/g_max; {source}")
    s.became(f"{prefix}.magnitude", "nothing", "the model has its own size")
    return {**cell, "kind": "fitted", "programming_us": {"coefficients": scaled, "low": 0.0}}


def _unique(rows: list[Any]) -> list[Any]:
    """The first word on each setting."""
    return list({row.setting: row for row in reversed(rows)}.values())[::-1]

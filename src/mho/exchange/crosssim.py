"""CrossSim's parameters (version 3, its JSON) as a hardware."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

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
_FITS_US: dict[str, tuple[tuple[float, ...], float, str]] = {
    "PCMJoshi": ((0.28638599, 0.07585724, -0.00178767), 25.0, "Joshi et al. 2020, fig. 3b"),
    "RRAMWan": ((1.053, 0.2374, -1.167e-2, 1.536e-4), 39.26, "Wan et al. 2022, extended data fig. 3, 1 s"),
    "RRAMMilo": ((4.782321, -0.009107), 225.0, "Milo et al. 2021"),
}
"""σ of programming in µS by ascending powers of g in µS, the largest g it holds for, and its source."""
_ADC = {"IdealADC", "QuantizerADC", "SignMagnitudeADC", "RampADC", "SarADC", "PipelineADC", "CyclicADC"}
_ERROR = ("enable", "model", "magnitude")
_WIRES = ("enable", "Rp_row", "Rp_col", "gate_input")
_CONVERTER = ("model", "bits", "signed", "calibrated_range", "adc_range_option", "adc_per_ibit", "stochastic_rounding")
_CIRCUIT = ("gain_db", "sigma_capacitor", "sigma_comparator", "sigma_C1", "sigma_C2", "sigma_Cpar")


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
    hw["cell"], hw["variations"] = _cell(s, levels)
    hw["dac"] = _dac(s)
    hw["adc"] = _adc(s, hw)
    s.elsewhere("simulation", "how the simulator computes")
    for key in ("core.complex_matrix", "core.complex_input"):
        s.off(key, False, "products here are real")
    s.became("core.output_dtype", "not of a chip", "how the simulator computes")
    s.off("xbar.array.Icol_max", 0, "no limit of a column's current is known here")
    if s.take("xbar.array.parasitics.enable", False):
        s.refuse(
            "xbar.array.parasitics.enable",
            "wires are not solved for here; ir_drop is a first-order drop along columns alone",
        )
    else:
        s.became("xbar.array.parasitics.enable", OFF)
    for key in s.under("xbar.array.parasitics", _WIRES):
        s.became(key, OFF, "parasitics are not enabled")
    s.finish()
    return Imported(Hardware.parse(hw), tuple(_unique(s.rows)), "CrossSim")


def _style(s: Settings, key: str, names: Mapping[int, str], default: int) -> str:
    value = s.take(key, default)
    return names.get(value, str(value)) if isinstance(value, int) else str(value).rpartition(".")[2].upper()


def _encoding(s: Settings) -> tuple[dict[str, Any], int | None]:
    """The encoding, and the states of a cell."""
    style = _style(s, "core.style", _STYLES, 1)
    bits, cell_bits = s.whole("core.weight_bits", 0), s.whole("xbar.device.cell_bits", 0)
    levels = 2**cell_bits if cell_bits else None
    unit_column = (
        _style(s, "core.offset.style", {1: "DIGITAL_OFFSET", 2: "UNIT_COLUMN_SUBTRACTION"}, 1)
        == "UNIT_COLUMN_SUBTRACTION"
    )
    analog = bool(s.take("core.balanced.subtract_current_in_xbar", True))
    subtract = "analog" if analog else "digital"
    if not s.take("core.balanced.interleaved_posneg", False):
        s.became("core.balanced.interleaved_posneg", OFF)
    else:
        s.became(
            "core.balanced.interleaved_posneg",
            "nothing",
            "where the cells of a pair stand matters with wire resistances only",
        )
    states = f"cell.levels: {levels}" if levels else "cell.levels: null"
    if style == "BALANCED":
        two = _style(s, "core.balanced.style", {1: "ONE_SIDED", 2: "TWO_SIDED"}, 1) == "TWO_SIDED"
        s.became("core.style", "encoding.kind: differential")
        s.became("core.balanced.style", f"encoding.sides: {'two' if two else 'one'}")
        s.became("core.balanced.subtract_current_in_xbar", f"encoding.subtract: {subtract}")
        s.became(
            "core.weight_bits", "nothing", "there, too, cells that are not sliced take their states from cell_bits"
        )
        _unused(s, ("core.bit_sliced", "core.offset"), style)
        s.became("xbar.device.cell_bits", states)
        return {"kind": "differential", "sides": "two" if two else "one", "subtract": subtract}, levels
    reference = "column" if unit_column else "digital"
    if style == "OFFSET":
        s.became("core.style", "encoding.kind: offset")
        s.became("core.offset.style", f"encoding.reference: {reference}")
        s.became(
            "core.weight_bits", "nothing", "there, too, cells that are not sliced take their states from cell_bits"
        )
        _unused(s, ("core.bit_sliced", "core.balanced"), style)
        s.became("xbar.device.cell_bits", states, "a zero weight is the middle of the range there a state of its own")
        return {"kind": "offset", "reference": reference}, levels
    if style != "BITSLICED":
        s.refuse("core.style", "BALANCED, BITSLICED and OFFSET are known")
        return {"kind": "differential"}, levels
    return _sliced(s, bits, cell_bits, reference, subtract)


def _sliced(s: Settings, bits: int, cell_bits: int, reference: str, subtract: str) -> tuple[dict[str, Any], int | None]:
    slices = s.whole("core.bit_sliced.num_slices", 2)
    pair = _style(s, "core.bit_sliced.style", {1: "BALANCED", 3: "OFFSET"}, 1) == "BALANCED"
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
        if _style(s, "core.balanced.style", {1: "ONE_SIDED", 2: "TWO_SIDED"}, 1) != "ONE_SIDED":
            s.refuse("core.balanced.style", "slices in pairs are one-sided here")
        s.became("core.balanced.style", "the cell of the other sign rests at g_min")
        _unused(s, ("core.offset",), "BITSLICED, balanced")
    else:
        found["reference"] = reference
        s.became("core.offset.style", f"encoding.reference: {reference}")
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
    percentile = s.take(f"{prefix}.percentile")
    limits = (s.take(f"{prefix}.min"), s.take(f"{prefix}.max"))
    if percentile not in (None, 1, 1.0):
        s.refuse(f"{prefix}.percentile", "weights are scaled by their largest, or clipped at mapping.clip_sigma")
    elif percentile is None and s.given(f"{prefix}.max") and None not in limits and limits != (-1.0, 1.0):
        s.refuse(f"{prefix}.max", "limits of one layer's weights; here each layer is scaled by its own largest")
    for key in (f"{prefix}.percentile", f"{prefix}.min", f"{prefix}.max", f"{prefix}.clipping"):
        s.became(key, "mapping.scale: tensor", "the largest weight of each matrix is the full conductance")
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
                         "each layer's own range: mho.calibrate" if direction == "mvm" else _VMM)  # fmt: skip
    s.became("core.mapping.inputs._match", "nothing", _VMM)
    return {"scale": "tensor"}


_VMM = "layers multiply in one direction only: mvm"


def _cell(s: Settings, levels: int | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    d = "xbar.device"
    low, high = s.number(f"{d}.Rmin", 1000), s.number(f"{d}.Rmax", 10000)
    infinite = bool(s.take(f"{d}.infinite_on_off_ratio", False))
    g_max, g_min = 1e6 / low, 0.0 if infinite else 1e6 / high
    s.became(f"{d}.Rmin", f"cell.g_max_us: {g_max:g}", default=1000)
    s.became(f"{d}.Rmax", f"cell.g_min_us: {g_min:g}", "infinite on/off ratio" if infinite else "", default=10000)
    s.became(f"{d}.infinite_on_off_ratio", f"cell.g_min_us: {g_min:g}")
    s.became(f"{d}.Vread", "nothing", "cells are linear: the voltage cancels")
    clip = "range" if s.take(f"{d}.clip_conductance", False) else "none"
    s.became(f"{d}.clip_conductance", f"variations.clip: {clip}")
    cell: dict[str, Any] = {"kind": "ideal", "g_min_us": g_min, "g_max_us": g_max, "levels": levels}
    variations: list[dict[str, Any]] = []
    for what, redraw in (("programming_error", "program"), ("read_noise", "mvm")):
        model = str(s.take(f"{d}.{what}.model", "IdealDevice"))
        magnitude = s.number(f"{d}.{what}.magnitude", 0)
        if not s.take(f"{d}.{what}.enable", False) or model == "IdealDevice":
            for key in s.under(f"{d}.{what}", _ERROR):
                s.became(key, OFF)
        elif model in _ERRORS:
            _variation(s, f"{d}.{what}", model, magnitude, redraw, clip, variations)
        elif what == "programming_error" and model in _FITS_US:
            cell = _fitted(s, f"{d}.{what}", model, cell)
        else:
            s.refuse(f"{d}.{what}.model", "no cell here has this law; fit one: mho device fit")
            for key in s.under(f"{d}.{what}", _ERROR):
                s.became(key, "refused with its model")
    enabled = (
        bool(s.take(f"{d}.drift_error.enable", False))
        and s.take(f"{d}.drift_error.model", "IdealDevice") != "IdealDevice"
    )
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


def _fitted(s: Settings, prefix: str, model: str, cell: dict[str, Any]) -> dict[str, Any]:
    coefficients, most, source = _FITS_US[model]
    if cell["g_max_us"] > most * (1 + 1e-9):
        s.refuse(f"{prefix}.model", f"it was measured up to {most:g} µS: set Rmin")
    scaled = [c * cell["g_max_us"] ** k for k, c in enumerate(coefficients)]
    s.became(f"{prefix}.enable", "cell.kind: fitted")
    s.became(f"{prefix}.model", "cell.programming_us", f"its polynomial, in r = g/g_max; {source}")
    s.became(f"{prefix}.magnitude", "nothing", "the model has its own size")
    return {**cell, "kind": "fitted", "programming_us": {"coefficients": scaled, "low": 0.0}}


def _dac(s: Settings) -> dict[str, Any]:
    d = "xbar.dac.mvm"
    model, bits, signed = (
        str(s.take(f"{d}.model", "IdealDAC")),
        s.whole(f"{d}.bits", 0),
        bool(s.take(f"{d}.signed", True)),
    )
    slicing, per_slice = bool(s.take(f"{d}.input_bitslicing", False)), bool(s.take("xbar.adc.mvm.adc_per_ibit", False))
    size = s.whole(f"{d}.slice_size", 1)
    found: dict[str, Any] = {"bits": None, "range": "calibrated"}
    if model not in ("IdealDAC", "QuantizerDAC", "SignMagnitudeDAC"):
        s.refuse(f"{d}.model", "IdealDAC, QuantizerDAC and SignMagnitudeDAC are known")
    elif model != "IdealDAC" and bits:
        found["bits"] = bits if signed else bits + 1
    note = "" if signed else "codes are signed here: one bit more gives the same steps for inputs that are not negative"
    for key in (f"{d}.model", f"{d}.bits", f"{d}.signed"):
        s.became(key, f"dac.bits: {found['bits']}", note)
    cut = slicing and per_slice and found["bits"] is not None
    if cut:
        found["slice_bits"] = size
    how = f"dac.slice_bits: {size}" if cut else "dac.slice_bits: null"
    why = "" if cut or not slicing else "slices are added before one conversion: the number of an input given whole"
    for key in (f"{d}.input_bitslicing", f"{d}.slice_size", "xbar.adc.mvm.adc_per_ibit"):
        s.became(key, how, why)
    for key in ("xbar.dac._match", *s.under("xbar.dac.vmm")):
        s.became(key, "nothing", _VMM)
    return found


def _adc(s: Settings, hw: Mapping[str, Any]) -> dict[str, Any]:
    d = "xbar.adc.mvm"
    model, bits, signed = (
        str(s.take(f"{d}.model", "IdealADC")),
        s.whole(f"{d}.bits", 0),
        bool(s.take(f"{d}.signed", True)),
    )
    for key in _CIRCUIT:
        s.off(
            f"{d}.{key}", (0, 0.0) if key != "gain_db" else (100, 100.0), "converters here have no errors of their own"
        )
    for key in ("symmetric_cdac", "split_cdac", "group_size"):
        s.became(f"{d}.{key}", "nothing", "acts on errors of the circuit, which are off")
    s.off(f"{d}.stochastic_rounding", False, "converters round to the nearest code here")
    for key in ("xbar.adc._match", *s.under("xbar.adc.vmm", _CONVERTER)):
        s.became(key, "nothing", _VMM)
    if model not in _ADC:
        s.refuse(f"{d}.model", f"known are {', '.join(sorted(_ADC))}")
    if model == "IdealADC" or not bits or model not in _ADC:
        for key in s.under(d, _CONVERTER):
            s.became(key, "adc.bits: null")
        return {"bits": None}
    found: dict[str, Any] = {"bits": bits, "range": "calibrated", **({} if signed else {"unipolar": True})}
    same = model == "SignMagnitudeADC" or not signed
    s.became(f"{d}.model", f"adc.bits: {bits}", "" if same else "2^b codes there; here 2^b - 1, zero among them")
    s.became(f"{d}.bits", f"adc.bits: {bits}")
    s.became(f"{d}.signed", f"adc.unipolar: {'false' if signed else 'true'}")
    option = _style(s, f"{d}.adc_range_option", {1: "CALIBRATED", 2: "MAX", 3: "GRANULAR"}, 1)
    if option == "CALIBRATED":
        s.became(f"{d}.adc_range_option", "adc.range: calibrated")
        s.became(f"{d}.calibrated_range", "nothing", "ranges of one network: here mho.calibrate finds each layer's")
        return found
    encoding = hw["encoding"]
    width = int(encoding.get("cell_bits", 0))
    sliced, weight_bits = encoding["kind"] == "bit_sliced", s.whole("core.weight_bits", 0)
    step = 1 / (2**width - 1) if sliced else 2.0**-weight_bits if weight_bits else 0.0
    if option == "GRANULAR" and not step:
        s.refuse(f"{d}.adc_range_option", "its step is that of a weight: weight_bits is needed")
        return found
    half = (2**bits - 1) if not signed else (2**bits - 2) / 2
    bound = float(hw["array"]["rows"]) if option == "MAX" else half * step
    found |= {"range": "fixed", "bound": bound}
    s.became(
        f"{d}.adc_range_option", f"adc.range: fixed, adc.bound: {bound:g}", "in units of a full cell and a full input"
    )
    s.became(f"{d}.calibrated_range", "nothing", f"has no effect there with {option}")
    return found


def _unique(rows: list[Any]) -> list[Any]:
    """The first word on each setting."""
    return list({row.setting: row for row in reversed(rows)}.values())[::-1]

"""Converters of CrossSim's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mho.exchange.settings import Settings

VMM = "layers multiply in one direction only: mvm"
"""Why settings of the other direction have no effect."""
_ADC = {"IdealADC", "QuantizerADC", "SignMagnitudeADC", "RampADC", "SarADC", "PipelineADC", "CyclicADC"}
_CONVERTER = ("model", "bits", "signed", "calibrated_range", "adc_range_option", "adc_per_ibit", "stochastic_rounding")
_CIRCUIT = ("gain_db", "sigma_capacitor", "sigma_comparator", "sigma_C1", "sigma_C2", "sigma_Cpar")
_BOTH_SIGNS = {"RampADC", "SarADC", "PipelineADC", "CyclicADC"}
_ARRAYS = (
    "errors of circuits with a capacitor for the sign, drawn once for all converters; those of adc.circuit have neither"
)


def style(s: Settings, key: str, names: Mapping[int, str], default: int) -> str:
    """A choice by its name, whether the file has its name or its number; refused where it is none of them."""
    value = s.take(key, default)
    found = names.get(value, "") if isinstance(value, int) else str(value).rpartition(".")[2].upper()
    if found not in names.values():
        s.refuse(key, f"known are {', '.join(names.values())}")
        return names[default]
    return found


def dac(s: Settings) -> dict[str, Any]:
    """The converter of the inputs."""
    d = "xbar.dac.mvm"
    model, bits, signed = (
        str(s.take(f"{d}.model", "IdealDAC")),
        s.whole(f"{d}.bits", 0),
        s.switch(f"{d}.signed", True),
    )
    slicing, per_slice = s.switch(f"{d}.input_bitslicing"), s.switch("xbar.adc.mvm.adc_per_ibit")
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
        s.became(key, "nothing", VMM)
    return found


def adc(s: Settings, hw: Mapping[str, Any]) -> dict[str, Any]:
    """The converter of the outputs, of a hardware whose encoding and cell are known."""
    d = "xbar.adc.mvm"
    model, bits, signed = (
        str(s.take(f"{d}.model", "IdealADC")),
        s.whole(f"{d}.bits", 0),
        s.switch(f"{d}.signed", True),
    )
    for key in _CIRCUIT:
        neutral = (100, 100.0) if key == "gain_db" else (0, 0.0)
        s.off(
            f"{d}.{key}",
            neutral,
            "adc.circuit has errors in least significant bits, not in these units: give them there",
        )
    for key in ("symmetric_cdac", "split_cdac", "group_size"):
        s.became(f"{d}.{key}", "nothing", "acts on errors of the circuit, which are off")
    s.off(f"{d}.stochastic_rounding", False, "converters round to the nearest code here")
    for key in ("xbar.adc._match", *s.under("xbar.adc.vmm", _CONVERTER)):
        s.became(key, "nothing", VMM)
    if model not in _ADC:
        s.refuse(f"{d}.model", f"known are {', '.join(sorted(_ADC))}")
    if model == "IdealADC" or not bits or model not in _ADC:
        for key in s.under(d, _CONVERTER):
            s.became(key, "adc.bits: null")
        return {"bits": None}
    option = style(s, f"{d}.adc_range_option", {1: "CALIBRATED", 2: "MAX", 3: "GRANULAR"}, 1)
    unipolar = _unipolar(s, hw["encoding"], option)
    if model == "SignMagnitudeADC" and (unipolar or not signed):
        s.refuse(f"{d}.model", "it has codes of both signs: CrossSim refuses it here, too")
    if unipolar and model in _BOTH_SIGNS:
        s.refuse(f"{d}.model", "its codes there are of both signs though the outputs are not: use QuantizerADC")
    same = model == "SignMagnitudeADC" or unipolar
    s.became(f"{d}.model", f"adc.bits: {bits}", "" if same else "2^b codes there; here 2^b - 1, zero among them")
    s.became(f"{d}.bits", f"adc.bits: {bits}")
    s.became(f"{d}.signed", f"adc.unipolar: {str(unipolar).lower()}", "outputs have the signs of the range, as there")
    found: dict[str, Any] = {"bits": bits, **({"unipolar": True} if unipolar else {})}
    found |= _range(s, hw, option, 2**bits - 1 if unipolar else 2 ** (bits - 1) - 1)
    bound = f", adc.bound: {found['bound']:g}" if "bound" in found else ""
    note = "in units of a full cell and a full input" if bound else ""
    s.became(f"{d}.adc_range_option", f"adc.range: {found['range']}{bound}", note)
    calibrated = found["range"] == "calibrated"
    s.became(f"{d}.calibrated_range", "nothing", "ranges of one network: here mho.calibrate finds each layer's"
             if calibrated else f"has no effect there with {option}")  # fmt: skip
    return found


def _unipolar(s: Settings, encoding: Mapping[str, Any], option: str) -> bool:
    """Whether CrossSim's range begins at 0: that of inputs without signs, but for currents that are subtracted, and all pairs
    of slices."""
    ranges = s.take("xbar.adc.mvm.calibrated_range")
    if option == "CALIBRATED" and ranges:
        several = isinstance(ranges, (list, tuple)) and isinstance(ranges[0], (list, tuple))
        pairs = ranges if several else [ranges]
        if all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
            return all(pair[0] == 0 for pair in pairs)
        s.refuse("xbar.adc.mvm.calibrated_range", "a range is a pair of numbers, or one pair for each slice")
        return False
    analog = encoding["kind"] == "differential" and encoding["subtract"] == "analog"
    both = analog or encoding.get("sign") == "pair"
    return not (s.switch("xbar.dac.mvm.signed", True) or both)


def _range(s: Settings, hw: Mapping[str, Any], option: str, codes: int) -> dict[str, Any]:
    """The range of a converter of so many positive codes."""
    key = "xbar.adc.mvm.adc_range_option"
    if option == "CALIBRATED":
        return {"range": "calibrated"}
    encoding, cell = hw["encoding"], hw["cell"]
    sliced = encoding["kind"] == "bit_sliced"
    if option == "MAX":
        if sliced and encoding["sign"] == "offset":
            s.refuse(key, "the range of slices there is a power of two near the rows: use CALIBRATED or GRANULAR")
        elif encoding["kind"] != "offset" and encoding["subtract"] == "analog" and cell["g_min_us"] > 0:
            s.refuse(key, "a difference of currents reaches g_max - g_min a row, the range there g_max: set "
                          "infinite_on_off_ratio, or use CALIBRATED or GRANULAR")  # fmt: skip
        return {"range": "maximum"}
    inputs = s.whole("xbar.dac.mvm.bits", 0) - s.switch("xbar.dac.mvm.signed", True)
    if inputs < 1:
        s.refuse(key, "its step is that of an input, too: dac.bits is needed")
        return {"range": "calibrated"}
    step = 1 / (2 ** int(encoding["cell_bits"]) - 1) if sliced else 2.0 ** -s.whole("core.weight_bits", 0)
    unit = (2 if encoding["kind"] == "offset" else 1) * cell["g_max_us"] / (cell["g_max_us"] - cell["g_min_us"])
    return {"range": "fixed", "bound": codes * step * unit / (1 - 2.0**-inputs)}

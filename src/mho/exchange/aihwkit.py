"""AIHWKit's inference settings (`InferenceRPUConfig` and `TorchInferenceRPUConfig`) as a hardware."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mho.exchange.aihwkit_cell import cell_and_encoding
from mho.exchange.aihwkit_default import IO, MAPPING, word
from mho.exchange.settings import OFF, Imported, Settings
from mho.hardware import Hardware

_CLASSES = ("InferenceRPUConfig", "TorchInferenceRPUConfig", "StandardHWATrainingPreset")
_COMPENSATIONS = {
    "GlobalDriftCompensation": {"kind": "global"},
    "GlobalDriftCompensationWithExactReference": {"kind": "global", "reference": "ideal"},
    "PerColumnDriftCompensation": {"kind": "per_column"},
}
_TRAINING = "of training: see mho.HWA"
_OFF = {
    "inp_sto_round": "converters round to the nearest code here", "out_sto_round": "converters round to the nearest code here",
    "inp_asymmetry": "converters are symmetrical here", "out_asymmetry": "converters are symmetrical here",
    "out_noise_std": "output noise is the same at every column here", "r_series": "columns have no series resistance here",
    "w_read_asymmetry_dtod": "both polarities of an input see the same cells here",
}  # fmt: skip

_UNSCALED = (
    "of weights as they are while mapping.weight_scaling_omega is 0; here it is of weights in units of a full conductance: "
    "set weight_scaling_omega to 1"
)


def from_aihwkit(data: Mapping[str, Any], *, name: str = "aihwkit", without: tuple[str, ...] = ()) -> Imported:
    """A hardware from AIHWKit's inference settings as plain values.

    Args:
        data: Fields by name, nested as in the data classes, objects with their ``class``; missing ones have AIHWKit's defaults.
        name: Of the hardware.
        without: Settings that are left out where they have no meaning here.

    Raises:
        WrongSetting: Settings that have no meaning here, all of them by name.
    """
    s = Settings(data, "AIHWKit", without)
    kind = str(s.take("class", "InferenceRPUConfig"))
    if kind not in _CLASSES:
        s.refuse(
            "class",
            f"{' and '.join(_CLASSES[:2])} are known: others train by pulses, or have wires or periphery of their own",
        )
    s.became("class", "this hardware")
    cell, encoding = cell_and_encoding(s)
    hw: dict[str, Any] = {
        "name": name,
        "sources": [f"imported from AIHWKit's {kind}"],
        "cell": cell,
        "encoding": encoding,
    }
    hw |= _mapping(s)
    hw |= _forward(s)
    hw["compensation"] = _compensation(s)
    s.off(
        "modifier.enable_during_test",
        False,
        "noise of training is of training alone here: give the cell its own",
        default=False,
    )
    for prefix in ("modifier", "clip", "remap", "backward", "update", "pre_post.input_range"):
        s.elsewhere(prefix, _TRAINING)
    for prefix in ("runtime", "device", "tile_class", "tile_array_class", "simulator_tile_class"):
        s.elsewhere(prefix, "how the simulator computes", alone=True)
    for key in ("forward.class", "mapping.class", "pre_post.class"):
        s.became(key, "not of a chip", "a name")
    s.finish()
    return Imported(Hardware.parse(hw), tuple(s.rows), "AIHWKit")


def _mapping(s: Settings) -> dict[str, Any]:
    def take(key: str) -> Any:
        return s.like(f"mapping.{key}", MAPPING[key])

    def became(key: str, what: str, note: str = "") -> None:
        s.became(f"mapping.{key}", what, note, default=MAPPING[key])

    s.off("mapping.digital_bias", True, "biases are added digitally here", default=True)
    omega, columnwise = float(take("weight_scaling_omega")), take("weight_scaling_columnwise")
    scale = "none" if omega <= 0 else "column_of_array" if columnwise else "array"
    if omega not in (0.0, 1.0) and omega > 0:
        s.refuse(
            "mapping.weight_scaling_omega",
            "the largest weight is the full conductance (1), or weights are not scaled (0)",
        )
    became("weight_scaling_omega", f"mapping.scale: {scale}")
    became(
        "weight_scaling_columnwise",
        f"mapping.scale: {scale}",
        "" if omega > 0 else "has no effect there while omega is 0",
    )
    for key in ("weight_scaling_lr_compensation", "learn_out_scaling", "out_scaling_columnwise"):
        s.became(f"mapping.{key}", "not of a chip", _TRAINING)
    array = {}
    for key, here in (("max_input_size", "rows"), ("max_output_size", "cols")):
        array[here] = int(take(key)) if int(take(key)) > 0 else 1_000_000
        became(
            key, f"array.{here}: {array[here]}", "pieces of like size there, full ones here" if here == "rows" else ""
        )
    return {"mapping": {"scale": scale}, "array": array}


def _steps(resolution: float) -> int | None:
    """Number of steps of a converter, as `Converter.steps`; none where nothing is rounded."""
    if resolution <= 0 or math.isinf(resolution):
        return None
    return round(resolution if resolution >= 1 else 1 / resolution)


def _converter(steps: int | None) -> dict[str, Any]:
    if steps is None:
        return {"bits": None}
    bits = round(math.log2(steps + 2))
    return {"bits": bits} if 2**bits - 2 == steps and bits >= 2 else {"bits": None, "steps": steps}


def _forward(s: Settings) -> dict[str, Any]:
    def take(key: str) -> Any:
        return s.like(f"forward.{key}", IO[key])

    def became(key: str, what: str, note: str = "") -> None:
        s.became(f"forward.{key}", what, note, default=IO[key])

    kind = word(take("mv_type"))
    if take("is_perfect") or kind == "IDEAL":
        for key in IO:
            s.became(f"forward.{key}", "no converter, no noise", "is_perfect")
        s.elsewhere("pre_post.input_range", "inputs are not converted")
        return {"dac": {"bits": None}, "adc": {"bits": None}}
    s.became("forward.is_perfect", OFF)
    if kind != "ONE_PASS":
        s.refuse("forward.mv_type", "an input of both signs is one product here")
    else:
        became("mv_type", "one product")
    for key, why in _OFF.items():
        s.off(f"forward.{key}", (0, False), why, default=IO[key])
    s.off("forward.out_scale", 1.0, "outputs have the scale of the weights here", default=1.0)
    s.off("forward.inp_bound", 1.0, "a full input is 1 here", default=1.0)
    s.off("forward.bm_test_negative_bound", True, "clipping is seen at both ends here", default=True)
    drop = float(take("ir_drop"))
    out, inp, weight = float(take("out_noise")), float(take("inp_noise")), float(take("w_noise"))
    unscaled = s.number("mapping.weight_scaling_omega", MAPPING["weight_scaling_omega"]) <= 0
    if drop and unscaled:
        s.refuse("forward.ir_drop", f"its currents are {_UNSCALED}")
        drop = 0.0
    form = {"ADDITIVE_CONSTANT": "additive", "PCM_READ": "pcm_read", "NONE": None}.get(word(take("w_noise_type")))
    if form is None and word(take("w_noise_type")) != "NONE":
        s.refuse("forward.w_noise_type", "ADDITIVE_CONSTANT and PCM_READ are known")
    became("ir_drop", f"ir_drop.scale: {drop:g}" if drop else OFF)
    became(
        "ir_drop_g_ratio", f"ir_drop.conductance_ratio: {float(take('ir_drop_g_ratio')):g}", "" if drop else "no drop"
    )
    if form and weight and unscaled:
        s.refuse("forward.w_noise", f"its σ is {_UNSCALED}")
        weight = 0.0
    noise: dict[str, Any] = {"output": out, "input": inp}
    if form and weight:
        noise |= {"weight": weight, "weight_form": form}
    became("out_noise", f"noise.output: {out:g}")
    became("inp_noise", f"noise.input: {inp:g}" if inp else OFF)
    became("w_noise", f"noise.weight: {weight:g}" if form and weight else OFF)
    became("w_noise_type", f"noise.weight_form: {form}" if form and weight else OFF)
    dac = {**_converter(_steps(float(take("inp_res")))), **_input_range(s, take, became)}
    became("inp_res", f"dac: {_resolution(dac)}")
    adc = _adc(s, take, became)
    found = {"dac": dac, "adc": adc, "noise": noise, "columns": _columns(s, take, became)}
    return found | ({"ir_drop": {"scale": drop, "conductance_ratio": float(take("ir_drop_g_ratio"))}} if drop else {})


def _columns(s: Settings, take: Any, became: Any) -> dict[str, float]:
    """Offsets and curves of columns: (1 - v) y - 2 v reference Σu, then f² y / (1 + n |y|)."""
    found: dict[str, float] = {}
    offset, reference = float(take("v_offset_std")), -float(take("v_offset_w_min"))
    became("v_offset_std", f"columns.offset: {offset:g}" if offset else OFF)
    if offset and reference < 0:
        s.refuse("forward.v_offset_w_min", "a reference cell has a conductance: it is not above 0")
    elif offset:
        found |= {"offset": offset, "reference": reference}
    became("v_offset_w_min", f"columns.reference: {reference:g}" if offset else OFF, "" if offset else "no offsets")
    size, slope, bound = (float(take(key)) for key in ("out_nonlinearity", "slope_calibration", "out_bound"))
    if size:
        n = size / (bound if 0 < bound < math.inf else 1.0)
        found |= {"nonlinearity": n, "nonlinearity_std": float(take("out_nonlinearity_std"))}
        found["exact_at"] = ((1 + size * slope) ** 2 - 1) / n if slope > 0 else 0.0
    names = {
        "out_nonlinearity": "nonlinearity",
        "out_nonlinearity_std": "nonlinearity_std",
        "slope_calibration": "exact_at",
    }
    for key, here in names.items():
        note = (
            "of the mean column; there of the mean over those of a tile"
            if size and slope > 0 and here == "exact_at"
            else ""
        )
        became(key, f"columns.{here}: {found[here]:g}" if size else OFF, note)
    return found


def _resolution(converter: Mapping[str, Any]) -> str:
    return f"{converter['steps']} steps" if converter.get("steps") else f"bits: {converter['bits']}"


def _input_range(s: Settings, take: Any, became: Any) -> dict[str, str]:
    management, threshold = word(take("noise_management")), float(take("nm_thres"))
    p = "pre_post.input_range"
    if s.switch(f"{p}.enable"):
        learned = s.switch(f"{p}.learn_input_range", True)
        here = "learned" if learned else "calibrated"
        s.became(f"{p}.enable", f"dac.range: {here}")
        s.became(f"{p}.learn_input_range", f"dac.range: {here}")
        if management not in ("NONE", "CONSTANT") or (management == "CONSTANT" and threshold not in (0.0, 1.0)):
            s.refuse("forward.noise_management", "inputs that have a range of their own are not scaled again here")
        became("noise_management", "the range of inputs alone")
        became("nm_thres", "a full input is 1")
        return {"range": here}
    s.became(f"{p}.enable", OFF)
    if management == "ABS_MAX" and threshold == 0:
        became("noise_management", "dac.range: abs_max", "of each vector; each array has its own here")
        became("nm_thres", OFF)
        return {"range": "abs_max"}
    if management == "ABS_MAX":
        s.refuse("forward.nm_thres", "a largest input of all vectors: use calibrated ranges (pre_post.input_range)")
    else:
        s.refuse("forward.noise_management", "ABS_MAX, or ranges of the inputs (pre_post.input_range), are known here")
    return {}


def _adc(s: Settings, take: Any, became: Any) -> dict[str, Any]:
    bound, steps = float(take("out_bound")), _steps(float(take("out_res")))
    management = word(take("bound_management"))
    adc = _converter(steps)
    became("out_res", f"adc: {_resolution(adc)}")
    if not 0 < bound < math.inf:
        if steps is not None:
            s.refuse("forward.out_bound", "steps without a bound have no size")
        became("out_bound", "no bound")
        became("bound_management", "nothing", "nothing clips")
        return {"bits": None}
    if steps is None:
        adc = {"bits": 24}
        became("out_res", "adc.bits: 24", "nothing is rounded there; here as good as nothing, so that the bound acts")
    adc |= {"range": "fixed", "bound": bound}
    became("out_bound", f"adc.range: fixed, adc.bound: {bound:g}")
    if management == "ITERATIVE":
        most = float(take("max_bm_factor"))
        resolution, inp = float(take("max_bm_res")), float(take("inp_res"))
        if resolution > 0 and 0 < inp < math.inf:
            most = min(most, resolution / (inp if inp < 1 else 1 / inp))
        halvings = max(1, min(16, math.ceil(math.log2(max(most, 1.0001)))))
        adc |= {"on_clip": "halve_input", "max_halvings": halvings}
        became("bound_management", f"adc.on_clip: halve_input, at most {halvings} times")
    elif management == "NONE":
        became("bound_management", "adc.on_clip: clip")
    else:
        s.refuse("forward.bound_management", "NONE and ITERATIVE are known here")
    for key in ("max_bm_factor", "max_bm_res"):
        became(key, f"adc.max_halvings: {adc['max_halvings']}" if "max_halvings" in adc else OFF)
    return adc


def _compensation(s: Settings) -> dict[str, Any]:
    if s.given("drift_compensation") and s.take("drift_compensation") is None:
        s.became("drift_compensation", "compensation.kind: none")
        return {"kind": "none"}
    name = (
        s.take("drift_compensation")
        if s.given("drift_compensation")
        else s.take("drift_compensation.class", "GlobalDriftCompensation")
    )
    key = "drift_compensation" if s.given("drift_compensation") else "drift_compensation.class"
    found = _COMPENSATIONS.get(str(name))
    if found is None:
        s.refuse(key, f"known are {', '.join(_COMPENSATIONS)}")
        return {"kind": "none"}
    s.became(key, ", ".join(f"compensation.{k}: {v}" for k, v in found.items()),
             "read by the mean magnitude of an identity's outputs, as there", default=name)  # fmt: skip
    return dict(found)

"""Fields of AIHWKit's inference settings with their defaults (1.1, 1.2), and settings as plain values."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

IO: dict[str, Any] = {
    "is_perfect": False, "mv_type": "ONE_PASS", "inp_bound": 1.0, "inp_noise": 0.0, "inp_res": 1 / 126, "inp_sto_round": False,
    "inp_asymmetry": 0.0, "out_bound": 12.0, "out_noise": 0.06, "out_noise_std": 0.0, "out_res": 1 / 510, "out_sto_round": False,
    "out_scale": 1.0, "out_asymmetry": 0.0, "bound_management": "ITERATIVE", "noise_management": "ABS_MAX", "w_noise": 0.0,
    "w_noise_type": "NONE", "ir_drop": 0.0, "ir_drop_g_ratio": 1.0 / 0.35 / 5e-06, "out_nonlinearity": 0.0,
    "out_nonlinearity_std": 0.0, "slope_calibration": 0.0, "v_offset_std": 0.0, "v_offset_w_min": -1.0, "r_series": 0.0,
    "w_read_asymmetry_dtod": 0.0, "max_bm_factor": 1000, "max_bm_res": 0.25, "bm_test_negative_bound": True, "nm_thres": 0.0,
}  # fmt: skip
"""Of ``forward``."""
MAPPING: dict[str, Any] = {
    "digital_bias": True,
    "weight_scaling_omega": 0.0,
    "weight_scaling_columnwise": False,
    "weight_scaling_lr_compensation": False,
    "learn_out_scaling": False,
    "out_scaling_columnwise": False,
    "max_input_size": 512,
    "max_output_size": 512,
}
"""Of ``mapping``."""
_ENUM_VALUES = {
    "None": "NONE",
    "OnePass": "ONE_PASS",
    "AbsMax": "ABS_MAX",
    "PCMRead": "PCM_READ",
    "AdditiveConstant": "ADDITIVE_CONSTANT",
    "AbsMaxNPSum": "ABS_MAX_NP_SUM",
    "AverageAbsMax": "AVERAGE_ABS_MAX",
    "IterativeWorstCase": "ITERATIVE_WORST_CASE",
    "PosNegSeparate": "POS_NEG_SEPARATE",
}


def plain(thing: Any) -> Any:
    """AIHWKit's settings as plain values: data classes as mappings with their ``class``, enumerations by their name.

    Noise models, converters and compensations are objects without fields; what they hold is taken.
    """
    if isinstance(thing, enum.Enum):
        return thing.name
    if isinstance(thing, type):
        return thing.__name__
    if isinstance(thing, Mapping):
        return {str(key): plain(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [plain(value) for value in thing]
    if dataclasses.is_dataclass(thing):
        fields = {f.name: plain(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
        return {"class": type(thing).__name__, **fields}
    if hasattr(thing, "__dict__") and type(thing).__module__.partition(".")[0] not in ("builtins", "numpy", "torch"):
        return {"class": type(thing).__name__, **{key: plain(value) for key, value in vars(thing).items()}}
    return thing.item() if hasattr(thing, "item") and getattr(thing, "ndim", 1) == 0 else thing


def word(value: Any) -> str:
    """An enumeration by its name, however it was written: ``ABS_MAX``, ``AbsMax``, ``NoiseManagementType.ABS_MAX``."""
    text = str(value).rpartition(".")[2]
    return _ENUM_VALUES.get(text, text.upper())

"""Weight files that store eight bits a weight: with a scale and zero point, or as places in a codebook."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_PARTS = (".weight_q", ".weight_scale", ".weight_zero", ".weight_code", ".weight_codebook")


def expand(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float state dict behind the stored tensors.

    ``weight = (weight_q - weight_zero) · weight_scale``, or ``weight = weight_codebook[weight_code]``.
    """
    state: dict[str, Tensor] = {}
    for key, value in stored.items():
        if not key.endswith(_PARTS):
            state[key] = value
        elif key.endswith(".weight_q"):
            weight = key.removesuffix("_q")
            state[weight] = (value.float() - stored[f"{weight}_zero"].float()) * stored[f"{weight}_scale"]
        elif key.endswith(".weight_code"):
            weight = key.removesuffix("_code")
            state[weight] = stored[f"{weight}_codebook"][value.long()]
    return state

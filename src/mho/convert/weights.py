"""Weights that can be put onto arrays."""

from __future__ import annotations

import torch
from torch import nn

from mho.errors import BadInput


def check_weights(model: nn.Module, *, run: bool) -> None:
    """Refuse a network whose parameters have no finite values; all of them at once.

    Args:
        model: Any module.
        run: It is to compute, which it cannot without values (device "meta").

    Raises:
        BadInput: Parameters that are not finite, or without values where it is to compute.
    """
    empty, bad = [], []
    for name, parameter in model.named_parameters():
        if nn.parameter.is_lazy(parameter):  # the rules of conversion have a word for these
            continue
        if parameter.device.type == "meta":
            empty += [name] * run
        elif parameter.dtype.is_floating_point or parameter.dtype.is_complex:
            wrong = int((~torch.isfinite(parameter.detach())).sum())
            if wrong:
                bad.append(f"{name} ({wrong} of {parameter.numel()})")
    if empty:
        raise BadInput(
            f"weights without values: {_few(empty)}", "load them first: they are on the device 'meta'", path=empty[0]
        )
    if bad:
        raise BadInput(
            f"weights that are not finite: {_few(bad)}",
            "train with a lower rate, or load other weights",
            path=bad[0].partition(" ")[0],
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f", and {len(names) - 8} more" if len(names) > 8 else "")

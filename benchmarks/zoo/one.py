"""What is found out about one architecture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from build import build
from settings import AGE, HARDWARE, LARGEST
from torch import Tensor, nn

import mho
from mho.convert.trial import trial
from mho.errors import MhoError


def measure(entry: dict[str, Any]) -> dict[str, Any]:
    """One row of the results.

    Args:
        entry: One of `architectures.ENTRIES`.
    """
    row: dict[str, Any] = {name: entry[name] for name in ("library", "name", "family") if name in entry}
    row["head"] = entry.get("head", "")
    begun = time.monotonic()
    torch.set_num_threads(1)
    model, example = build(entry)
    arguments = example if isinstance(example, tuple) else (example,)
    row["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    expected = trial(model, *arguments)
    hw = mho.Hardware.preset(HARDWARE)
    try:
        net = mho.to_analog(model, hw, example=example)
    except MhoError as error:
        return row | {
            "converts": False,
            "refused": f"{type(error).__name__}: {error}"[:600],
            **_followed(model, hw, example, error),
        }
    placement = net.placement
    row |= {
        "converts": True, "stored_share": round(placement.stored_share, 4), "share": round(placement.analog_share, 4),
        "arrays": placement.arrays, "not_counted": [name for name, _ in placement.not_counted],
        "digital": sorted({weight.reason for weight in placement if weight.placed == "digital" and len(weight.shape) > 1}),
        "unread": sum("does not" in weight.reason for weight in placement if weight.placed == "analog"),
    }  # fmt: skip
    row["states"] = _states(model, net)
    if row["parameters"] > LARGEST:
        return row | {"seconds": round(time.monotonic() - begun, 1)}
    mho.calibrate(net, [example if isinstance(example, dict) else (example, None)])
    chip = mho.program(net, seed=0)
    old = chip.at(AGE)
    found = trial(old, *arguments)
    row["error"] = round(_error(expected, found), 4)
    row["time"], row["memory"] = _cost(model, mho.fuse(old), arguments)
    row["seconds"] = round(time.monotonic() - begun, 1)
    return row


def _followed(model: nn.Module, hw: Any, example: Any, error: MhoError) -> dict[str, Any]:
    """Whether the way out works: what the message offers to keep digital is kept."""
    import re

    offered = re.search(r"digital=\[(.*?)\]", error.remedy)
    if not offered:
        return {}
    try:
        net = mho.to_analog(model, hw.replace(digital=re.findall(r"'([^']*)'", offered[1])), example=example)
    except MhoError as other:
        return {"way_out": f"fails: {other}"[:300]}
    return {"way_out": "works", "stored_share": round(net.placement.stored_share, 4)}


def _states(model: nn.Module, net: nn.Module) -> bool:
    """The digital state dict loads into the network on arrays, and comes back as it was."""
    state = model.state_dict()
    missing = net.load_state_dict(state, strict=True)
    back = mho.to_digital(net).state_dict()
    same = list(back) == list(state) and all(torch.equal(back[k], v) for k, v in state.items() if isinstance(v, Tensor))
    return same and not missing.missing_keys


def _tensors(output: Any) -> list[Tensor]:
    from mho.convert.self_test import _tensors as tensors

    return [t.double() for t in tensors(output) if t.is_floating_point()]


def _error(expected: Any, found: Any) -> float:
    """Root of the mean square difference of the largest output, over its standard deviation."""
    pairs = list(zip(_tensors(expected), _tensors(found), strict=True))
    a, b = pairs[0]
    return float((a - b).square().mean().sqrt() / a.std().clamp(min=1e-12))


def _cost(digital: nn.Module, analog: nn.Module, arguments: tuple[Any, ...]) -> tuple[float, float]:
    """Time and peak memory of a pass on a chip over those of the digital network."""
    grown, seconds = {}, {"digital": [], "analog": []}
    for name, net in (("digital", digital), ("analog", analog)):
        trial(net, *arguments)
        before = _reset_peak()
        trial(net, *arguments)
        grown[name] = max(_peak() - before, 1)
    for _ in range(2):
        for name, net in (("digital", digital), ("analog", analog)):
            begun = time.perf_counter()
            trial(net, *arguments)
            seconds[name].append(time.perf_counter() - begun)
    a, d = sorted(seconds["analog"])[0], sorted(seconds["digital"])[0]
    return round(a / d, 2), round(grown["analog"] / 1024, 1)


def _reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(name: str) -> int:
    """Of /proc/self/status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))

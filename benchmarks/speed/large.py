"""Programming and ageing of large networks: seconds and bytes a weight, each network in a fresh process."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cases import standard
from mobilenet_v2 import mobilenet_v2
from torch import nn

import mho
from mho.models.llama import _Block
from mho.nn.layer import AnalogLayer

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, str]] = {
    "MobileNetV2": (lambda: mobilenet_v2(num_classes=1000), 1, ""),
    "one block of a Llama of 1.1 billion": (lambda: _Block(2048, 5632, 32, 4), 22, "all 22 blocks"),
}
"""The network, how many of it make the whole, and what that is."""


def rows(say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One row a network, in JSON's types."""
    found, context = [], multiprocessing.get_context("spawn")
    for name in NETWORKS:
        say(f"{name}: programming and ageing")
        with context.Pool(1) as pool:
            found.append(pool.apply(_row, (name, True)))
        with context.Pool(1) as pool:
            found.append(pool.apply(_row, (name, False)))
    return found


def _row(name: str, keep: bool) -> dict[str, Any]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, times, whole = NETWORKS[name]
    net = mho.to_analog(make().eval(), standard().replace(dac__range="abs_max"))
    count = sum(view.weight.numel() for m in net.modules() if isinstance(m, AnalogLayer) for view in m.views())
    before, spent = _resident("VmRSS"), {}
    start = time.process_time()
    chip = mho.program(net, keep=keep)
    spent["program"], kept = time.process_time() - start, _resident("VmRSS") - before
    start = time.process_time()
    aged = chip.at("1 day")
    spent["at"] = time.process_time() - start
    start = time.process_time()
    aged = chip.at("1 month")
    spent["at again"] = time.process_time() - start
    peak = _resident("VmHWM") - before
    del aged
    return {
        "case": name, "keep": keep, "weights": count, "times": times, "whole": whole,
        "ns_a_weight": {k: 1e9 * s / count for k, s in spent.items()},
        "bytes_a_weight": {"chip": kept * 2**20 / count, "peak": peak * 2**20 / count},
    }  # fmt: skip


def _resident(key: str) -> float:
    """MB of this process, as Linux has it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024

"""Seconds of a chip that sees everything and of a pass that chips share, in turn, so that a busy machine slows both."""

from __future__ import annotations

import statistics
import time
from typing import Any

import table
import torch

import mho


def measure(arm: str, repeats: int) -> dict[str, Any]:
    """Medians over `repeats` of whole calls of `mho.drift`, less what a call does once (hashing, the digital network)."""
    torch.set_num_threads(1)
    net, test = table.network(arm)
    seconds: dict[str, list[float]] = {"all": [], "auto": []}
    for seed in range(repeats):
        for images, chips in (("all", 1), ("auto", 10)):
            marks: list[float] = []
            mho.drift(
                net,
                test,
                seed=seed,
                images=images,
                chips=2 * chips,
                progress=lambda _, m=marks: m.append(time.perf_counter()),
            )  # type: ignore[arg-type]
            seconds[images].append(marks[1] - marks[0])
    return {
        "arm": arm,
        "repeats": repeats,
        "chip_s": statistics.median(seconds["all"]),
        "shared_pass_s": statistics.median(seconds["auto"]),
        "ratio": statistics.median(b / a for a, b in zip(seconds["all"], seconds["auto"], strict=True)),
    }

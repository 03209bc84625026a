"""Time and memory of one evaluation on arrays, beside the digital network's.

Time: forward passes of one batch, digital and analog in turn in one process on one thread, median of the ratios.
Memory: growth of the peak resident set during one forward pass, each in a fresh process.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mho
from mho.data import load
from mho.models import published

CASES = (
    ("cifar10_resnet20", "pcm", 100),
    ("cifar10_resnet20", "hwa-standard", 100),
    ("cifar10_resnet56", "pcm", 100),
    ("cifar10_resnet8_mlperf", "pcm", 100),
    ("kws_dscnn_mlperf", "pcm", 100),
)
REPEATS = 15


def run(path: Path, *, progress: Callable[[str], None] = lambda _: None) -> list[dict[str, Any]]:
    """Measure every case and write the rows as JSON."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for network, hardware, batch in CASES:
        progress(f"{network} on {hardware}")
        memory = {}
        for analog in (False, True):
            with context.Pool(1) as pool:
                memory[analog] = pool.apply(_peak, (network, hardware, batch, analog))
        with context.Pool(1) as pool:
            row = pool.apply(_times, (network, hardware, batch))
        rows.append({**row, "digital_mb": memory[False], "analog_mb": memory[True]})
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return rows


def _setup(network: str, hardware: str, batch: int) -> tuple[nn.Module, nn.Module, nn.Module, torch.Tensor]:
    torch.set_num_threads(1)
    model, info = published(network)
    assert info.data is not None, "every network of the study has data"
    x = load(f"{info.data}&n={batch}" if "?" in info.data else f"{info.data}?n={batch}").inputs
    net = mho.calibrate(mho.to_analog(model, hardware), [x])
    return model, net, mho.program(net).at("1 day"), x


def _times(network: str, hardware: str, batch: int) -> dict[str, Any]:
    model, net, chip, x = _setup(network, hardware, batch)
    digital, ratios, drawing = [], [], []
    with torch.no_grad():
        for module in (model, chip):
            module(x)
        for seed in range(REPEATS):
            a = _seconds(lambda: model(x))
            b = _seconds(lambda: chip(x))
            digital.append(a)
            ratios.append(b / a)
            drawing.append(_seconds(lambda seed=seed: mho.program(net, seed).at("1 day")))  # type: ignore[misc]
    return {
        "network": network,
        "hardware": hardware,
        "batch": batch,
        "digital_ms": 1e3 * statistics.median(digital),
        "time_ratio": statistics.median(ratios),
        "time_ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
        "program_and_age_ms": 1e3 * statistics.median(drawing),
    }


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _peak(network: str, hardware: str, batch: int, analog: bool) -> float:
    """MB by which the peak of a fresh process rises during one forward pass."""
    model, _, chip, x = _setup(network, hardware, 2)
    x = x.repeat(-(-batch // len(x)), *(1,) * (x.dim() - 1))[:batch]
    module = chip if analog else model
    with torch.no_grad():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        module(x)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

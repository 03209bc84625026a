"""Time and memory of evaluation and training, analog beside digital.

Time: both in turn in one process; the medians and quartiles of the ratios of neighbouring runs. Memory: how much the
peak of the resident set grows in the first pass (or step) of a fresh process, and how much torch itself held at most.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cases import cases, step
from torch.profiler import ProfilerActivity, profile

import mho
from mho.crossbar import Operator
from mho.nn.matrix import digitally, watched

KINDS = ("evaluation", "unfused", "training")

_LEAST_S = 0.5
"""Seconds for which digital and analog run in turn, at least."""


def rows(names: list[str], threads: int, rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One row a case and kind, in JSON's types."""
    context = multiprocessing.get_context("spawn")
    found = []
    for name in names:
        for kind in KINDS:
            if kind == "training" and not cases()[name]().trained:
                continue
            say(f"{name}, {kind}, {threads} thread{'s' if threads > 1 else ''}")
            with context.Pool(1) as pool:
                row = pool.apply(_times, (name, kind, threads, rounds))
            for who in ("digital", "analog") if threads == 1 else ():
                with context.Pool(1) as pool:
                    row |= pool.apply(_memory, (name, kind, who))
            found.append(row)
    return found


def _contestants(name: str, kind: str) -> tuple[dict[str, Callable[[], Any]], dict[str, float]]:
    case = cases(128 if kind == "training" else 100)[name]()
    if kind == "training":
        model, net = case.model.train(), case.analog().train()
        return {"digital": step(model, case, hwa=False), "analog": step(net, case, hwa=True)}, case.goals
    model, chip = case.model.eval(), case.chip(fused=kind == "evaluation")
    return {"digital": lambda: model(case.inputs), "analog": lambda: chip(case.inputs)}, case.goals


def _times(name: str, kind: str, threads: int, rounds: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    runs, goals = _contestants(name, kind)
    seconds: dict[str, list[float]] = {who: [] for who in runs}
    with torch.set_grad_enabled(kind == "training"):
        for run in (*runs.values(), *runs.values()):
            run()
        began = time.perf_counter()
        while (
            len(seconds["analog"]) < rounds or time.perf_counter() - began < _LEAST_S
        ):  # small networks are run more often
            for who, run in runs.items():
                start = time.perf_counter()
                run()
                seconds[who].append(time.perf_counter() - start)
    inputs, outputs = _numbers(name) if kind != "training" else (0, 0)
    ratios = [a / d for a, d in zip(seconds["analog"], seconds["digital"], strict=True)]
    return {
        "case": name, "kind": kind, "threads": threads, "rounds": len(seconds["analog"]),
        "inputs": inputs, "outputs": outputs,
        "digital_ms": 1e3 * statistics.median(seconds["digital"]),
        "time_ratio": statistics.median(ratios),
        "time_ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
        "time_goal": goals.get("step time" if kind == "training" else "time"),
        "memory_goal": goals.get("step memory" if kind == "training" else "memory"),
    }  # fmt: skip


def _numbers(name: str) -> tuple[int, int]:
    """How many numbers the arrays of a case convert at their rows, and at the columns of their row blocks."""
    case = cases()[name]()
    net, counted = case.analog(), [0, 0]

    def count(
        matrix: mho.nn.AnalogMatrix, x: torch.Tensor, weight: torch.Tensor, operator: Operator, y: torch.Tensor
    ) -> None:
        counted[0] += x.numel()
        counted[1] += y.numel() * len(matrix.scheme(weight, operator).plan.blocks)

    with torch.no_grad(), digitally(net), watched(net, count):
        net.eval()(case.inputs)
    return counted[0], counted[1]


def _memory(name: str, kind: str, who: str) -> dict[str, float]:
    torch.set_num_threads(1)
    runs, _ = _contestants(name, kind)
    run = runs[who]
    runs.clear()
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):  # what building the network left free would hide what the pass takes
        ctypes.CDLL(None).malloc_trim(0)
    with torch.set_grad_enabled(kind == "training"):
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        run()
        grown = _status("VmHWM") - before
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            run()
    held = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return {f"{who}_peak_mb": grown, f"{who}_held_mb": most / 2**20}


def _status(key: str) -> float:
    """MB of this process, as Linux has it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024

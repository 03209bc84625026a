"""Time and memory of one evaluation on arrays, beside the digital network's."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import mho
from mho.statistics.intervals import Interval
from mho.studies import Arm, Claim, Finding, Job, Results, Scale, Study, Table, below, every, subject

BATCH = 100


@dataclass(frozen=True)
class CostArm(Arm):
    """A network on a hardware."""

    network: str = "cifar10_resnet20"
    hardware: str = "pcm-cells"


Found = Results[CostArm, list[dict[str, Any]]]


def _within_half(results: Found) -> Finding:
    """The quartiles of the ratio of times, against 1.5."""
    rows = ((outcome.arm.label, outcome.first[0]) for outcome in results.values())
    ratios = ((label, Interval(row["time_ratio"], *row["time_ratio_quartiles"])) for label, row in rows)
    return every(*(below(label, ratio, 1.5, _show_ratio) for label, ratio in ratios))


def _show_ratio(ratio: Interval) -> str:
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


class Cost(Study[CostArm, list[dict[str, Any]]]):
    """Arms: networks × hardware."""

    name = "cost"
    title = "What an evaluation on arrays costs beside the digital network"
    question = "How much longer does a simulated evaluation take than a digital one, and how much memory?"
    protocol = (
        f"Time: forward passes of a batch of {BATCH}, digital and analog in turn in one process on one thread, on a shared "
        "machine; median of the ratios, quartiles as interval. Memory: growth of the peak resident set during one pass, each in "
        "a fresh process."
    )
    claims = (Claim("An evaluation takes at most 1.5 times as long as the digital network's", _within_half),)

    def arms(self, scale: Scale) -> list[CostArm]:
        """Networks of the drift study."""
        if scale == "smoke":
            return [CostArm("pcm-cells-digits", "digits CNN on pcm-cells", network="digits")]
        cases = (("cifar10_resnet20", "pcm-cells"), ("cifar10_resnet20", "hwa-standard"), ("cifar10_resnet56", "pcm-cells"),
                 ("cifar10_resnet8_mlperf", "pcm-cells"), ("kws_dscnn_mlperf", "pcm-cells"))  # fmt: skip
        return [CostArm(f"{hw}-{net}", f"{net} on {hw}", network=net, hardware=hw) for net, hw in cases]

    def run(self, arm: CostArm, job: Job) -> list[dict[str, Any]]:
        """One row."""
        memory = {analog: in_fresh_process(_peak, arm.network, arm.hardware, analog) for analog in (False, True)}
        row = in_fresh_process(_times, arm.network, arm.hardware, 3 if job.scale == "smoke" else 15)
        return [{**row, "digital_mb": memory[False], "analog_mb": memory[True]}]

    def tables(self, results: Found) -> list[Table]:
        """One line an arm."""
        head = ("network", "hardware", "batch", "digital ms", "time / digital [quartiles]", "program + age ms",
                "memory digital MB", "memory analog MB")  # fmt: skip
        rows = []
        for row in (outcome.first[0] for outcome in results.values()):
            ratio = Interval(row["time_ratio"], *row["time_ratio_quartiles"])
            rows.append((
                row["network"], row["hardware"], str(row["batch"]), f"{row['digital_ms']:.0f}",
                _show_ratio(ratio), f"{row['program_and_age_ms']:.0f}",
                f"{row['digital_mb']:.0f}", f"{row['analog_mb']:.0f}",
            ))  # fmt: skip
        return [Table(head, rows)]


def in_fresh_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a process of its own answers."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _setup(network: str, hardware: str, samples: int) -> tuple[nn.Module, nn.Module, nn.Module, torch.Tensor]:
    torch.set_num_threads(1)
    on = subject(network)
    x = on.test.inputs[:samples]
    net = mho.calibrate(mho.to_analog(on.model, hardware), [x])
    return on.model, net, mho.program(net).at("1 day"), x


def _times(network: str, hardware: str, repeats: int) -> dict[str, Any]:
    model, net, chip, x = _setup(network, hardware, BATCH)
    digital, ratios, drawing = [], [], []
    with torch.no_grad():
        for module in (model, chip):
            module(x)
        for seed in range(repeats):
            a = seconds_of(lambda: model(x))
            b = seconds_of(lambda: chip(x))
            digital.append(a)
            ratios.append(b / a)
            drawing.append(seconds_of(lambda seed=seed: mho.program(net, seed).at("1 day")))  # type: ignore[misc]
    return {
        "network": network,
        "hardware": hardware,
        "batch": BATCH,
        "digital_ms": 1e3 * statistics.median(digital),
        "time_ratio": statistics.median(ratios),
        "time_ratio_quartiles": statistics.quantiles(ratios, n=4)[::2],
        "program_and_age_ms": 1e3 * statistics.median(drawing),
    }


def seconds_of(work: Callable[[], Any]) -> float:
    """Wall-clock time of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _peak(network: str, hardware: str, analog: bool) -> float:
    """MB by which the peak of a fresh process rises during one forward pass."""
    model, _, chip, x = _setup(network, hardware, 2)
    x = x.repeat(BATCH // 2, *(1,) * (x.dim() - 1))
    module = chip if analog else model
    with torch.no_grad():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        module(x)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024

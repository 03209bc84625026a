"""Time and memory of mho and of its peers beside the digital network.

    python speed.py                      # everything that is installed, to results/speed-calibrated-1.json
    python speed.py --ranges abs_max     # a range for every input vector; default: AIHWKit's settings as they are
    python speed.py --threads 2 --case linear --tools mho
    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 python speed.py --out kept.json

All contestants of a case run in turn in one process, so that a busy machine slows each of them; the numbers are medians
and quartiles of the ratios to the digital network in the same round. Memory is how much the peak of the resident set
grows during one forward pass (or step) after the network is built, each in a fresh process. The environment variables
above make glibc keep memory between passes, which helps the peers, whose intermediate results are large.

Both wall and CPU time are kept. With one thread they agree on a quiet machine; on a busy one the ratios of CPU times
are the ones to read, as long pieces of work are interrupted more often than short ones. With more threads only wall time means
anything, on a quiet machine. mho's chips are fused, as `mho.drift` measures them.

Cases: `forward` ResNet-20, 100 images; `linear` 512 × 512, 256 vectors; `step` a step of hardware-aware training of
ResNet-20, 128 images; `drift` five ages of one chip with 1,000 images, programming and ageing included (a study of
25 evaluations is five times that). The hardware is in `configs.py`. Lightning draws no noise and has no cells outside
of training: its forward passes are converters alone.
"""

from __future__ import annotations

import argparse
import copy
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from configs import (
    RANGES,
    WEIGHT_NOISE,
    aihwkit_config,
    aihwkit_network,
    images,
    input_ranges,
    lightning_config,
    lightning_network,
    mho_network,
    peer,
    resnet20,
)
from torch import Tensor, nn

import mho
from mho.units import seconds

RESULTS = Path(__file__).parent / "results"
TOOLS = ("digital", "mho", "aihwkit-cpp", "aihwkit-torch", "lightning")
AGES = ("1 h", "1 day", "1 month", "6 months", "1 year")
ROUNDS = {"forward": 7, "linear": 50, "step": 5, "drift": 1}
STUDY = 25
"""Evaluations of the drift study; the five ages of one chip are measured."""
Work = Callable[[], object]


def setup(case: str, tool: str, samples: int, ranges: str, calibration: int = 100) -> dict[str, Work]:
    """What is timed: one piece of work, or one an age.

    Args:
        case: See above.
        tool: One of `TOOLS`.
        samples: Images of the drift study.
        ranges: Of the DACs, one of `RANGES`.
        calibration: Images that the ranges come from; few where memory is measured, which they would use before.

    Raises:
        MissingPeer: The tool is not installed.
    """
    torch.manual_seed(0)
    if case == "step":
        return {"step": _step(tool, ranges, calibration)}
    if case == "linear":
        x = torch.randn(256, 512)
        model: nn.Module = nn.Sequential(nn.Linear(512, 512)).eval()
        return {"forward": _forward(_aged(tool, model, [x], ranges)[0], x)}
    data = images(100 if case == "forward" else samples)
    net, at = _aged(tool, resnet20(), [data.inputs[:calibration]], ranges)
    if case == "forward":
        return {"forward": _forward(net, data.inputs)}
    batches = list(data.inputs.split(100))

    def evaluate(age: str) -> None:
        found = at(age)
        with torch.no_grad():
            for x in batches:
                found(x)

    return {age: lambda age=age: evaluate(age) for age in AGES}  # type: ignore[misc]


def _forward(net: nn.Module, x: Tensor) -> Work:
    _wake(net, x)

    def work() -> None:
        with torch.no_grad():
            net(x)

    return work


def _wake(net: nn.Module, x: Tensor) -> None:
    """Two samples, so that libraries have their own buffers before anything is measured."""
    with torch.no_grad():
        net(x[:2])


def _aged(tool: str, model: nn.Module, data: list[Tensor], ranges: str) -> tuple[nn.Module, Callable[[str], nn.Module]]:
    """A tool's network a day after programming, and the network at an age (programmed anew for the first age)."""
    if tool == "digital":
        return model, lambda age: model
    net = mho_network(model, data, ranges=ranges)
    if tool == "mho":
        held: list[mho.Chip] = [mho.program(net)]

        def at(age: str) -> nn.Module:
            if age == AGES[0]:
                held[0] = mho.program(net, 1)
            return mho.fuse(held[0].at(age), inplace=True)

        return mho.fuse(held[0].at("1 day")), at
    if tool == "lightning":
        converted = lightning_network(model, input_ranges(net), lightning_config(ranges=ranges))
        return converted, lambda age: converted
    config = aihwkit_config(tool.removeprefix("aihwkit-"), ranges=ranges)
    analog: Any = aihwkit_network(model, input_ranges(net), config)
    analog.program_analog_weights()
    analog.drift_analog_weights(seconds("1 day"))

    def drifted(age: str) -> nn.Module:
        if age == AGES[0]:
            analog.program_analog_weights()
        analog.drift_analog_weights(seconds(age))
        return analog

    return analog, drifted


def _step(tool: str, ranges: str, calibration: int) -> Work:
    """One step of hardware-aware training: forward, backward, SGD with momentum."""
    model, data = copy.deepcopy(resnet20()), images(128)
    found = {} if tool == "digital" else input_ranges(mho_network(model, [data.inputs[:calibration]], ranges=ranges))
    options = {"lr": 1e-4, "momentum": 0.9}
    if tool == "digital":
        net: nn.Module = model
        optimizer = torch.optim.SGD(net.parameters(), **options)
    elif tool == "mho":
        net = mho_network(model, [data.inputs[:calibration]], ranges=ranges)
        optimizer = torch.optim.SGD(net.parameters(), **options)
    elif tool == "lightning":
        net = lightning_network(model, found, lightning_config(training=True, ranges=ranges))
        analog = peer("aihwkit_lightning.optim").AnalogOptimizer
        optimizer = analog(torch.optim.SGD, net.analog_layers, net.parameters(), **options)
    else:
        config = aihwkit_config(tool.removeprefix("aihwkit-"), training=True, ranges=ranges)
        net = aihwkit_network(model, found, config)
        optimizer = peer("aihwkit.optim").AnalogSGD(net.parameters(), **options)
        optimizer.regroup_param_groups(net)
    _wake(net, data.inputs)
    net.train()

    weights = [p for p in net.parameters() if p.dim() > 1] if tool == "mho" else []  # the peers add noise themselves

    def work() -> None:
        with torch.no_grad():
            noise = [torch.randn_like(w) * (WEIGHT_NOISE * w.abs().flatten(1).amax(1)).reshape(-1, *[1] * (w.dim() - 1))
                     for w in weights]  # fmt: skip
            for weight, draw in zip(weights, noise, strict=True):
                weight += draw
        optimizer.zero_grad()
        F.cross_entropy(net(data.inputs), data.labels).backward()
        with torch.no_grad():
            for weight, draw in zip(weights, noise, strict=True):
                weight -= draw
        optimizer.step()

    return work


def times(case: str, tools: list[str], rounds: int, samples: int, ranges: str) -> dict[str, Any]:
    """Ratios to the digital network, all tools in turn."""
    work = {tool: setup(case, tool, samples, ranges) for tool in tools}
    if case != "drift":  # its first age would be a fifth of the work
        for tool in tools:
            for piece in work[tool].values():
                piece()
    wall: dict[str, list[float]] = {tool: [] for tool in tools}
    cpu: dict[str, list[float]] = {tool: [] for tool in tools}
    for _ in range(rounds):
        for name in work["digital"]:
            for tool in tools:
                began = time.perf_counter(), time.process_time()
                work[tool][name]()
                wall[tool].append(time.perf_counter() - began[0])
                cpu[tool].append(time.process_time() - began[1])
    answer: dict[str, Any] = {"rounds": rounds, "tools": {}}
    for tool in tools:
        ratios = [a / b for a, b in zip(wall[tool], wall["digital"], strict=True)]
        spent = [a / b for a, b in zip(cpu[tool], cpu["digital"], strict=True)]
        row = {
            "seconds": statistics.median(wall[tool]),
            "ratio": statistics.median(ratios),
            "quartiles": _quartiles(ratios),
            "cpu_ratio": statistics.median(spent),
            "cpu_quartiles": _quartiles(spent),
        }
        if case == "drift":
            row["study_seconds"] = sum(wall[tool]) / len(wall[tool]) * STUDY
            row["study_cpu_seconds"] = sum(cpu[tool]) / len(cpu[tool]) * STUDY
        answer["tools"][tool] = row
    return answer


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4)[::2] if len(values) > 1 else [values[0], values[0]]


def peak(case: str, tool: str, ranges: str) -> float:
    """MB by which the peak of this process grows during the first piece of work. Linux only."""
    work = next(iter(setup(case, tool, 1000, ranges, calibration=2).values()))
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident now
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 1024


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def _fresh_peak(case: str, tool: str, ranges: str) -> float:
    call = [sys.executable, __file__, "--case", case, "--ranges", ranges, "--peak", tool]
    return float(subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()[-1])


def installed(tools: list[str]) -> list[str]:
    """Those that work here; the others are named."""
    found = []
    for tool in tools:
        try:
            if tool.startswith("aihwkit"):
                config = aihwkit_config(tool.removeprefix("aihwkit-"))
                peer("aihwkit.nn").AnalogLinear(
                    2, 2, rpu_config=config
                )  # wheels' compiled tile may not suit this torch
            elif tool == "lightning":
                peer("aihwkit_lightning.nn")
            found.append(tool)
        except (SystemExit, RuntimeError) as error:
            print(f"left out: {tool} ({error})", file=sys.stderr)
    return found


def tell_openblas() -> None:
    """AIHWKit's compiled tile computes with OpenBLAS, whose older versions take a new processor for one from 2004 and are
    several times slower for it: name the right kernels unless the caller does. Before OpenBLAS is loaded."""
    flags = next((line for line in _cpuinfo() if line.startswith("flags")), "").split()
    core = "SKYLAKEX" if "avx512vl" in flags else "HASWELL" if "avx2" in flags else None
    if core is not None:
        os.environ.setdefault("OPENBLAS_CORETYPE", core)


def versions() -> dict[str, str]:
    """What was measured, and where."""
    answer = {"python": platform.python_version(), "processor": _processor(), "threads": str(torch.get_num_threads())}
    for name in ("OPENBLAS_CORETYPE", "MALLOC_MMAP_MAX_"):
        if name in os.environ:
            answer[name] = os.environ[name]
    for name in ("torch", "mho", "aihwkit", "aihwkit-lightning"):
        try:
            answer[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return answer


def _processor() -> str:
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _cpuinfo() -> list[str]:
    info = Path("/proc/cpuinfo")
    return info.read_text().splitlines() if info.exists() else []


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=tuple(ROUNDS), action="append", help="all of them unless given")
    parser.add_argument("--tools", nargs="+", choices=TOOLS[1:], default=list(TOOLS[1:]))
    parser.add_argument("--rounds", type=int, help="instead of each case's own number")
    parser.add_argument("--samples", type=int, default=1000, help="images of the drift study")
    parser.add_argument(
        "--ranges", choices=RANGES, default="calibrated", help="where the DACs' ranges come from: `configs.py`"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--only", choices=("time", "memory"), help="both unless given; memory does not need a quiet machine"
    )
    parser.add_argument("--out", type=Path, help="results/speed-RANGES-THREADS.json unless given")
    parser.add_argument("--peak", choices=TOOLS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tell_openblas()
    if given.peak:
        print(peak(given.case[0], given.peak, given.ranges))
        return
    out = given.out or RESULTS / f"speed-{given.ranges}-{given.threads}.json"
    tools = ["digital", *installed([tool for tool in given.tools if given.ranges != "default" or tool != "lightning"])]
    answer = json.loads(out.read_text()) if out.exists() else {"ranges": given.ranges, "cases": {}}
    answer["versions"] = versions()
    for case in given.case or list(ROUNDS):
        here = [tool for tool in tools if case != "drift" or tool != "lightning"]
        print(case, file=sys.stderr, flush=True)
        row = answer["cases"].get(case, {"tools": {}})
        if given.only != "memory":
            before = row["tools"]
            row = times(case, here, given.rounds or ROUNDS[case], given.samples, given.ranges)
            for tool, held in row["tools"].items():
                held.update({k: v for k, v in before.get(tool, {}).items() if k == "peak_mb"})
            row["samples"] = given.samples if case == "drift" else None
        for tool in here if given.only != "time" and case in ("forward", "step") else ():
            row["tools"].setdefault(tool, {})["peak_mb"] = _fresh_peak(case, tool, given.ranges)
        answer["cases"][case] = row
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(answer, indent=1) + "\n")
    print(out)


if __name__ == "__main__":
    main()

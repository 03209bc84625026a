"""Compute-in-memory products against the digital forward: ResNet-20 on CIFAR images, batch 100, one thread.

    OMP_NUM_THREADS=1 python benchmarks/cim.py [rounds] [case ...]    # writes benchmarks/cim.json, prints the table

Digital and analog runs follow each other, in turns. Ratios are of neighbouring runs: median and quartiles. The floor is what the
products take alone: as many convolutions (and linear layers) as there are lossy products, by torch, without anything
between them.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import mho
from mho.hardware import Hardware
from mho.models.resnet_cifar import CifarResNet

SLICES = {"kind": "bit_sliced", "bits": 8, "cell_bits": 4, "sign": "pair"}
CASES: dict[str, tuple[int, float, dict[str, Any]]] = {
    "variation alone": (
        1, 1.3, {"dac": {"bits": None}, "adc": {"bits": None}, "variations": [{"sigma": 0.1, "relative_to": "ideal"}]}
    ),
    "8-bit inputs, lossless ADC": (1, 1.3, {"dac": {"bits": 8}, "adc": {"bits": None}}),
    "multi-level inputs, 6-bit ADC": (2, 6.0, {"dac": {"bits": 8}, "adc": {"bits": 6}}),
    "the same with output noise": (2, 6.0, {"dac": {"bits": 8}, "adc": {"bits": 6}, "noise": {"output": 0.05}}),
    "4-bit input slices, 6-bit ADC": (4, 4.8, {"dac": {"bits": 8, "slice_bits": 4}, "adc": {"bits": 6}}),
    "1-bit input slices, 6-bit ADC": (14, 16.8, {"dac": {"bits": 8, "slice_bits": 1}, "adc": {"bits": 6}}),
}  # fmt: skip
"""Lossy products of each layer (slices of the weight × slices of the input), goal, and settings."""


def main(rounds: int = 9, names: list[str] | None = None) -> None:
    torch.manual_seed(0)
    x = torch.randn(100, 3, 32, 32).to(memory_format=torch.channels_last)
    model = CifarResNet(20).eval().to(memory_format=torch.channels_last)
    place, found = Path(__file__).with_suffix(".json"), {}
    if place.exists():
        found = json.loads(place.read_text())
    with torch.no_grad():
        alone = products(model, x)
        for name, (count, goal, settings) in CASES.items():
            if names and name not in names:
                continue
            hw = Hardware.preset("ideal", encoding=SLICES, array={"rows": 128}, cell={"kind": "ideal", "g_min_us": 0.1},
                                 **settings)  # fmt: skip
            net = mho.calibrate(mho.to_analog(model, hw, example=x[:2]), [x[:20]])
            chip = mho.fuse(mho.program(net).at(0.0))
            runs: list[list[float]] = [[], [], []]
            for run in (model, chip):
                run(x)
            turns: list[Callable[[], Any]] = [partial(model, x), partial(chip, x), alone]
            for _ in range(rounds):
                for times, turn in zip(runs, turns, strict=True):
                    times.append(seconds(turn))
            digital, analog, bare = runs
            rest = statistics.median(digital) - statistics.median(bare)
            floor = (count * statistics.median(bare) + rest) / statistics.median(digital)
            ratios = [a / d for a, d in zip(analog, digital, strict=True)]
            found[name] = {"products": count, "goal": goal, "digital_ms": 1e3 * statistics.median(digital),
                           "analog_ms": 1e3 * statistics.median(analog), "quartiles": statistics.quantiles(ratios, n=4),
                           "floor": floor, "rounds": rounds}  # fmt: skip
            print(row(name, found[name]), flush=True)
    place.write_text(json.dumps(found, indent=1) + "\n")


def row(name: str, case: dict[str, Any]) -> str:
    """A line of the table."""
    low, middle, high = case["quartiles"]
    ratio = f"{middle:.2f} [{low:.2f}, {high:.2f}]"
    return f"| {name} | {case['products']} | {case['digital_ms']:.0f} | {ratio} | ≤ {case['goal']:g} | {case['floor']:.2f} |"


def seconds(run: Callable[[], Any]) -> float:
    """Processor time of this process."""
    start = time.process_time()
    run()
    return time.process_time() - start


def products(model: nn.Module, x: Tensor) -> Callable[[], None]:
    """Runs the network's products alone, on the inputs that they have in it."""
    seen: list[tuple[nn.Module, Tensor]] = []
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [m.register_forward_pre_hook(lambda m, given: seen.append((m, given[0]))) for m in layers]
    model(x)
    for handle in handles:
        handle.remove()

    def run() -> None:
        for layer, given in seen:
            layer(given)

    return run


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 9, given[1:])

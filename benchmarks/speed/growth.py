"""How the cost grows: the slope of log time over log size, measured and expected, digital beside analog."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cases import standard
from torch import nn

import mho
from mho.models.resnet_cifar import CifarResNet

ROUNDS = 7


def rows(say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One row a quantity, in JSON's types; random weights, seed 0, one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = []
    for name, (sizes, expected, why, make) in _quantities().items():
        say(f"growth with {name}")
        runs = [make(size) for size in sizes]
        seconds: list[list[tuple[float, float]]] = [[] for _ in sizes]
        for _ in range(ROUNDS):
            for i, (digital, analog) in enumerate(runs):
                seconds[i].append((_seconds(digital), _seconds(analog)))
        digital_s, analog_s = ([statistics.median(r[k] for r in rounds) for rounds in seconds] for k in (0, 1))
        found.append({
            "quantity": name, "sizes": sizes, "digital_ms": [1e3 * t for t in digital_s],
            "analog_ms": [1e3 * t for t in analog_s], "expected_slope": expected, "why": why,
            "digital_slope": _slope(sizes, digital_s), "analog_slope": _slope(sizes, analog_s),
        })  # fmt: skip
    return found


Run = Callable[[], Any]


def _quantities() -> dict[str, tuple[list[int], float, str, Callable[[int], tuple[Run, Run]]]]:
    return {
        "images": ([25, 50, 100, 200], 1, "every image is computed", lambda n: _network(images=n)),
        "depth": ([20, 32, 56], 1, "every block costs alike", lambda n: _network(depth=n)),
        "width": ([16, 32, 64], 1.5, "between 1 (passes) and 2 (multiply-adds)", _wide),
        "array rows": ([64, 128, 256, 512], -0.5, "between 0 (products) and -1 (one conversion a row block)",
                       lambda n: _network(array__rows=n)),
        "bits": ([2, 4, 8], 0, "codes are numbers, whatever their count",
                 lambda n: _network(dac__bits=n, adc__bits=n)),
        "chips": ([1, 2, 4], 1, "each is programmed and read", lambda n: _study(chips=n)),
        "ages": ([1, 2, 4], 1, "each is read; programming is shared", lambda n: _study(ages=n)),
    }  # fmt: skip


def _network(images: int = 50, depth: int = 20, **hardware: Any) -> tuple[Run, Run]:
    model, x = CifarResNet(depth).eval(), torch.randn(images, 3, 32, 32)
    return _pair(model, x, standard().replace(**hardware))


def _wide(channels: int) -> tuple[Run, Run]:
    layers = [nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()) for _ in range(4)]
    return _pair(nn.Sequential(*layers).eval(), torch.randn(20, channels, 32, 32), standard())


def _pair(model: nn.Module, x: torch.Tensor, hw: mho.Hardware) -> tuple[Run, Run]:
    chip = mho.program(mho.calibrate(mho.to_analog(model, hw), [x])).at("1 day")
    return lambda: _evaluate(model, x), lambda: _evaluate(chip, x)


def _study(chips: int = 1, ages: int = 1) -> tuple[Run, Run]:
    model, x = CifarResNet(20).eval(), torch.randn(50, 3, 32, 32)
    net = mho.calibrate(mho.to_analog(model, standard()), [x])

    def analog() -> None:
        for index in range(chips):
            chip = mho.program(net, chip=index)
            for age in range(ages):
                _evaluate(chip.at(3600.0 * 10**age), x)

    return lambda: [_evaluate(model, x) for _ in range(chips * ages)], analog


def _evaluate(model: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        model(x)


def _seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _slope(sizes: list[int], seconds: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])

"""A drift study of ResNet-20: chips × ages × 1,000 images, against as many digital evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from cases import standard

import mho
from mho.data import load
from mho.measure.evaluate import TestData, measure
from mho.models import published

AGES = ("1 h", "1 day", "1 month", "6 months", "1 year")


def row(chips: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Digital and analog evaluations chip by chip in turn, on one thread; seconds."""
    torch.set_num_threads(1)
    model, info = published("cifar10_resnet20")
    data = TestData.of(load(f"{info.data}&n=1000"))
    net = mho.calibrate(mho.to_analog(model, standard()), [x for x, _ in data.batches][:1])
    digital, programming, ageing, analog = [], [], [], []
    for chip in range(-1, chips):  # the first one warms up
        say(f"drift study, chip {chip + 1} of {chips}")
        start = time.perf_counter()
        for _ in AGES:
            measure(model, data, chip=-1, age_s=0.0, address=("digital",))
        digital.append(time.perf_counter() - start)
        start = time.perf_counter()
        programmed = mho.program(net, chip=chip + 1)
        programming.append(time.perf_counter() - start)
        spent = {"ageing": 0.0, "analog": 0.0}
        for age in AGES:
            start = time.perf_counter()
            aged = programmed.at(age)
            spent["ageing"] += time.perf_counter() - start
            start = time.perf_counter()
            measure(aged, data, chip=chip, age_s=1.0, address=("read", 0, chip + 1))
            spent["analog"] += time.perf_counter() - start
        ageing.append(spent["ageing"])
        analog.append(spent["analog"])
    sums = {k: sum(v[1:]) for k, v in
            {"digital": digital, "programming": programming, "ageing": ageing, "evaluating": analog}.items()}  # fmt: skip
    study = sums["programming"] + sums["ageing"] + sums["evaluating"]
    return {
        "chips": chips, "ages": list(AGES), "images": 1000, "evaluations": chips * len(AGES),
        **{f"{k}_s": v for k, v in sums.items()},
        "ratio": study / sums["digital"],
        "ratios_by_chip": [(p + a + e) / d for p, a, e, d in list(zip(programming, ageing, analog, digital, strict=True))[1:]],
        "share_of_programming_and_ageing": (sums["programming"] + sums["ageing"]) / study,
    }  # fmt: skip

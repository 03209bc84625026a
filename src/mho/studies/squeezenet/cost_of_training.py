"""Time and memory of the original's network at 224 × 224: a pass and a training step, digital and on arrays."""

from __future__ import annotations

import resource
import statistics
from typing import Any

import torch
from torch import nn

import mho
from mho.models import squeezenet_vww
from mho.studies.cost import in_fresh_process, seconds_of
from mho.tasks import Task
from mho.training import HWA

BATCH = 32
_REPEATS = 5


def cost_of(size: int = 224, batch: int = BATCH, repeats: int = _REPEATS) -> list[dict[str, Any]]:
    """One row for each of a digital network, arrays as the original had them, and 'pcm-cells' with both noises.

    Each stands in a process of its own on one thread: milliseconds of a forward pass in evaluation (on a chip a day old, for
    arrays) and of a training step, medians; and by how many MB each raises the peak of the resident set.

    Args:
        size: Side of the images.
        batch: Images at a time.
        repeats: Of the timing.
    """
    rows = []
    for name in ("digital", "squeezenet-2022", "pcm-cells"):
        found: dict[str, Any] = {"network": f"squeezenet_vww at {size}", "hardware": name, "batch": batch}
        for work in ("pass", "step"):
            ms, mb = in_fresh_process(_measured, name, work, size, batch, repeats)
            found |= {f"{work}_ms": round(ms, 1), f"{work}_mb": round(mb, 1)}
        rows.append(found)
    return rows


def _measured(hardware: str, work: str, size: int, batch: int, repeats: int) -> tuple[float, float]:
    """Milliseconds, and MB of the first time."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net: nn.Module = squeezenet_vww(size=size, sigmoid=False)
    x, y = torch.randn(batch, 3, size, size), torch.arange(batch) % 2
    if hardware != "digital":
        noise = {"noise.weight": 0.03, "noise.output": 0.03}
        net = mho.to_analog(net, mho.Hardware.preset(hardware, **noise), example=x[:2])
        mho.calibrate(net, [x[:2]])  # few: what this needs is not to hide what a pass needs
    if work == "pass":
        net = net.eval() if hardware == "digital" else mho.program(net).at("1 day")
        small, whole = (lambda: _forward(net, x[:2])), (lambda: _forward(net, x))
    else:
        net.train()
        session = None if hardware == "digital" else HWA().attach(net, steps=repeats + 2)
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)

        def step(images: torch.Tensor) -> None:
            optimizer.zero_grad()
            Task.of("logit").loss(net(images), y[: len(images)]).backward()
            optimizer.step()
            if session is not None:
                session.step()

        small, whole = (lambda: step(x[:2])), (lambda: step(x))
    small()  # what is built or loaded at first use
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return 1e3 * statistics.median(seconds_of(whole) for _ in range(repeats)), grown


def _forward(net: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        net(x)

"""A slow-down is seen: ratios to the digital network that survive a busy machine; `benchmarks/` has the careful ones.

Both networks run in turn, in CPU time of this process, which others do not lengthen; the smallest of several ratios of
medians counts, and the limits are generous. What has no business with time is counted: passes over the activations.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import mho
from mho.kernels.cpu_library import library
from mho.models.resnet_cifar import CifarResNet
from mho.training import Gaussian

compiled = pytest.mark.skipif(
    library() is None, reason="no C++ compiler here: only the plain kernels, which are slower"
)
ATTEMPTS = 6
STANDARD = mho.Hardware.of("pcm").replace(noise__output=0.04, adc__range="fixed", adc__bound=10.0)
HWA = mho.Hardware.of("hwa-standard")
both = pytest.mark.parametrize("kind", ["standard", "hwa"])
PRESETS = {"standard": STANDARD, "hwa": HWA}


def within(limit: float, digital: Callable[[], Any], analog: Callable[[], Any], rounds: int = 7) -> None:
    """One of a few attempts finds the ratio of the median times below the limit: chance makes it larger, hardly ever smaller."""
    found = []
    for run in (digital, analog):
        run()
    for _ in range(ATTEMPTS):
        spent: list[list[float]] = [[], []]
        for _ in range(rounds):
            for run, seconds in zip((digital, analog), spent, strict=True):
                start = time.process_time()
                run()
                seconds.append(time.process_time() - start)
        found.append(statistics.median(spent[1]) / statistics.median(spent[0]))
        if found[-1] < limit:
            return
    pytest.fail(f"ratios {', '.join(f'{ratio:.2f}' for ratio in found)}, none below {limit:g}")


@compiled
@both
def test_evaluation(kind):
    model, x = CifarResNet(20).eval(), torch.randn(20, 3, 32, 32)
    chip = mho.program(mho.calibrate(mho.to_analog(model, PRESETS[kind]), [x])).at("1 day")
    with torch.no_grad():
        within({"standard": 2.0, "hwa": 5.5}[kind], lambda: model(x), lambda: chip(x))


@compiled
@pytest.mark.parametrize("preset", ["abs_max", "aihwkit-default"])
def test_vectors_with_ranges_of_their_own(preset):
    model, x = CifarResNet(20).eval(), torch.randn(20, 3, 32, 32)
    hw = STANDARD.replace(dac__range="abs_max") if preset == "abs_max" else mho.Hardware.of(preset)
    chip = mho.program(mho.to_analog(model, hw)).at("1 day")
    with torch.no_grad():
        within(2.7, lambda: model(x), lambda: chip(x))


@compiled
def test_a_linear_layer():
    model, x = nn.Linear(512, 512), torch.randn(256, 512)
    chip = mho.program(mho.calibrate(mho.to_analog(nn.Sequential(model), STANDARD), [x])).at("1 day")
    with torch.no_grad():
        within(2.5, lambda: model(x), lambda: chip(x), rounds=51)


@compiled
@both
def test_training(kind):
    model, x = CifarResNet(20).train(), torch.randn(20, 3, 32, 32)
    net = mho.calibrate(mho.to_analog(model, PRESETS[kind]), [x]).train()
    session = mho.HWA(weights=Gaussian(sigma=0.05)).attach(net, steps=1)
    y = torch.randint(0, 10, (20,))

    def step(m: nn.Module) -> None:
        m.zero_grad()
        F.cross_entropy(m(x), y).backward()
        if m is net:
            session.step()

    within({"standard": 2.5, "hwa": 4.0}[kind], lambda: step(model), lambda: step(net), rounds=5)


@compiled
def test_programming_and_ageing_cost_less_than_a_few_evaluations():
    model, x = CifarResNet(20).eval(), torch.randn(20, 3, 32, 32)
    net = mho.calibrate(mho.to_analog(model, STANDARD), [x])
    with torch.no_grad():
        within(2.0, lambda: [model(x) for _ in range(5)], lambda: mho.program(net).at("1 day"), rounds=3)


class _Seen(TorchDispatchMode):
    """Counts torch's convolutions, and keeps the size of the largest tensor that any operator makes."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions, self.largest = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.convolutions += "convolution" in func.__name__
        for made in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(made, torch.Tensor):
                self.largest = max(self.largest, made.numel())
        return out


@pytest.mark.parametrize("rows", [512, 144])
@both
def test_a_row_block_is_one_convolution_and_nothing_is_unfolded(kind, rows):
    """A chip multiplies once for each of its row blocks (`hwa`: three times more, for IR drop and the noise of weights), and no
    operator makes a larger tensor than the digital network's largest."""
    model, x = CifarResNet(20).eval(), torch.randn(4, 3, 32, 32)
    hw = PRESETS[kind].replace(array__rows=rows)
    chip = mho.program(mho.calibrate(mho.to_analog(model, hw), [x])).at("1 day")
    with torch.no_grad():
        with _Seen() as digital:
            model(x)
        with _Seen() as analog:
            chip(x)
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    blocks = [-(-layer.in_channels // (rows // layer.weight[0, 0].numel())) for layer in convolutions]
    assert digital.convolutions == len(convolutions) < sum(blocks)
    assert sum(blocks) <= analog.convolutions <= sum(blocks) * {"standard": 1, "hwa": 4}[kind]
    assert analog.largest == digital.largest

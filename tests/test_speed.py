"""A slow-down is seen: ratios to the digital network with generous limits; `benchmarks/` has the careful ones."""

from __future__ import annotations

import statistics
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.kernels.cpu_library import library
from mho.models.resnet_cifar import CifarResNet
from mho.training import Gaussian

pytestmark = pytest.mark.skipif(
    library() is None, reason="no C++ compiler here: only the plain kernels, which are slower"
)

STANDARD = mho.Hardware.of("pcm").replace(noise__output=0.04, adc__range="fixed", adc__bound=10.0)


def _ratio(digital, analog, rounds=7) -> float:
    """Smallest ratio of medians in three attempts: a busy machine makes a ratio larger, hardly ever smaller."""
    found = []
    for run in (digital, analog):
        run()
    for _ in range(3):
        spent: list[list[float]] = [[], []]
        for _ in range(rounds):
            for run, seconds in zip((digital, analog), spent, strict=True):
                start = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - start)
        found.append(statistics.median(spent[1]) / statistics.median(spent[0]))
    return min(found)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("preset", "limit"), [(STANDARD, 2.0), (mho.Hardware.of("hwa-standard"), 5.5)], ids=["standard", "hwa"]
)
def test_evaluation(preset, limit):
    model, x = CifarResNet(20).eval(), torch.randn(20, 3, 32, 32)
    chip = mho.program(mho.calibrate(mho.to_analog(model, preset), [x])).at("1 day")
    with torch.no_grad():
        assert _ratio(lambda: model(x), lambda: chip(x)) < limit


def test_a_linear_layer():
    model, x = nn.Linear(512, 512), torch.randn(256, 512)
    chip = mho.program(mho.calibrate(mho.to_analog(nn.Sequential(model), STANDARD), [x])).at("1 day")
    with torch.no_grad():
        assert _ratio(lambda: model(x), lambda: chip(x), rounds=51) < 2.5


@pytest.mark.parametrize(
    ("preset", "limit"), [(STANDARD, 2.5), (mho.Hardware.of("hwa-standard"), 4.0)], ids=["standard", "hwa"]
)
def test_training(preset, limit):
    model, x = CifarResNet(20).train(), torch.randn(20, 3, 32, 32)
    net = mho.calibrate(mho.to_analog(model, preset), [x]).train()
    session = mho.HWA(weights=Gaussian(sigma=0.05)).attach(net, steps=1)
    y = torch.randint(0, 10, (20,))

    def step(m):
        m.zero_grad()
        F.cross_entropy(m(x), y).backward()
        if m is net:
            session.step()

    assert _ratio(lambda: step(model), lambda: step(net), rounds=5) < limit


def test_programming_and_ageing_cost_less_than_an_evaluation():
    model, x = CifarResNet(20).eval(), torch.randn(20, 3, 32, 32)
    net = mho.calibrate(mho.to_analog(model, STANDARD), [x])
    with torch.no_grad():
        assert _ratio(lambda: [model(x) for _ in range(5)], lambda: mho.program(net).at("1 day"), rounds=3) < 2.0

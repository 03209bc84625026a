"""The measured chips: every answer of every chip at every age, kept as the rows of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mho
from mho.data import load
from mho.models import published
from mho.rng import Stream

ARMS = ("pcm-cells", "pcm")
"""Presets: without output noise, and with one of 0.04."""
NETWORK, DATA, NAME = "cifar10_resnet20", "cifar10?prep=imagenet&n=1000", "ResNet-20"
COMMAND = "python benchmarks/time_to_answer/run.py table"


def network(arm: str) -> tuple[torch.nn.Module, Any]:
    """The converted network of an arm, and the test images."""
    model, _ = published(NETWORK)
    test = load(DATA)
    net = mho.to_analog(model, arm, example=test.inputs[:2])
    return mho.calibrate(net, load(f"{DATA}&split=train")), test


def measure(folder: Path, chips: int) -> None:
    """Measure the chips that are missing, ten of each arm in turn, and the digital margins of the images."""
    nets = {arm: network(arm) for arm in ARMS}
    for some in range(10, chips + 1, 10):
        for arm, (net, test) in nets.items():
            mho.drift(net, test, chips=some, out=folder / arm, name=NAME, command=COMMAND)
    for arm in ARMS:
        np.save(folder / arm / "margin.npy", _margin())


def negated(folder: Path, chips: int) -> None:
    """The same chips of the first arm with every normal draw of programming, drift and reading negated."""
    arm = ARMS[0]
    net, test = network(arm)
    with _negated_draws():
        name = f"{NAME}, every normal draw negated"
        mho.drift(net, test, chips=chips, out=folder / f"{arm}-negated", name=name, command=COMMAND)


def _margin() -> np.ndarray:
    """Score of the right class less the best other one, by the digital network."""
    model, _ = published(NETWORK)
    with torch.no_grad():
        scores = torch.cat([model.eval()(x) for x, _ in load(DATA)])
    labels = load(DATA).labels[:, None]
    right = scores.gather(1, labels)[:, 0]
    return (right - scores.scatter(1, labels, -torch.inf).amax(1)).numpy().astype(np.float16)


@contextmanager
def _negated_draws() -> Iterator[None]:
    draw = Stream.normal
    Stream.normal = lambda *arguments, **more: -draw(*arguments, **more)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Stream.normal = draw  # type: ignore[method-assign]

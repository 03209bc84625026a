"""How much time skipping saves: a network with exits, samples leaving at the first, and one whose samples drop blocks, each
beside the same network computed whole.

python benchmarks/skipping.py [--depth 20] [--images 256] [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

import mho
from mho.blocks import drop, random_keep
from mho.exits import Early, Entropy, decide, observe
from mho.models import resnet_drop, resnet_exits
from mho.models.block_drop import BlockDrop
from mho.models.multi_exit import MultiExit

Case = tuple[str, float, Callable[[], Any]]
"""What is skipped, share of the multiply-accumulates, and how it is computed."""


def main() -> None:
    """Prints a line for each share of what is skipped: multiply-accumulates and time, as shares of the whole network's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randn(asked.images, 3, 32, 32)
    labels = torch.zeros(asked.images, dtype=torch.long)
    subjects: list[tuple[nn.Module, Callable[..., Iterator[Case]]]] = [
        (resnet_exits(depth=asked.depth), _leaving), (resnet_drop(depth=asked.depth), _dropping)
    ]  # fmt: skip
    for net, cases in subjects:
        hw = mho.Hardware.preset("pcm-cells", digital=["policy"] if isinstance(net, BlockDrop) else [])
        analog = mho.calibrate(mho.to_analog(net.eval(), hw, example=images[:2]), [(images[:64], labels[:64])])
        chip = mho.fuse(mho.program(analog, seed=0).at("1 day"))
        for name, used in (("digital", net), ("programmed chip", chip)):
            assert isinstance(used, MultiExit | BlockDrop)
            whole = partial(used.backbone().forward, images)
            for what, macs, call in cases(used, images, labels):
                ratio = _ratio(call, whole, asked.rounds)
                print(
                    f"{name:16} {what}: {100 * macs:5.1f} % of the multiply-accumulates, {100 * ratio:5.1f} % of the time"
                )


def _leaving(net: MultiExit, images: torch.Tensor, labels: torch.Tensor) -> Iterator[Case]:
    """Exits by entropy, for shares of the samples that leave at the first."""
    answers = observe(net, [(images, labels)])
    doubt = Entropy.doubt(answers.scores[:, 0].double()).sort().values
    for share in (0.0, 0.25, 0.5, 0.75, 0.9):
        rule = Entropy((float(doubt[int(share * len(doubt))]), 0.0))
        decided = decide(answers, rule)
        left = f"{100 * decided.shares['exit1']:5.1f} % leave at exit 1"
        yield left, decided.macs_share, partial(Early(net, rule), images)


def _dropping(net: BlockDrop, images: torch.Tensor, labels: torch.Tensor) -> Iterator[Case]:
    """Blocks drawn for each sample, as many for all; the policy is computed beside them."""
    blocks = len(net.droppable)

    def call(keep: torch.Tensor) -> None:
        net.keeps(images)
        net.under(images, keep)

    for share in (1.0, 0.75, 0.5, 0.25):
        keep = random_keep(torch.full((len(images),), round(share * blocks)), blocks)
        found = drop(net, [(images, labels)], keep)
        macs = float(found.macs.of(keep).mean()) / found.macs.full
        yield f"{round(share * blocks)} of {blocks} blocks and a policy", macs, partial(call, keep)


@torch.no_grad()
def _ratio(one: Callable[[], Any], other: Callable[[], Any], rounds: int) -> float:
    """Median of the ratios of times, in turn."""
    found = []
    for _ in range(rounds + 1):
        times = []
        for call in (one, other):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        found.append(times[0] / times[1])
    return statistics.median(found[1:])


if __name__ == "__main__":
    main()

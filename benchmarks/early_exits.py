"""How much time skipping saves: a network with exits on images, all of them computed to the end, or as far as a rule asks.

python benchmarks/early_exits.py [--network resnet_exits] [--images 256] [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

import mho
from mho.exits import Early, Entropy, decide, observe
from mho.models import resolve
from mho.models.multi_exit import MultiExit


def main() -> None:
    """Prints a line for each share of samples that leave at the first exit: multiply-accumulates and time, beside all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet_exits")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    torch.manual_seed(0)
    net = resolve(asked.network)
    assert isinstance(net, MultiExit)
    images = torch.randn(asked.images, 3, 32, 32)
    labels = torch.zeros(asked.images, dtype=torch.long)
    analog = mho.calibrate(mho.to_analog(net, "pcm-cells", example=images[:2]), [(images[:64], labels[:64])])
    for name, used in (("digital", net), ("programmed chip", mho.program(analog, seed=0).at("1 day"))):
        assert isinstance(used, MultiExit)
        answers = observe(used, [(images, labels)])
        doubt = Entropy.doubt(answers.scores[:, 0].double()).sort().values
        backbone = used.backbone()
        for share in (0.0, 0.25, 0.5, 0.75, 0.9):
            rule = Entropy((float(doubt[int(share * len(doubt))]), 0.0))
            fast = Early(used, rule)
            ratio = _ratio(partial(fast, images), partial(backbone.forward, images), asked.rounds)
            decided = decide(answers, rule)
            macs = f"{100 * decided.macs_share:5.1f} % of the multiply-accumulates"
            print(
                f"{name:16} {100 * decided.shares['exit1']:5.1f} % leave at exit 1: {macs}, {100 * ratio:5.1f} % of the time"
            )


@torch.no_grad()
def _ratio(one: Callable[[], object], other: Callable[[], object], rounds: int) -> float:
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

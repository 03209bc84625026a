"""What an evaluation under noise on stored tensors costs beside the digital one: `python benchmarks/perturbation.py`.

Both in turn in one process: `mho.perturb` with one draw a size (so that every pass has a draw), and a loop of plain torch
over the same batches; the median and quartiles of the ratios of neighbouring runs, a pass.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import mho
from mho.models import resnet20

IMAGES, BATCH, SIZES = 400, 100, (0.05, 0.1, 0.2)


@torch.no_grad()
def loop(net: torch.nn.Module, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    return sum(int((net(x).argmax(1) == y).sum()) for x, y in batches) / IMAGES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    net = resnet20().eval()
    images = torch.randn(IMAGES, 3, 32, 32)
    batches = list(zip(images.split(BATCH), (torch.arange(IMAGES) % 10).split(BATCH), strict=True))
    ratios, passes = [], len(SIZES) + 1
    loop(net, batches)
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(passes):
            loop(net, batches)
        middle = time.perf_counter()
        mho.perturb(net, batches, etas=SIZES, draws=1)
        ratios.append((time.perf_counter() - middle) / (middle - start))
    low, middle, high = statistics.quantiles(ratios, n=4)
    shown, threads = f"{middle:.3f} [{low:.3f}, {high:.3f}]", torch.get_num_threads()
    print(f"ResNet-20, {IMAGES} images, {threads} threads: {shown} times the digital pass")


if __name__ == "__main__":
    main()

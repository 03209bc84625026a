"""Two ways to read several chips: one after the other, or as the groups of one convolution. Prints milliseconds."""

from __future__ import annotations

import statistics
import time

import torch
import torch.nn.functional as F

CHIPS, ROUNDS = 4, 21


def main() -> None:
    """Layers of ResNet-20, 25 images a chip, one thread, in turn."""
    torch.set_num_threads(1)
    print("channels  size  one by one  as groups")
    for channels, size in ((16, 32), (32, 16), (64, 8)):
        x = torch.randn(25, CHIPS * channels, size, size).contiguous(memory_format=torch.channels_last)
        parts = [p.contiguous(memory_format=torch.channels_last) for p in x.chunk(CHIPS, 1)]
        weights = [torch.randn(channels, channels, 3, 3) for _ in range(CHIPS)]
        stacked = torch.cat(weights)
        spent: list[list[float]] = [[], []]
        with torch.no_grad():
            for _ in range(ROUNDS):
                start = time.perf_counter()
                for part, weight in zip(parts, weights, strict=True):
                    F.conv2d(part, weight, padding=1)
                middle = time.perf_counter()
                F.conv2d(x, stacked, padding=1, groups=CHIPS)
                spent[0].append(middle - start)
                spent[1].append(time.perf_counter() - middle)
        one, groups = (1e3 * statistics.median(s) for s in spent)
        print(f"{channels:8d}  {size:4d}  {one:10.2f}  {groups:9.2f}")


if __name__ == "__main__":
    main()

"""The passes and ResNet-20 on a CUDA device: `python benchmarks/gpu.py > gpu.json`. Without a device it says so.

For each pass: the time of the Triton kernel and of the reference, and the share of the memory bandwidth that the kernel
reaches: the bytes it must move per second, as a part of what a copy of the same numbers moves. For ResNet-20: the time
of a forward pass and of a training step (forward, backward, SGD) as a multiple of the digital network's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

import mho
from mho.kernels import active, gpu, reference
from mho.models import resnet20

HALF = 127.0


def seconds(work: Callable[[], Any], device: str, repeats: int) -> float:
    """Median time of a call that the device has finished, after three that do not count."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    taken = []
    for _ in range(repeats + 3):
        wait()
        start = time.perf_counter()
        work()
        wait()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[3:])


def passes(device: str, n: int, repeats: int) -> dict[str, Any]:
    """Times of the passes over n numbers, in rows of 64 columns."""
    x = torch.randn(n // 64, 64, device=device)
    short, other, spread, total = x.bfloat16(), torch.empty_like(x), torch.rand_like(x), torch.zeros_like(x)
    reach, factor = torch.tensor(2.0, device=device), torch.ones(64, device=device)
    images = x.view(-1, 16, 32, 32)
    fixed: dict[str, Any] = {"bound": reach, "half_steps": HALF, "shift": torch.zeros_like(factor)}
    noisy = fixed | {"variance": 1e-4}
    planes = {"bound": reach, "half_steps": HALF, "axis": -3}
    cases: dict[str, tuple[float, Callable[[Any], Any]]] = {  # bytes a number must move; the call
        "quantise": (8, lambda k: k.quantise(x, reach, HALF)),
        "quantise, bfloat16": (4, lambda k: k.quantise(short, reach, HALF)),
        "quantise_back": (12, lambda k: k.quantise_back(other, x, reach, HALF)),
        "read_out": (8, lambda k: k.read_out(total, factor, **fixed)),
        "read_out, images": (8, lambda k: k.read_out(images, factor[:16], **planes)),
        "read_out, noise": (8, lambda k: k.read_out(total, factor, **noisy)),
        "read_out, noise of every output": (12, lambda k: k.read_out(total, factor, spread=spread, **noisy)),
        "read_out, noise, sum": (12, lambda k: k.read_out(other, factor, total=total, **noisy)),
        "read_out_kept, noise": (8.125, lambda k: k.read_out_kept(total, factor, **noisy)),
        "read_out_kept, noise, codes": (9.125, lambda k: k.read_out_kept(total, factor, codes=True, **noisy)),
    }
    copy = 8 * x.numel() / seconds(lambda: other.copy_(x), device, repeats)
    found: dict[str, Any] = {"numbers": x.numel(), "copy [GB/s]": copy / 1e9}
    with torch.no_grad():
        for name, (size, call) in cases.items():
            fast, plain = (seconds(lambda k=k, call=call: call(k), device, repeats) for k in (gpu, reference))
            found[name] = {
                "triton [ms]": fast * 1e3, "reference [ms]": plain * 1e3, "speed-up": plain / fast,
                "share of bandwidth": size * x.numel() / fast / copy,
            }  # fmt: skip
    return found


@contextmanager
def only_reference():
    """The dispatcher finds no tensor fit for the Triton kernels."""
    suits, gpu.suits = gpu.suits, lambda *_: False
    try:
        yield
    finally:
        gpu.suits = suits


def networks(device: str, batch: int, repeats: int) -> dict[str, Any]:
    """ResNet-20 with random weights, digital and on two presets."""
    torch.manual_seed(0)
    x, labels = torch.randn(batch, 3, 32, 32, device=device), torch.randint(0, 10, (batch,), device=device)
    digital = resnet20().to(device)

    def forward(net: nn.Module) -> Callable[[], Tensor]:
        @torch.no_grad()
        def work() -> Tensor:
            return net(x)

        return work

    def step(net: nn.Module) -> Callable[[], None]:
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)

        def work() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), labels).backward()
            optimizer.step()

        return work

    base = {"forward": seconds(forward(digital.eval()), device, repeats)}
    base["training step"] = seconds(step(digital.train()), device, repeats)
    found: dict[str, Any] = {"batch": batch, "digital [ms]": {name: 1e3 * t for name, t in base.items()}}
    for preset in ("hwa-standard", "pcm-cells"):
        net = mho.to_analog(resnet20().to(device), mho.Hardware.preset(preset), example=x[:2])
        mho.calibrate(net, [x[:64]])
        chip = mho.program(net, seed=0).at("1 day")
        found[preset] = {}
        for name, work in (("forward", forward(chip.eval())), ("training step", step(net.train()))):
            fast = seconds(work, device, repeats)
            with only_reference():
                plain = seconds(work, device, repeats)
            found[preset][name] = {"triton / digital": fast / base[name], "reference / digital": plain / base[name]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--numbers", type=int, default=1 << 27, help="numbers in a pass (default: 2^27, 0.5 GB)")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=50)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("No CUDA device here: nothing was measured.", file=sys.stderr)
        print(json.dumps({"device": None, "note": "no CUDA device: nothing was measured"}))
        return
    if not gpu.ready():
        raise SystemExit(f"The Triton kernels do not run here: {gpu.active()}")
    device = {"name": torch.cuda.get_device_name(), "torch": torch.__version__, "kernels": active()}
    found = {"device": device, "passes": passes("cuda", options.numbers, options.repeats)}
    found["resnet20"] = networks("cuda", options.batch, options.repeats)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

"""Addressed random streams: every random number has an address, and nothing else decides its value.

An address is (root seed, chip, layer, purpose, …). Its 63-bit key is a BLAKE2b hash, so streams of different
addresses are independent, and results depend neither on the order of evaluation nor on workers or threads.

Frozen draws (programming, drift exponents, faults) are made on the CPU by a generator of their own and moved to
where they are needed, so that a chip is the same on every device. Fluctuations of single products come from torch's
default generator, which `reads` seeds from an address for the duration of a batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


def key(*address: int | str) -> int:
    """63-bit key of an address; parts are typed, so ``("1",)`` and ``(1,)`` differ."""
    parts = []
    for part in address:
        parts.append(f"{type(part).__name__}:{part}")
    return int.from_bytes(hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "little") >> 1


@dataclass(frozen=True)
class Stream:
    """Draws at an address. ``stream / "layer1.conv"`` is the address one level below, ``stream / ("read", 0)`` two.

    Example:
        >>> a = Stream((0, "chip", 3)) / "conv1"
        >>> bool((a.normal("programming", (4,)) == a.normal("programming", (4,))).all())
        True
    """

    address: tuple[int | str, ...]

    def __truediv__(self, part: int | str | tuple[int | str, ...]) -> Stream:
        return Stream((*self.address, *part) if isinstance(part, tuple) else (*self.address, part))

    def normal(self, purpose: str, shape: Sequence[int], like: Tensor | None = None) -> Tensor:
        """Standard normal numbers, float32 (then converted to the dtype and device of `like`)."""
        draw = torch.randn(tuple(shape), generator=torch.Generator().manual_seed(key(*self.address, purpose)))
        return draw if like is None else draw.to(like)

    def uniform(self, purpose: str, shape: Sequence[int], like: Tensor | None = None) -> Tensor:
        """Numbers uniform in [0, 1), float32 (then converted to the dtype and device of `like`)."""
        draw = torch.rand(tuple(shape), generator=torch.Generator().manual_seed(key(*self.address, purpose)))
        return draw if like is None else draw.to(like)


@contextmanager
def reads(*address: int | str) -> Iterator[None]:
    """Seed torch's default generators from an address inside the block, and restore them afterwards."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    number = key(*address)
    with torch.random.fork_rng(devices=devices):
        seed(torch.device("cpu"), number)
        for index in devices:
            seed(torch.device("cuda", index), number)
        yield


def seed(device: torch.device, number: int) -> None:
    """Seed torch's generators that a network on this device reads.

    torch.manual_seed would write down a stack trace at every call where CUDA has not been used: a millisecond.
    """
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)

"""The noise that calibration meets: the same for every range that is tried."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from mho.crossbar import Scheme
from mho.rng import reads


def draws(scheme: Scheme, *address: int | str) -> AbstractContextManager[None]:
    """Seed the noise of products from an address; nothing to do for hardware without any (seeding takes 10 ms)."""
    return reads("calibrate", *address) if scheme.noisy else nullcontext()

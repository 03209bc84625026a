"""The noise that calibration meets: the same for every range that is tried."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from mho.hardware import Hardware
from mho.rng import reads


def draws(hw: Hardware, *address: int | str) -> AbstractContextManager[None]:
    """Seed the noise of products from an address; nothing to do for hardware without any (seeding takes 10 ms)."""
    noisy = hw.noise != type(hw.noise)() or any(variation.redraw == "mvm" for variation in hw.variations)
    return reads("calibrate", *address) if noisy else nullcontext()

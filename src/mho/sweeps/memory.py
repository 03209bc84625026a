"""How much memory a worker may take, and the watch over it from inside."""

from __future__ import annotations

import os
import re
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mho.errors import WrongSetting

_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
_PAUSE_S = 0.02
_LEAST = 3 * 10**8
"""Bytes that a process takes that has loaded torch, about."""


def check_memory(limit: str | float | None) -> int | None:
    """A limit in bytes, from a number of them or a text such as "4 GB"; None is none.

    Raises:
        WrongSetting: It is no size, or less than torch itself takes.
    """
    if limit is None:
        return None
    found = re.fullmatch(rf"\s*([0-9.]+)\s*({'|'.join(_UNITS)})\s*", str(limit))
    number = limit if isinstance(limit, (int, float)) and not isinstance(limit, bool) else None
    try:
        size = float(found[1]) * _UNITS[found[2]] if found else float(number)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise WrongSetting(
            f"{limit!r} is no size of memory", "give 4GB, 4GiB or a number of bytes", path="memory_limit"
        ) from None
    if not _LEAST <= size < float("inf"):
        raise WrongSetting(
            f"memory_limit = {limit!r}", f"torch alone takes {_LEAST / 1e6:.0f} MB: give more", path="memory_limit"
        )
    return int(size)


def resident() -> int:
    """Bytes of memory that this process holds; where the system does not say so, the most that it has held."""
    file = Path("/proc/self/statm")
    if file.exists():
        return int(file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def watch(limit: int, exceeded: Callable[[str], object]) -> None:
    """From now on, call a function once with the reason when this process holds more than `limit` bytes."""

    def look() -> None:
        while (held := resident()) <= limit:
            time.sleep(_PAUSE_S)
        exceeded(f"its process took {held / 1e9:.3g} GB of memory, more than {limit / 1e9:.3g} GB, the limit")

    threading.Thread(target=look, daemon=True).start()

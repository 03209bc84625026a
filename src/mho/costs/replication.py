"""How many copies of a layer's arrays work side by side."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

from mho.arguments import whole
from mho.errors import WrongSetting

Replication = int | str | Mapping[str, int]
"""So many copies of every layer; of some by path; or ``"balanced"``: where they shorten the slowest layer."""


def copies(asked: Any, times_ns: Mapping[str, float], arrays: Mapping[str, int], most: int | None) -> dict[str, int]:
    """Copies of each layer.

    Args:
        asked: See `Replication`.
        times_ns: Time of each layer for one inference, without copies.
        arrays: Arrays of each layer.
        most: Arrays there are, for ``"balanced"``.

    Raises:
        WrongSetting: An unknown layer; nothing to balance with; no number.
    """
    if asked == "balanced":
        return _balanced(times_ns, arrays, most)
    if isinstance(asked, Mapping):
        if unknown := [path for path in asked if path not in arrays]:
            raise WrongSetting(
                f"no layer '{unknown[0]}' stands on arrays", f"one of {', '.join(arrays)}", path="replication"
            )
        return {path: whole(asked.get(path, 1), f"replication.{path}") for path in arrays}
    number = whole(asked, "replication", remedy="give a number of copies, some by layer, or 'balanced'")
    return dict.fromkeys(arrays, number)


def _balanced(times_ns: Mapping[str, float], arrays: Mapping[str, int], most: int | None) -> dict[str, int]:
    """Greedily: one more copy of the slowest layer, as long as there are arrays for it."""
    if most is None:
        raise WrongSetting("'balanced' needs to know how many arrays there are", "give arrays=N", path="replication")
    found, left = dict.fromkeys(arrays, 1), most - sum(arrays.values())
    slowest = [(-time, path) for path, time in times_ns.items()]
    heapq.heapify(slowest)
    while slowest and arrays[slowest[0][1]] <= left:
        path = slowest[0][1]
        found[path] += 1
        left -= arrays[path]
        heapq.heapreplace(slowest, (-times_ns[path] / found[path], path))
    return found

"""How even a design is: how often each level stands in it, and which factors go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.sweeps.factor import text_of

SHOWN = 12
"""Levels that are counted one by one; a factor with more is described by its span."""
PARTS = 4
"""Equal parts of a factor with more levels."""
NOTED = 0.3
"""Association of two factors from which on it is told: their effects are hard to tell apart."""


def counts(levels: Sequence[dict[str, Any]], path: str) -> dict[str, int]:
    """How often each level of a factor stands among the points, in the order of the levels."""
    each = Counter(text_of(point[path]) for point in levels)
    of = {text_of(point[path]): point[path] for point in levels}
    if all(isinstance(level, (int, float)) or level is None for level in of.values()):
        return {text: each[text] for text in sorted(of, key=lambda text: (of[text] is None, of[text] or 0))}
    return dict(each)


def associations(levels: Sequence[dict[str, Any]]) -> list[tuple[str, str, float]]:
    """Pairs of factors with Cramér's V of their levels, strongest first; 0 is balance, or no more than chance.

    Corrected for the association that few points have by chance (Bergsma 2013). Factors of more than `SHOWN` levels count in
    four equal parts.
    """
    paths = list(levels[0]) if levels else []
    codes = {path: _codes([point[path] for point in levels]) for path in paths}
    found = [(a, b, _cramer(codes[a], codes[b])) for i, a in enumerate(paths) for b in paths[i + 1 :]]
    return sorted(found, key=lambda pair: -pair[2])


def _codes(values: list[Any]) -> NDArray[np.int64]:
    texts = [text_of(value) for value in values]
    if len(set(texts)) > SHOWN and all(isinstance(value, (int, float)) for value in values):
        ranks = np.argsort(np.argsort(np.asarray(values, dtype=float), kind="stable"), kind="stable")
        return np.asarray(ranks * PARTS // len(values), dtype=np.int64)
    order = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return np.array([order[text] for text in texts], dtype=np.int64)


def _cramer(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    n, (rows, columns) = table.sum(), table.shape
    if min(rows, columns, n) < 2:
        return 0.0
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / n
    chance = (rows - 1) * (columns - 1) / (n - 1)
    square = ((table - expected) ** 2 / expected).sum() / n - chance
    freedom = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(square / freedom))) if square > 0 and freedom > 0 else 0.0

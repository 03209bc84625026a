"""Antithetic chips: do a chip and the one with every normal draw negated err in opposite directions?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mho.measure import DriftResult


def antithetic(folder: Path, arm: str) -> dict[str, Any]:
    """Correlation of their accuracies at each age, with its Fisher interval; a pair's mean has (1 + r)/2 of the variance."""
    other = DriftResult.load(folder / f"{arm}-negated")
    mine = DriftResult.load(folder / arm).accuracy[list(other.chips)]
    r = [float(np.corrcoef(a, b)[0, 1]) for a, b in zip(mine.T, other.accuracy.T, strict=True)]
    wide = 1.96 / np.sqrt(len(mine) - 3)
    return {
        "arm": arm,
        "pairs": len(mine),
        "r": r,
        "low": list(np.tanh(np.arctanh(r) - wide)),
        "high": list(np.tanh(np.arctanh(r) + wide)),
    }

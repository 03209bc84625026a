"""`holm`: several tests at once, so that the chance of any false finding stays small."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values: what is at most α keeps the chance of any false finding at most α, whatever depends on what.

    The i-th smallest of m values is multiplied by m - i + 1, and is at least as large as the one before it.

    Args:
        p: The p-values (m,); one that is not known (NaN) counts as a test and stays NaN.

    References:
        Holm 1979, Scandinavian Journal of Statistics 6:65.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(np.where(np.isnan(values), np.inf, values), kind="stable")
    found = np.empty_like(values)
    found[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)))
    return found

"""1/f noise of a conductance that is read for a finite time."""

from __future__ import annotations

import math


def spread_of_reading(t_s: float, t_read_s: float) -> float:
    """sqrt(ln((t + t_r) / 2 t_r)): growth of 1/f noise between a reading of duration t_r and an age t.

    Zero for t <= t_r, where the logarithm would be negative (Nandakumar et al., ICECS 2019).
    """
    return math.sqrt(math.log((t_s + t_read_s) / (2 * t_read_s))) if t_s > t_read_s else 0.0

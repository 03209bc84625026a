"""What few chips leave unknown: of the worst ones nothing is known until enough have been drawn. No distribution is supposed.

Of n chips none of which shows something, a share q of all chips may still: (1 - q)^n is the chance to miss it. The bounds are
two-sided, as the intervals that they stand beside.

References:
    Clopper and Pearson 1934, Biometrika 26:404 (the bound of a share); Wilks 1941, Ann. Math. Stat. 12:91 (the number of
    draws); David and Nagaraja 2003, Order Statistics, 3rd ed., section 7.1 (the interval of a quantile).
"""

from __future__ import annotations

import math

from mho.statistics.intervals import check_confidence

TAIL = 0.05
"""The share of chips that is asked about where nobody says another: one in twenty."""


def unseen(chips: int, confidence: float = 0.95) -> float:
    """The largest share of all chips that may be worse than each of `chips` drawn ones: 1 - ((1 - confidence)/2)^(1/n)."""
    return 1 - ((1 - check_confidence(confidence)) / 2) ** (1 / chips)


def chips_to_see(share: float = TAIL, confidence: float = 0.95) -> int:
    """The number of chips with which that bound is `share`: among so many there is such a chip.

    Example:
        >>> chips_to_see(0.05)
        72
    """
    return math.ceil(math.log((1 - check_confidence(confidence)) / 2) / math.log1p(-share))


def ranks(chips: int, share: float, confidence: float = 0.95) -> tuple[int, int]:
    """Places, from 1, of the ordered values of `chips` chips that hold the quantile `share` of all chips between them.

    0 and `chips` + 1 stand for no bound: too few chips lie beyond. P(lower holds) and P(upper holds) are at least
    (1 + confidence)/2 each, for any distribution, from the binomial number of chips below the quantile.
    """
    from scipy.special import bdtr  # imported here: a third of a second, and few callers need it

    tail = (1 - check_confidence(confidence)) / 2
    below = [float(bdtr(k, chips, share)) for k in range(chips)]  # P(at most k chips lie below the quantile)
    low = sum(p <= tail for p in below)
    return low, next((k + 1 for k, p in enumerate(below) if 1 - p <= tail), chips + 1)

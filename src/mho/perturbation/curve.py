"""`NoiseCurve`: what is made of scores without noise and under noise of several sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mho.arguments import number, whole
from mho.statistics.curves import expanded, resampled
from mho.statistics.intervals import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NoiseCurve:
    """Mean worths under noise, a row for each draw (or each network), and without it.

    Attributes:
        etas: Sizes of the noise, (E,), rising, without 0.
        clean: Worth without noise; one, or one a row.
        means: Worths under noise, (rows, E).
    """

    etas: tuple[float, ...]
    clean: float | Floats
    means: Floats

    @property
    def start(self) -> Floats:
        """Worth without noise of each row, (rows, 1)."""
        return np.broadcast_to(np.asarray(self.clean, dtype=np.float64), len(self.means))[:, None]

    def shares(self) -> Floats:
        """a(η) = A(η)/A(0), (rows, E)."""
        return np.asarray(self.means / self.start)

    def corrected(self, chance: float) -> Floats:
        """(A(η) - chance)/(A(0) - chance), (rows, E)."""
        return np.asarray((self.means - chance) / (self.start - chance))

    def averages(self) -> Floats:
        """A_avg, the mean of a(η) over the sizes η > 0, (rows,)."""
        return np.asarray(self.shares().mean(axis=1))

    def areas(self) -> Floats:
        """∫ a dη / η_max from 0 on, by trapezes, (rows,)."""
        shares = self.shares()
        whole = np.concatenate([np.ones((len(shares), 1)), shares], axis=1)
        x = np.array([0.0, *self.etas])
        return np.asarray(((whole[:, 1:] + whole[:, :-1]) / 2 * np.diff(x)).sum(axis=1) / x[-1])

    def lost_at(self, worth: float, confidence: float = 0.95, seed: int = 0) -> Interval:
        """The η at which the mean worth over rows has fallen by `worth` (0.01 is a point), linear between measured sizes.

        Its interval is a bootstrap over rows. inf: not lost at the largest size.

        Raises:
            WrongSetting: `worth` is not above 0, or `seed` below it.
        """
        seed = whole(seed, "seed", least=0)
        worth = number(worth, "worth", "give what may be lost, above 0: 0.01 is a point", above=0)
        lost = np.concatenate([np.zeros((len(self.means), 1)), self.means - self.start], axis=1)
        x = np.array([0.0, *self.etas])
        found = float(_crossing(x, lost.mean(axis=0)[None], -worth)[0])
        if len(lost) < 2:
            return Interval(found, 0.0, math.inf)
        several = _crossing(x, resampled(lost, np.random.default_rng(seed)), -worth)
        low, high = expanded(several, len(lost), confidence)
        return Interval(found, min(low, found), max(high, found))


def _crossing(x: Floats, curves: Floats, floor: float) -> Floats:
    """Where curves (B, X) that start above the floor first reach it, linear between places; inf where they never do."""
    below = curves <= floor
    after = np.maximum(below.argmax(axis=1), 1)
    rows = np.arange(len(curves))
    high, low = curves[rows, after - 1], curves[rows, after]
    fall = np.where(high > low, high - low, 1.0)
    found: Floats = x[after - 1] + np.clip((high - floor) / fall, 0.0, 1.0) * (x[after] - x[after - 1])
    found[~below.any(axis=1)] = np.inf
    return found

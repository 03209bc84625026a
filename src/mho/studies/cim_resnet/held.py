"""`Held`: what is stored of an arm, as tables of chips × training seeds; slopes over depth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval, mean_interval, t_quantile
from mho.studies.cim_resnet.networks import Net, data_of, of
from mho.studies.definitions import DEFINITIONS, SIGMAS
from mho.studies.outcome import NotStored, Outcome, Results

Table = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]
Found = Results[Any, Rows]
CONFIDENCE = 0.95
LAYERS = 12
"""Slopes are for so many layers more."""


class Held:
    """The rows of an arm.

    Args:
        outcome: Of the arm.

    Attributes:
        arm: The arm.
        seeds: Training seeds that are stored.
        net: Its network.
        chance: One over the number of classes of its data set.
    """

    def __init__(self, outcome: Outcome[Any, Rows], scale: Any) -> None:
        self.arm, self.seeds = outcome.arm, sorted(outcome.runs)
        self._runs = [outcome.runs[seed] for seed in self.seeds]
        self.net: Net = of(outcome.arm.network, scale)
        self.chance = 1 / data_of(self.net, scale).classes

    def _table(self, **wanted: Any) -> Table:
        found = [
            row["scores"] for rows in self._runs for row in rows if all(row.get(k) == v for k, v in wanted.items())
        ]
        if len(found) != len(self._runs):
            raise NotStored(f"arm '{self.arm.name}' has no rows of {wanted}", "measure it", path=self.arm.name)
        return np.array(found, dtype=np.float64).T

    @property
    def digital(self) -> Table:
        """Accuracy of the digital network, chips × seeds."""
        return self._table(setting="digital")

    def accuracy(self, sigma: float, **setting: Any) -> Table:
        """Accuracy under a σ, chips × seeds; `setting`: bits of converters, where several were measured."""
        return self._table(sigma=sigma, **setting)

    def corrected(self, sigma: float, **setting: Any) -> Table:
        """What is left above chance of the accuracy at σ = 0 on the same images."""
        return (self.accuracy(sigma, **setting) - self.chance) / (self.accuracy(0.0, **setting) - self.chance)

    def kept(self) -> Table:
        """`corrected`, mean over σ > 0."""
        return np.mean([self.corrected(sigma) for sigma in SIGMAS[1:]], axis=0)  # type: ignore[no-any-return]

    def values(self, what: str, **setting: Any) -> list[Any]:
        """What the rows of the first seed say, in their order."""
        rows = self._runs[0]
        return [row[what] for row in rows if what in row and all(row.get(k) == v for k, v in setting.items())]


def interval(table: Table) -> Interval:
    """Mean with its interval over chips, and over training seeds where there are several."""
    return over_units(table, CONFIDENCE)


def gain(one: Held, other: Held) -> Interval:
    """What one network keeps less what the other keeps, in the training seeds that both have."""
    both = [seed for seed in one.seeds if seed in other.seeds]
    a, b = (held.kept()[:, [held.seeds.index(seed) for seed in both]] for held in (one, other))
    return interval(a - b)


def one(results: Found, definition: str, network: str) -> Held:
    """An arm of all σ.

    Raises:
        NotStored: It has not been measured.
    """
    return Held(results[f"{definition}-{network}"], results.scale)


def under(results: Found, definition: str, origin: str = "") -> dict[str, Held]:
    """What was measured under a definition, by network."""
    found = {o.arm.network: Held(o, results.scale) for o in results.values() if o.arm.group == definition}
    return {name: held for name, held in found.items() if not origin or held.net.origin == origin}


def definitions(results: Found, *networks: str) -> list[str]:
    """The definitions under which all these networks are stored.

    Raises:
        NotStored: There is none.
    """
    found = [name for name in DEFINITIONS if all(f"{name}-{net}" in results for net in networks)]
    if not found:
        raise NotStored(f"no definition is stored for {', '.join(networks)}", "measure them", path=networks[0])
    return found


def slope(nets: Sequence[Held]) -> Interval:
    """Change of what is kept for `LAYERS` layers more along the least-squares line, over chips paired across networks.

    It speaks of these networks alone, one for each depth.
    """
    x, kept = _centred(nets), _by_chip(nets)
    return mean_interval(LAYERS * (x @ kept) / (x @ x), CONFIDENCE)


def slope_of_depth(nets: Sequence[Held]) -> Interval:
    """The same with the networks as random draws around the line, too: what another training of each depth might give.

    Both kinds of draws count, as in `mho.statistics.crossed`: V = V_chips + V_networks - V_rest. V_chips is the variance of
    the mean slope of C chips, V_networks that which the scatter of n networks' means around the line gives (n - 2 degrees of
    freedom), V_rest what either has of the errors of single chips of single networks; Satterthwaite's freedom. The interval
    is never narrower than that of chips alone, or of networks alone.

    Raises:
        NotStored: Fewer than three networks.
    """
    if len(nets) < 3:
        raise NotStored("two networks have no scatter around a line", "measure a third", path="networks")
    x, kept = _centred(nets), _by_chip(nets)
    (n, chips), size = kept.shape, x @ x
    if chips < 2:
        return slope(nets)  # boundless: one chip says nothing of others
    slopes = x @ kept / size
    off = kept - kept.mean(axis=0) - np.outer(x, slopes)  # each chip around its own line
    scatter = off.mean(axis=1)
    freedoms = (chips - 1, n - 2, (chips - 1) * (n - 2))
    squares = (float(slopes.var()) * size, float(scatter @ scatter), float(np.square(off.T - scatter).sum()) / chips)
    of_chips, of_nets, rest = (square / freedom / size for square, freedom in zip(squares, freedoms, strict=True))
    halves = [t_quantile(CONFIDENCE, f) * math.sqrt(v) for v, f in ((of_chips, chips - 1), (of_nets, n - 2))]
    if (total := of_chips + of_nets - rest) > max(of_chips, of_nets):
        freedom = total**2 / sum(v**2 / f for v, f in zip((of_chips, of_nets, rest), freedoms, strict=True))
        halves.append(t_quantile(CONFIDENCE, freedom) * math.sqrt(total))
    value, half = LAYERS * float(slopes.mean()), LAYERS * max(halves)
    return Interval.around(value, half)


def _by_chip(nets: Sequence[Held]) -> Table:
    """What is kept, networks × chips."""
    return np.array([net.kept().mean(axis=1) for net in nets])


def _centred(nets: Sequence[Held]) -> Table:
    layers = np.array([float(net.net.factor) for net in nets])
    return np.asarray(layers - layers.mean())

"""`Placing`: which layers to keep digital, or to hold in more cells or more exactly, by what each costs and a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch

from mho.errors import NeverPossible, WrongSetting
from mho.hardware import Hardware
from mho.measure.sensitivity_result import Rank, SensitivityResult

Kind = Literal["digital", "cells", "verified"]
MOST_PAIRS = 16


@dataclass(frozen=True)
class Placing:
    """Layers that are treated otherwise than the rest, and what that costs.

    Attributes:
        kind: digital: kept digital; cells: held in more cells; verified: programmed more exactly.
        layers: Path to its number of pairs, or of writes of a cell; 0 for a digital one.
        changes: What `Hardware.replace` takes.
        mac_share: Share of the network's multiply-accumulates that they do.
        cell_share: Additional cells (cells), or cells that are written again and again (verified), by those there are.
        foretold: Rise of the loss (for classes the cross-entropy, nats) that this is expected to remove.
    """

    kind: Kind
    layers: dict[str, float]
    changes: dict[str, Any]
    mac_share: float
    cell_share: float
    foretold: float

    def __str__(self) -> str:
        names = ", ".join(path if not n else f"{path} ×{n:g}" for path, n in self.layers.items()) or "no layer"
        cost = f"{self.mac_share:.1%} of the MACs" if self.kind == "digital" else f"{self.cell_share:.1%} of the cells"
        what = {"digital": "digital", "cells": "in more cells", "verified": "written with verification"}[self.kind]
        return f"{what}: {names} ({cost})"


def keep_digital(found: SensitivityResult, hw: Hardware, share: float, *, by: Rank | None = None) -> Placing:
    """The layers to keep digital for at most a share of the network's multiply-accumulates.

    Greedy by expected gain per MAC, skipping what does not fit, or the single best layer where that gains more: at
    least half of what the best choice gains (the knapsack's classical bound).

    Args:
        found: What each layer costs.
        hw: The hardware.
        share: Share of all multiply-accumulates, in (0, 1).
        by: What layers are ranked by, see `SensitivityResult.ranked`.

    Raises:
        WrongSetting: A share outside (0, 1), or unknown multiply-accumulates.
    """
    _share(share, "digital", most=1.0)
    ranked = found.ranked(by)
    if any(math.isnan(layer.mac_share) for layer in ranked):
        raise WrongSetting("the multiply-accumulates are unknown", "convert with example=...", path="digital")
    gains = {layer.path: max(layer.by(found.rank(by)), 0.0) for layer in ranked}
    costs = {layer.path: layer.mac_share for layer in ranked}
    chosen = knapsack(gains, costs, share)
    if len(chosen) == len(ranked):
        raise NeverPossible("every layer would be digital", "give a smaller share", path="digital")
    spent, gain = sum(costs[p] for p in chosen), sum(gains[p] for p in chosen)
    changes = {"digital": [*hw.digital, *chosen]} if chosen else {}
    return Placing("digital", dict.fromkeys(chosen, 0.0), changes, spent, 0.0, gain)


def more_cells(found: SensitivityResult, hw: Hardware, share: float, *, by: Rank | None = None) -> Placing:
    """How many pairs to hold each layer in, for a budget of additional cells.

    n pairs in parallel divide the variance of the errors, and to second order the rise of the loss s_l, by n. Greedy:
    the next pair goes where s_l (1/n - 1/(n + 1)) per cell is largest, which is best possible up to the last step,
    since each layer's gains fall.

    Args:
        found: What each layer costs, with one pair each as `hw` has it.
        hw: The hardware; its encoding must know `pairs`.
        share: Additional cells, as a share of those there are.
        by: What layers are ranked by.

    Raises:
        WrongSetting: A share that is not positive, or an encoding without pairs.
    """
    _share(share, "cells", most=float(MOST_PAIRS - 1))
    base = _pairs(hw)
    total = sum(layer.cells for layer in found.layers)
    rises = {layer.path: max(layer.by(found.rank(by)), 0.0) for layer in found.layers}
    unit = {layer.path: layer.cells / base for layer in found.layers}
    pairs, left, gain = dict.fromkeys(rises, base), share * total, 0.0
    while True:
        steps = {
            path: (rises[path] * base * (1 / n - 1 / (n + 1)), unit[path])
            for path, n in pairs.items()
            if n < MOST_PAIRS and unit[path] <= left and rises[path] > 0
        }
        if not steps:
            break
        path = max(steps, key=lambda p: steps[p][0] / steps[p][1])
        pairs[path] += 1
        gain, left = gain + steps[path][0], left - steps[path][1]
    more = {path: n for path, n in pairs.items() if n > base}
    changes = _layers(hw, {path: {"encoding.pairs": n} for path, n in more.items()})
    cells = sum(unit[path] * (n - base) for path, n in more.items())
    macs = sum(found[path].mac_share for path in more)
    return Placing("cells", {path: float(n) for path, n in more.items()}, changes, macs, cells / total, gain)


def verify_writes(
    found: SensitivityResult, hw: Hardware, share: float, *, rounds: int = 5, by: Rank | None = None
) -> Placing:
    """Which layers to write with verification, for a budget of cells that may be written so.

    Cells of these layers are written `rounds` times and keep the best, whose squared error is E[min |N|²] of that many
    normal draws; what is foretold supposes that all of a layer's rise comes from programming, so it is an upper bound.
    (For single weights see `mho.training.rank_weights`.)

    Args:
        found: What each layer costs.
        hw: The hardware.
        share: Share of the cells, in (0, 1].
        rounds: Writes of each of these cells, at least 2.
        by: What layers are ranked by.

    Raises:
        WrongSetting: A share outside (0, 1], or a single write.
    """
    _share(share, "verified", most=1.0)
    if rounds < 2:
        raise WrongSetting(f"rounds = {rounds}", "verification takes at least 2 writes", path="rounds")
    left = _squared_error(rounds)
    total = sum(layer.cells for layer in found.layers)
    gains = {layer.path: max(layer.by(found.rank(by)), 0.0) * (1 - left) for layer in found.layers}
    costs = {layer.path: layer.cells / total for layer in found.layers}
    chosen = knapsack(gains, costs, share)
    changes = _layers(hw, {path: {"write_verify.rounds": rounds} for path in chosen})
    macs = sum(found[path].mac_share for path in chosen)
    spent, gain = sum(costs[p] for p in chosen), sum(gains[p] for p in chosen)
    return Placing("verified", dict.fromkeys(chosen, float(rounds)), changes, macs, spent, gain)


def _squared_error(rounds: int) -> float:
    """E[min z²] over so many standard normal draws: ∫ 2 z P(|z_i| > z)^n dz."""
    z = torch.linspace(0, 9, 20_001, dtype=torch.float64)
    return float(torch.trapezoid(2 * z * torch.erfc(z / math.sqrt(2)) ** rounds, z))


def knapsack(gains: dict[str, float], costs: dict[str, float], budget: float) -> list[str]:
    """Keys worth having within the budget: greedy by gain per cost, or the single best where that is better."""
    able = [key for key in gains if gains[key] > 0 and costs[key] <= budget]
    chosen, left = [], budget
    for key in sorted(able, key=lambda k: -gains[k] / max(costs[k], 1e-12)):
        if costs[key] <= left:
            chosen.append(key)
            left -= costs[key]
    best = max(able, key=lambda k: gains[k], default=None)
    if best is not None and gains[best] > sum(gains[key] for key in chosen):
        return [best]
    return [key for key in gains if key in chosen]


def _pairs(hw: Hardware) -> int:
    pairs = getattr(hw.encoding, "pairs", None)
    if pairs is None:
        raise WrongSetting(f"the encoding '{hw.encoding.kind}' has no 'pairs'", "choose encoding 'differential'")
    return int(pairs)


def _layers(hw: Hardware, more: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The changes of `hw` that add overrides for single layers."""
    if not more:
        return {}
    held = {pattern: dict(changes) for pattern, changes in getattr(hw, "layers", {}).items()}
    for path, changes in more.items():
        held[path] = {**held.get(path, {}), **changes}
    return {"layers": held}


def _share(share: float, name: str, *, most: float) -> None:
    if not 0 < share <= most:
        raise WrongSetting(f"{name} = {share}", f"give a share above 0 and at most {most:g}", path=name)

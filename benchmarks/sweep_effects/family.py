"""The family-wise error of what a sweep finds, over a hundred stores of each design with nothing planted.

    python benchmarks/sweep_effects/family.py [STORES]

Every finding is false: an effect, or a threshold, of any factor at any age. Chips differ in level and in how they take a level
of one factor; the spread is even, or grows sixfold with another factor.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from mho.sweeps import findings

sys.path.append(str(Path(__file__).parents[2] / "tests" / "sweeps"))
from stores import BITS, NOISE, rewritten, store

READ = "hardware.cell.read_noise"
BASE = {"network": "tiny_sweep:net", "data": "tiny_sweep:data", "hardware": "pcm", "ages": "1 h, 1 year"}
GRID = {BITS: [2, 4, 6], NOISE: [0.0, 0.01, 0.1], READ: [True, False]}
SPANS = {BITS: [2, 4, 6], NOISE: {"log": [0.001, 0.3]}, READ: [True, False]}
TRAINED = {"training": {"data": "tiny_sweep:data"}}
DESIGNS = {
    "grid, 2 chips": {"factors": GRID, "chips": 2},
    "grid, 3 chips": {"factors": GRID, "chips": 3},
    "grid, 8 chips": {"factors": GRID, "chips": 8},
    "grid, 3 seeds x 5 chips": {"factors": GRID, "chips": 5, "seeds": 3, **TRAINED},
    "one at a time, 4 chips": {
        "factors": {**GRID, NOISE: [0.0, 0.01, 0.03, 0.1, 0.3]},
        "chips": 4,
        "design": "one_at_a_time",
    },
    "lhs of 40, 3 chips": {"factors": SPANS, "chips": 3, "design": {"kind": "lhs", "trials": 40}},
    "random 24, 2 chips": {"factors": SPANS, "chips": 2, "design": {"kind": "random", "trials": 24}},
    "random 24, 3 chips": {"factors": SPANS, "chips": 3, "design": {"kind": "random", "trials": 24}},
}


def noise(rng, uneven):
    chips = {}

    def draw(levels, seed, c, i):
        level = chips.setdefault((seed, c), 0.02 * rng.normal())
        taste = chips.setdefault((seed, c, levels[BITS]), 0.01 * rng.normal())
        return 0.8 + level + taste + 0.01 * (1 + (20 * levels[NOISE] if uneven else 0)) * rng.normal() - 0.05 * i

    return draw


def false(name: str, uneven: bool, stores: int) -> int:
    """Stores in which anything is found."""
    rng, count = np.random.default_rng(1), 0
    with tempfile.TemporaryDirectory() as folder:
        result = store({**BASE, **DESIGNS[name]}, Path(folder), lambda *_: 0.8)
        for _ in range(stores):
            draw = noise(rng, uneven)
            result = rewritten(result, draw)
            found = findings(result)
            acts = any(effect.found(0.95) for effect in found.effects)
            count += acts or any(one.verdict in ("found", "at once") for one in found.thresholds)
    return count


def main() -> None:
    stores = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"Stores of {stores} with any false finding:\n\n| design | even | uneven |\n|---|---|---|")
    for name in DESIGNS:
        print(f"| {name} | {false(name, False, stores)} | {false(name, True, stores)} |", flush=True)


if __name__ == "__main__":
    main()

"""Planted effects are found, and little else: the family-wise error over stores with nothing planted.

`benchmarks/sweep_effects` has the same over a hundred stores of each of more designs.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from stores import BITS, NOISE, rewritten, store

from mho.sweeps import findings

READ = "hardware.cell.read_noise"
GRID = {BITS: [2, 4, 6], NOISE: [0.0, 0.01, 0.1], READ: [True, False]}
SPANS = {BITS: [2, 4, 6], NOISE: {"log": [0.001, 0.3]}, READ: [True, False]}
DESIGNS = {
    "grid": {"factors": GRID, "chips": 3},
    "grid of seeds": {"factors": GRID, "chips": 3, "seeds": 3, "training": {"data": "tiny_sweep:data"}},
    "drawn": {"factors": SPANS, "chips": 3, "design": {"kind": "lhs", "trials": 36}},
}
STORES = 30


def noise(rng, uneven):
    """Chips differ in level, and in how they take a level of a factor; spread may grow with the noise."""
    chips = {}

    def draw(levels, seed, c, i):
        level = chips.setdefault((seed, c), 0.02 * rng.normal())
        taste = chips.setdefault((seed, c, levels[BITS]), 0.01 * rng.normal())
        return level + taste + 0.01 * (1 + (20 * levels[NOISE] if uneven else 0)) * rng.normal() - 0.05 * i

    return draw


@pytest.mark.parametrize("uneven", [False, True], ids=["even", "uneven"])
@pytest.mark.parametrize("name", DESIGNS)
def test_where_nothing_is_planted_hardly_anything_is_found(base, tmp_path, name, uneven):
    """Any finding is false. With a true rate of 5 %, more than 5 of 30 are seen in 3 cases of a thousand."""
    rng, false = np.random.default_rng(3), 0
    most = int(stats.binom.ppf(0.99, STORES, 0.05))
    result = store({**base, **DESIGNS[name]}, tmp_path, lambda *_: 0.8)
    for _ in range(STORES):
        draw = noise(rng, uneven)
        result = rewritten(result, lambda *at, draw=draw: 0.8 + draw(*at))
        found = findings(result)
        acts = any(effect.found(0.95) for effect in found.effects)
        false += acts or any(one.verdict in ("found", "at once") for one in found.thresholds)
    assert most == 5 and false <= most


@pytest.mark.parametrize("name", DESIGNS)
def test_what_is_planted_is_found_and_nothing_else(base, tmp_path, name):
    """A main effect with its threshold, an interaction, a factor that does nothing."""
    rng, false = np.random.default_rng(4), 0
    result = store({**base, **DESIGNS[name], "chips": 6}, tmp_path, lambda *_: 0.8)
    for _ in range(10):
        draw = noise(rng, uneven=False)

        def planted(levels, seed, c, i, draw=draw):
            loud = levels[NOISE] >= 0.05
            return 0.85 - 0.12 * loud - 0.1 * loud * (levels[BITS] == 2) + 0.3 * draw(levels, seed, c, i)

        found = findings(rewritten(result, planted))
        acting = {e.paths for e in found.effects if e.found(0.95)}
        assert {(NOISE,), (BITS, NOISE)} <= acting
        false += bool({paths for paths in acting if READ in paths})
        noisy = [one for one in found.thresholds if one.path == NOISE]
        assert {one.verdict for one in noisy} == {"found"} and all(one.upwards for one in noisy)
        if name != "drawn":
            assert {one.estimate for one in noisy} == {"0.1"} and not any(one.path == READ for one in found.thresholds)
            assert "decides most" in found.sentences[0] and NOISE in found.sentences[0]
    assert false <= int(stats.binom.ppf(0.99, 10, 0.05))

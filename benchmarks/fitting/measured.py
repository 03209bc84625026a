"""A cell fitted to some cells of a real RRAM chip, held against other cells of that chip: mean and spread at each age.

python benchmarks/fitting/measured.py relaxdata.min.tsv.gz [--each 30]

The data: 16,292 cells of technology C of https://github.com/akashlevy/RRAM-Relaxation-Master-Model (MIT licence; commit
ca0cfff, file data/techC/relaxdata.min.tsv.gz), written and verified to 32 levels of 1.25 µS, read at six times to 10⁵ s. Time 0
is the last reading of the verification. `measured.txt` beside this file is what was printed.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import mho
from mho.fitting import DeviceFit
from mho.rng import Stream

LEVEL_US = 1.25
SHOWN = (4, 8, 16, 24, 31)
AGES_S = (0.0, 0.01, 0.1, 1.0, 1e5)
_DRAWN = 20_000


def main() -> None:
    """Prints the fit, and a line for each level and age."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--each", type=int, default=30, help="cells of each level that are fitted")
    asked = parser.parse_args()
    cell, _, _, g_s, _, level, time_s = np.loadtxt(asked.file).T
    first = dict(zip(cell[time_s == 0], level[time_s == 0], strict=True))  # the level it was verified at
    level = np.array([first.get(each, -1) for each in cell])
    rng = np.random.default_rng(0)
    chosen = np.concatenate([
        rng.permutation(np.unique(cell[(level == each) & (time_s == 0)]))[: asked.each] for each in range(32)
    ])  # fmt: skip
    mine = np.isin(cell, chosen) & (g_s > 0) & (level >= 0)
    columns = {
        "cell": cell[mine], "target [uS]": (level[mine] + 0.5) * LEVEL_US, "time [s]": time_s[mine], "g [uS]": g_s[mine] * 1e6,
    }  # fmt: skip
    fits = {"power": mho.fit_device(columns, first_read="fit"), "relaxation": mho.fit_device(columns, law="relaxation")}
    for law, fit in fits.items():
        print(f"law '{law}'\n{fit}\n")
    others = ~np.isin(cell, chosen)
    print("cells that were not fitted: mean and spread in µS, with 95 % intervals of the measured spread; * outside")
    for each in SHOWN:
        target = (each + 0.5) * LEVEL_US
        simulated = {law: _simulated(fit, target) for law, fit in fits.items()}
        for age in AGES_S:
            g = g_s[others & (level == each) & (time_s == age)] * 1e6
            low, high = _spread_interval(g)
            line = f"{target:6.3f} µS, {age:8g} s: measured {g.mean():6.2f} and {g.std():.2f} [{low:.2f}, {high:.2f}]"
            for law, of_age in simulated.items():
                spread = of_age[age].std()
                line += f", {law} {of_age[age].mean():6.2f} and {spread:.2f}{' ' if low <= spread <= high else '*'}"
            print(line)


def _simulated(fit: DeviceFit, target_us: float) -> dict[float, np.ndarray]:
    """Conductances of cells of the fitted law at each age, µS."""
    cell, draw = fit.cell, Stream((0, "measured"))
    state = cell.program(torch.full((_DRAWN,), target_us, dtype=torch.float64), draw)
    return {age: cell.read(cell.age(state, age), state, age, draw / f"{age:g}").numpy() for age in AGES_S}


def _spread_interval(g: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    drawn = rng.choice(g, (1000, len(g))).std(axis=1)
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


if __name__ == "__main__":
    main()

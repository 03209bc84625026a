"""How often the 95 % intervals of `mho.fit_device` hold what was planted: small synthetic data sets of every kind of cell.

python benchmarks/fitting/coverage.py [--sets 40] [--cells 15] [pcm power_law reram_milo reram_wan]

`coverage.txt` beside it is what `--sets 100` printed.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch

from mho.fitting import DeviceFit, fit_device
from mho.fitting.per_cell import spread
from mho.hardware import CELLS, Cell
from mho.rng import Stream
from mho.statistics import Interval

AGES_S = (0.0, 10.0, 100.0, 1e3, 1e4, 1e5)


def planted(
    cell: Cell, targets_us: Sequence[float], each: int, ages_s: Sequence[float], seed: int, reads: int = 1
) -> dict:
    """Readings of simulated cells, as columns."""
    target = torch.tensor(np.repeat(targets_us, each), dtype=torch.float64)
    draw, first = Stream((seed, "planted")), getattr(cell, "t0_s", 1.0)
    state, found = cell.program(target, draw), defaultdict(list)
    for age in ages_s:
        for read in range(reads):
            g = cell.read(cell.age(state, age), state, age, draw / (f"{age:g}", read))
            found["cell"] += range(len(target))
            found["target [uS]"] += target.tolist()
            found["time [s]"] += [age + first] * len(target)
            found["g [uS]"] += g.tolist()
            found["read"] += [read] * len(target)
    return dict(found)


def truth(cell: Cell) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The planted laws, of r."""
    from mho.devices.polynomial import polynomial
    from mho.devices.reram_milo import SIGMA_US
    from mho.devices.reram_wan import sigma_us

    def of(law: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda r: law(torch.tensor(r)).numpy()

    if cell.kind == "pcm":
        return {
            "programming_us": of(cell.sigma_programming_us), "nu": of(lambda r: cell.nu_statistics(r)[0]),
            "nu_std": of(lambda r: cell.nu_statistics(r)[1]), "reading_q": of(cell.reading),
        }  # fmt: skip
    if cell.kind == "power_law":
        constant = {
            "programming_us": cell.programming_us,
            "nu": cell.nu,
            "nu_std": cell.nu_std,
            "reading_q": cell.read_us / cell.g_max_us,
        }
        return {name: of(lambda r, v=v: torch.full_like(r, v)) for name, v in constant.items()}
    if cell.kind == "reram_milo":
        return {"programming_us": of(lambda r: polynomial(r * cell.g_max_us, SIGMA_US))}
    return {"programming_us": of(lambda r: sigma_us(r, 0.0) * cell.g_max_us / 40.0)}


def covered(fit: DeviceFit, cell: Cell) -> dict[str, list[bool]]:
    """Whether the intervals hold the truth, at the middle and near the ends of what was measured."""
    found, times = {}, np.array([np.exp(np.log(fit.measured.times_s).mean())])
    for name, law in truth(cell).items():
        if name not in fit.quantities:
            found[name] = [False]
            continue
        at = fit.quantities[name].at_r
        places = np.array([at[2], at[len(at) // 2], at[-3]]) if len(at) > 4 else np.array(at)
        inside = [fit.quantities[name].at(r) for r in places]
        scale = spread(times, fit.cell.reading_form, fit.cell.t_read_s) / spread(times, "1/f", fit.cell.t_read_s)
        if name == "reading_q":  # what is planted is 1/f noise; compared is the noise at the middle of the times
            inside = [Interval(*(float(v * scale[0]) for v in (i.value, i.low, i.high))) for i in inside]
        found[name] = [i.low <= v <= i.high for i, v in zip(inside, law(places), strict=True)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=["pcm", "power_law", "reram_milo", "reram_wan"])
    parser.add_argument("--sets", type=int, default=40)
    parser.add_argument("--cells", type=int, default=15, help="of each of 9 targets")
    given = parser.parse_args()
    for kind in given.kinds:
        cell, start, tally, families = CELLS.find(kind)(), time.perf_counter(), defaultdict(list), defaultdict(list)
        ages = AGES_S if kind in ("pcm", "power_law") else (0.0,)
        targets = np.linspace(max(cell.g_min_us, cell.g_max_us / 9), cell.g_max_us, 9)
        for seed in range(given.sets):
            fit = fit_device(planted(cell, targets, given.cells, ages, seed), resamples=200)
            for name, inside in covered(fit, cell).items():
                tally[name].append(inside)
                families[name].append(fit.quantities[name].shape.name if name in fit.quantities else "none")
        seconds = (time.perf_counter() - start) / given.sets
        print(f"{kind}: {9 * given.cells} cells, {given.sets} sets, {seconds:.2f} s each")
        for name, inside in tally.items():
            flat = [b for one in inside for b in one]
            shapes = sorted({f: families[name].count(f) for f in families[name]}.items(), key=lambda kv: -kv[1])
            print(
                f"  {name:15} {100 * np.mean(flat):5.1f} % of {len(flat)}; {', '.join(f'{n} {f}' for f, n in shapes)}"
            )


if __name__ == "__main__":
    main()

"""A store of 100,000 rows: how long it takes to open it, to read off its effects, and to write its report.

python benchmarks/sweep_effects/big.py
"""

from __future__ import annotations

import json
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import mho
from mho.sweeps import Plan, SweepResult, findings, trials
from mho.sweeps.ledger import FILE, Ledger

BITS, NOISE, ADC, READ = "hardware.dac.bits", "hardware.noise.output", "hardware.adc.bits", "hardware.cell.read_noise"
GRID = {
    BITS: [2, 3, 4, 6, 8],
    NOISE: {"log": [0.001, 0.3], "levels": 20},
    ADC: [2, 3, 4, 5, 6, 7, 8, 9, 10, 12],
    READ: [True, False],
}
SPANS = {BITS: [2, 3, 4, 6, 8], NOISE: {"log": [0.001, 0.3]}, ADC: [2, 4, 6, 8], READ: [True, False]}
BASE = {"network": "digits_cnn", "data": "digits", "hardware": "pcm", "ages": "0, 1 h, 1 day, 1 month, 1 year", "chips": 10,
        "pretraining": {"data": "digits?split=train"}}  # fmt: skip
DESIGNS = {"grid": {"factors": GRID}, "lhs": {"factors": SPANS, "design": {"kind": "lhs", "trials": 2000}}}


def store(folder: Path, **more: object) -> int:
    """Write a store as a finished sweep has it; the number of rows."""
    plan = Plan.read({**BASE, **more})
    found, rng = trials(plan), np.random.default_rng(0)
    columns = [
        {"trial": t.number, "point": t.point, "seed": t.config.seed, "digest": t.config.digest(), "factors": json.dumps(t.levels)}
        for t in found
    ]  # fmt: skip
    Ledger.create(folder, {"plan": plan.as_dict()}, [], columns, list(plan.factors)).close()
    chips, rows = 0.01 * rng.normal(size=plan.chips), []
    for trial in found:
        rows.append((trial.number, -1, 0.0, 1000, 0.97, 0.1, '{"balanced": 0.97}'))
        worth = 0.95 - 0.3 * (trial.levels[NOISE] > 0.05) - 0.2 / trial.levels[BITS] - 0.1 * (trial.levels[ADC] < 4)
        for c in range(plan.chips):
            for i, age in enumerate(plan.ages):
                score = float(np.clip(worth - 0.02 * i + chips[c] + 0.01 * rng.normal(), 0, 1))
                rows.append((trial.number, c, age, 1000, score, 1 - score, json.dumps({"balanced": score})))
    with sqlite3.connect(folder / FILE) as file:
        file.executemany(
            "INSERT INTO jobs (job, kind, place, config, state, seconds, versions) "
            "VALUES (?, 'trial', ?, '{}', 'done', 1.0, 'mho')",
            [(str(t.number), t.number) for t in found],
        )
        file.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    file.close()
    return len(rows)


class Clock:
    """Time since the last look, and of the process in all."""

    def __init__(self) -> None:
        self.last, self.used = time.perf_counter(), time.process_time()

    def __str__(self) -> str:
        before, self.last = self.last, time.perf_counter()
        return f"{self.last - before:.1f} s"


def main() -> None:
    for name in sys.argv[1:] or DESIGNS:
        with tempfile.TemporaryDirectory() as folder:
            rows = store(Path(folder) / "sweep", **DESIGNS[name])
            clock = Clock()
            result = SweepResult(Path(folder) / "sweep")
            found = findings(result)
            opened = str(clock)
            quiet = sum(row["score"] for row in result.rows if row[NOISE] is not None and row[NOISE] < 0.03)
            filtered = str(clock)
            told = found.sentences
            read = str(clock)
            page = mho.report(found, Path(folder) / "report")
            written = str(clock)
            used = time.process_time() - clock.used
            assert told and quiet
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{name}: {rows:,} rows, {len(found.measured.points):,} points. "
                f"Opened and laid out {opened}, filtered {filtered}, "
                f"effects {read}, report {written} ({page.stat().st_size / 2**20:.1f} MB); {used:.1f} s of a core in all, "
                f"{memory:.0f} MB"
            )


if __name__ == "__main__":
    main()

"""Stores that are made up: ledgers with rows that a function writes, without any network."""

from __future__ import annotations

import json
import sqlite3

from mho.sweeps import Plan, SweepResult, trials
from mho.sweeps.jobs import jobs_of
from mho.sweeps.ledger import FILE, Ledger

BITS, NOISE, WEIGHT = "hardware.dac.bits", "hardware.noise.output", "hardware.noise.weight"


def store(base, folder, score, *, fail=(), wait=(), digital=0.9, loss=lambda value: 1 - value, error="planted", **more):
    """A sweep whose scores are `score(levels, seed, chip, age)`; trials in `fail` have failed, those in `wait` are open."""
    plan = Plan.read({**base, **more})
    found = trials(plan)
    columns = [
        {"trial": t.number, "point": t.point, "seed": t.config.seed, "digest": t.config.digest(), "factors": json.dumps(t.levels)}
        for t in found
    ]  # fmt: skip
    jobs = [type(job)(job.name, job.kind, job.config) for job in jobs_of(found) if job.kind == "trial"]
    ledger = Ledger.create(folder, {"plan": plan.as_dict()}, jobs, columns, list(plan.factors))
    ledger.close()
    with sqlite3.connect(folder / FILE) as file:
        rows = []
        for trial in found:
            if trial.number in fail or trial.number in wait:
                continue
            rows.append((trial.number, -1, 0.0, 10, digital, 1 - digital, "{}"))
            for c in range(plan.chips):
                for i, age in enumerate(plan.ages):
                    value = score(trial.levels, trial.config.seed, c, i)
                    rows.append((trial.number, c, age, 10, value, loss(value), "{}"))
        file.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        states = [
            ("failed" if t.number in fail else "open" if t.number in wait else "done", str(t.number)) for t in found
        ]
        file.executemany("UPDATE jobs SET state = ?, seconds = 1.0, versions = '' WHERE job = ?", states)
        file.execute("UPDATE jobs SET error = ? WHERE state = 'failed'", (error,))
    file.close()
    return SweepResult(folder)


def rewritten(result, score):
    """The same store with other scores."""
    number = {trial["trial"]: trial for trial in result.trials}
    ages = list(result.plan.ages)
    with sqlite3.connect(result.folder / FILE) as file:
        new = []
        for row in result.rows:
            trial, chip, age = number[row["trial"]], row["chip"], row["age_s"]
            if chip >= 0:
                value = score(trial["factors"], trial["seed"], chip, ages.index(age))
                new.append((value, trial["trial"], chip, age))
        file.executemany("UPDATE rows SET score = ? WHERE trial = ? AND chip = ? AND age_s = ?", new)
    file.close()
    return SweepResult(result.folder)

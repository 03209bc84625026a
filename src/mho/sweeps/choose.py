"""Trials of an adaptive design: the next point follows from what the ledger holds, and from nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from mho.errors import MhoError
from mho.sweeps.designs.adaptive import Adaptive, Tried
from mho.sweeps.designs.base import Point, active
from mho.sweeps.jobs import jobs_of
from mho.sweeps.ledger import Job, Ledger
from mho.sweeps.plan import Plan
from mho.sweeps.trial import trial
from mho.tasks import Task


def choose(ledger: Ledger, workers: int | None = None) -> bool:
    """Add the trials of the next point of the design, where one is wanted: no more points are under way than there are workers.

    Args:
        ledger: The sweep's.
        workers: Their number; None: those that are alive here.

    Returns:
        Whether there may be something new to do.
    """
    if not ledger.to_come():
        return False
    plan = Plan.parse(ledger.meta("plan"))
    before = ledger.rows("SELECT COUNT(*) AS n FROM trials")[0]["n"]
    tried = points_of(ledger, plan)
    if sum(each.state == "running" for each in tried) >= (ledger.base.present() if workers is None else workers):
        return False
    point = plan.design.choose(plan.factors, tried)
    if point is None:
        ledger.end_choosing()
        return False
    contents = ledger.meta("contents")
    try:
        config = plan.at(point)
        found = [trial(plan, point, config, s, contents, len(tried), before + i) for i, s in enumerate(plan.seeds)]
        error = ledger.measured(found[0].config.digest())
    except MhoError as wrong:  # levels that do not go together: a grid refuses them, here nobody could know
        error = str(wrong)
    if error is None:
        return ledger.extend(jobs_of(found), [each.columns() for each in found], before)
    return _fail(ledger, plan, point, len(tried), before, error)


def points_of(ledger: Ledger, plan: Plan) -> list[Tried]:
    """Every point of a sweep in order, with what its trials have reached: the mean over training seeds and chips."""
    design = plan.design
    assert isinstance(design, Adaptive)
    worth = Task.of(plan.task).headline.worth
    age = plan.ages[-1] if design.age is None else design.age
    trials = ledger.rows(
        "SELECT t.trial, t.point, t.factors, j.state, j.costs FROM trials t JOIN jobs j ON j.job = CAST(t.trial AS TEXT) "
        "ORDER BY t.trial"
    )
    measured: dict[int, list[tuple[float, float | None]]] = {}  # read after the states: of what is done, all is there
    query = "SELECT trial, score, loss FROM rows WHERE chip >= 0 AND age_s = ? ORDER BY trial, chip"
    for row in ledger.rows(query, age):
        measured.setdefault(row["trial"], []).append((row["score"], row["loss"]))
    found: dict[int, list[dict[str, Any]]] = {}
    for row in trials:
        mine = measured.get(row["trial"], [])
        means = {"score": _mean([score for score, _ in mine]), "loss": _mean([loss for _, loss in mine])}
        found.setdefault(row["point"], []).append({**dict(row), **means})
    tried = []
    for rows in (found[number] for number in sorted(found)):
        levels = json.loads(str(rows[0]["factors"]))
        states = {str(row["state"]) for row in rows}
        state = next((s for s in ("open", "running", "failed", "pruned") if s in states), "done")
        state = "running" if state == "open" else state
        values = None
        if state == "done":
            of_seeds = [(worth(row["score"]), row["loss"]) for row in rows]
            costs = [json.loads(str(row["costs"] or "{}")) for row in rows]
            each = [
                [objective.value(score, levels, cost) for score, cost in zip(of_seeds, costs, strict=True)]  # type: ignore[arg-type]
                for objective in design.wanted
            ]
            if all(value is not None for one in each for value in one):
                values = tuple(sum(one) / len(one) for one in each)  # type: ignore[arg-type]
        tried.append(Tried(active(levels, plan.factors), state, values))  # type: ignore[arg-type]
    return tried


def _mean(values: Sequence[float | None]) -> float | None:
    """Of the values that are there; here and not in the database, whose means differ in the last digit from another's."""
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def _fail(ledger: Ledger, plan: Plan, point: Point, number: int, before: int, error: str) -> bool:
    """Note a point that cannot be measured, so that others are chosen."""
    levels = json.dumps({path: point.get(path) for path in plan.factors})
    columns = [
        {"trial": before + i, "point": number, "seed": seed, "digest": f"none {before + i}", "factors": levels}
        for i, seed in enumerate(plan.seeds)
    ]
    jobs = [Job(str(before + i), "trial", {}) for i in range(len(columns))]
    return ledger.extend(jobs, columns, before, error)

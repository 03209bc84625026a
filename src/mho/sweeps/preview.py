"""`Preview`: what a sweep will do, shown before anything runs: trials, balance, cost, and that every factor acts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mho.measure.aligned import aligned
from mho.progress import Progress, check_progress, telling
from mho.sweeps.balance import NOTED, SHOWN, associations, counts
from mho.sweeps.estimate import Estimate, estimate
from mho.sweeps.fingerprint import Fingerprints
from mho.sweeps.overlap import overlaps
from mho.sweeps.plan import Plan, refuse
from mho.sweeps.proof import Proof, prove, show
from mho.sweeps.trial import Trial, trials
from mho.sweeps.workshop import Workshop, file_digest, first_network

_LISTED = 20
"""Trials that the text lists."""


@dataclass(frozen=True)
class Preview:
    """A sweep that may run: its factors are proven to act.

    Attributes:
        plan: What is swept.
        trials: Every trial, in order.
        proofs: One a factor.
        estimate: What it costs.
    """

    plan: Plan
    trials: tuple[Trial, ...]
    proofs: tuple[Proof, ...]
    estimate: Estimate

    def text(self, workers: int = 1, *, every_trial: bool = False) -> str:
        """What is shown before a sweep runs.

        Args:
            workers: Processes that will work on it.
            every_trial: List all trials, however many.
        """
        plan, points = self.plan, [t.levels for t in self.trials if t.config.seed == self.plan.seeds[0]]
        seeds = f" × {_many(len(plan.seeds), 'training seed')}" if plan.trained else ""
        lines = [
            f"{_points(plan)}{seeds}, {_many(plan.chips, 'chip')}, {_many(len(plan.ages), 'age')}",
            self.estimate.words(workers),
            "",
            *aligned([["factor", "levels (points at each)", ""]] + [self._factor(p, points) for p in self.proofs]),
            "",
            _balance(points),
            "",
        ]
        most = len(self.trials) if every_trial else _LISTED
        heads = ["trial", *(["seed"] if plan.trained else []), *plan.factors]
        body = [
            [str(t.number), *([str(t.config.seed)] if plan.trained else []), *(show(v) for v in t.levels.values())]
            for t in self.trials[:most]
        ]
        lines += aligned([heads, *body])
        if len(self.trials) > most:
            lines.append(f"… and {len(self.trials) - most} more")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def _factor(self, proof: Proof, points: list[dict[str, Any]]) -> list[str]:
        found = counts(points, proof.path)
        shown = ", ".join(f"{show(json.loads(text))} ({n})" for text, n in found.items())
        numbers = [point[proof.path] for point in points if isinstance(point[proof.path], (int, float))]
        if self.plan.factors[proof.path].listed is None and numbers:
            shown = f"{min(numbers):g} … {max(numbers):g} ({len(numbers)} points)"
        elif len(found) > SHOWN:
            shown = f"{len(found)} levels"
        return [proof.path, shown, str(proof)]


def preview(source: Plan | Mapping[str, Any] | str | Path, *, progress: Progress = None) -> Preview:
    """Look at a sweep without running it.

    Args:
        source: A YAML file, or a mapping of its keys.
        progress: True for a bar, or told of each factor (`mho.progress.Step`).

    Raises:
        BadInput: Files, data or weights that cannot be read.
        WrongSetting: What is wrong with the file, or a factor that does not act: all of it at once.
    """
    check_progress(progress)
    plan = Plan.read(source)
    made = Fingerprints()  # what it reads and makes serves the contents, the proofs and the estimate
    contents = read_contents(plan, made.workshop)
    refuse(overlaps(plan, lambda name: made.workshop.data(name, contents)))
    found = trials(plan, contents)
    first_network(found[0].config)  # what is wrong with the network itself is no factor's fault
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers have it: numbers and times are theirs
    try:
        with telling(progress, "looking at the factors", "factors") as told:
            proofs = prove(plan, contents, made, told)
            told(len(plan.factors), len(plan.factors), known="timing one evaluation")
            cost = estimate(found, made).times(plan.total / len(plan.points()))
    finally:
        torch.set_num_threads(threads)
    return Preview(plan, tuple(found), tuple(proofs), cost)


def read_contents(plan: Plan, workshop: Workshop) -> dict[str, str]:
    """Digests of all data and weights that a plan reads, by name; the workshop keeps the data."""
    sources: dict[str, str] = {}
    for config in plan.every_level():
        sources |= config.sources()
    read = {"data": lambda name: workshop.data(name, {}).digest(), "weights": file_digest}
    return {name: read[kind](name) for name, kind in sources.items()}


def _points(plan: Plan) -> str:
    chosen = plan.total - len(plan.points())
    behind = f": {len(plan.points())} drawn, {chosen} chosen by what is measured" if chosen else ""
    return f"{plan.total} points ({plan.design.kind}{behind})"


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _balance(points: list[dict[str, Any]]) -> str:
    pairs = [(a, b, v) for a, b, v in associations(points) if v > NOTED]
    if not pairs:
        return f"balance: no two factors go together (Cramér's V of each pair is at most {NOTED:g})"
    shown = "; ".join(f"{a} with {b} ({v:.2f})" for a, b, v in pairs[:5])
    return f"balance: these go together, and their effects will be hard to tell apart (Cramér's V): {shown}"

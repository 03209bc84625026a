"""Which jobs a sweep is made of: its trials, and the trainings that they share."""

from __future__ import annotations

from collections.abc import Sequence

from mho.sweeps import keys
from mho.sweeps.ledger import Job
from mho.sweeps.trial import Trial


def jobs_of(trials: Sequence[Trial]) -> list[Job]:
    """Every training once, before the first trial that needs it, and every trial.

    Seed by seed; trials of one network, with the same ranges, follow each other, so that a worker makes them once.
    """
    found: dict[str, Job] = {}
    rank: dict[str, int] = {}
    places = []
    for trial in trials:
        made = (keys.trained, keys.ranges, keys.programmed, keys.converted)
        parts = (f"seed {trial.config.seed}", *(key(trial.config) for key in made))
        places.append(tuple(rank.setdefault(part, len(rank)) for part in parts))
    for _, trial in sorted(zip(places, trials, strict=True), key=lambda pair: pair[0]):
        config, needs = trial.config, None
        if config.pretraining is not None:
            needs = keys.digital(config)
            found.setdefault(needs, Job(needs, "pretraining", config.as_dict()))
        if config.training is not None:
            before, needs = needs, keys.trained(config)
            found.setdefault(needs, Job(needs, "training", config.as_dict(), before))
        found[str(trial.number)] = Job(
            str(trial.number), "trial", config.as_dict(), needs, int(keys.ranges(config), 16)
        )  # fmt: skip
    return list(found.values())

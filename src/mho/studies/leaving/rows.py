"""Rows of the study: what exits, choices of exits and thresholds give on a network or chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

import mho
from mho.data import Dataset
from mho.exits import (
    Answers,
    Chosen,
    Decided,
    Early,
    Entropy,
    ExitEnergy,
    Fixed,
    Gate,
    Margin,
    Probability,
    best_exit,
    decide,
    front,
    tune,
)
from mho.models.multi_exit import MultiExit
from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval
from mho.studies.placed import Values

BUDGET = 0.7
"""Share of the backbone's multiply-accumulates that thresholds are tuned for."""
BUDGETS = (0.4, 0.5, 0.6, 0.8, 0.9, 1.0)
"""Further ones, for accuracy over what is spent."""
LEAN = 0.6
"""Share that digital thresholds are tuned for which are to keep the accuracy."""
RULES = ("probability", "margin", "gate")
"""What may decide in place of entropy."""
SURE = 0.3
"""Entropy in nats below which a sample counts as sure, whatever the network."""


def tuned(answers: Answers, *budgets: float) -> list[Chosen]:
    """Entropy thresholds for budgets, or for the least that can be spent."""
    return front(answers, macs=[max(budget, _least(answers)) for budget in budgets])


def by_rules(answers: Answers) -> dict[str, Chosen]:
    """Other rules for the budget of entropy's thresholds, from the same images: the gate learns from one half and is tuned on the
    other."""
    budget, half = max(BUDGET, _least(answers)), len(answers) // 2
    gate = Gate.learn(answers.part(slice(half)))
    return {
        "probability": tune(answers, Probability, macs=budget), "margin": tune(answers, Margin, macs=budget),
        "gate": tune(answers.part(slice(half, None)), gate, macs=budget),
    }  # fmt: skip


def _least(answers: Answers) -> float:
    return answers.macs.deciding[0] / answers.macs.alone[-1]


def best_mix(macs: Sequence[float], known: Sequence[float], spent: float) -> list[float]:
    """Which shares of the samples to send to which fixed exits, by a coin, so as to spend so much at most; the best by accuracies
    that are known of other images.

    Args:
        macs: What each exit spends.
        known: Accuracy of each.
        spent: The budget; where it is below all exits, the cheapest is taken.
    """
    best, shares = -1.0, [0.0] * len(macs)
    for i, j in product(range(len(macs)), repeat=2):
        if macs[i] > spent or (i != j and macs[j] <= spent):
            continue
        part = 0.0 if i == j else (spent - macs[i]) / (macs[j] - macs[i])
        if (value := (1 - part) * known[i] + part * known[j]) > best:
            best, shares = value, [0.0] * len(macs)
            shares[i], shares[j] = 1 - part, part if i != j else 1.0
    if best < 0:
        shares[int(np.argmin(macs))] = 1.0
    return shares


@dataclass(frozen=True)
class Seen:
    """What one network's exits answer, and what each choice gives on the test.

    Attributes:
        choice: Answers on images that choices are made on.
        test: Answers on others.
        found: "static": the best exit; "clean": thresholds of the digital network; "again": tuned here, as `RULES` are.
        budgets: "again" and thresholds for further budgets.
    """

    choice: Answers
    test: Answers
    found: Mapping[str, Decided]
    budgets: Sequence[Decided]

    @classmethod
    def of(cls, choice: Answers, test: Answers, clean: Chosen) -> Seen:
        """Choose, and report."""
        budgets = [each.report(test) for each in tuned(choice, BUDGET, 0.0, *BUDGETS)]
        found = {"static": best_exit(choice).report(test), "clean": clean.report(test), "again": budgets[0]}
        found |= {name: chosen.report(test) for name, chosen in by_rules(choice).items()}
        return cls(choice, test, found, budgets)

    def gains(self) -> dict[str, Values]:
        """Of each image: what a choice gains over the last exit, or thresholds over the best mix of fixed exits that spends as
        much, which is chosen on the same images as they; and what other rules gain there more than entropy."""
        right = self.test.right.double()
        last = {name: (self.found[name].right.double() - right[:, -1]).numpy() for name in ("static", "clean", "again")}
        known = [self.choice.accuracy(name) for name in self.choice.names]
        macs = [m / self.test.macs.alone[-1] for m in self.test.macs.alone]
        fixed = {}
        for name in ("clean", "again", *RULES):
            shares = torch.tensor(best_mix(macs, known, self.found[name].macs_share), dtype=right.dtype)
            fixed[name] = (self.found[name].right.double() - right @ shares).numpy()
        return {
            "static": last["static"], "kept": last["clean"], "tuning": last["again"] - last["clean"],
            "over_fixed": fixed["again"], "retuned": fixed["again"] - fixed["clean"],
            **{name: fixed[name] - fixed["again"] for name in RULES},
        }  # fmt: skip


def row_of(setting: str, chip: int, age: str, seen: Seen, energy: ExitEnergy | None) -> dict[str, Any]:
    """What one chip's exits give on the test, and what was chosen elsewhere gives there."""
    test, found = seen.test, seen.found
    return {
        "setting": setting, "chip": chip, "age": age, "samples": len(test),
        "accuracy": [round(test.accuracy(name), 6) for name in test.names],
        "choice_accuracy": [round(seen.choice.accuracy(name), 6) for name in test.names],
        "recall": {name: [round(r, 4) for r in recalls] for name, recalls in test.per_class().items()},
        "static_exit": int(found["static"].exits[0]) + 1,
        **{f"{name}_accuracy": round(d.accuracy.value, 6) for name, d in found.items()},
        **{f"{name}_macs": round(d.macs_share, 6) for name, d in found.items()},
        **({f"{name}_energy": round(energy.share(d), 6) for name, d in found.items()} if energy else {}),
        "front": _front(seen.budgets, energy), **({"exit_energy": _shares(energy)} if energy else {}),
        "sure_first": round(decide(test, Entropy(SURE)).shares["exit1"], 6),
        "exit_macs": [round(m / test.macs.alone[-1], 6) for m in test.macs.alone],
    }  # fmt: skip


def alone_row(setting: str, chip: int, age: str, net: MultiExit, test: Dataset, number: int) -> dict[str, Any]:
    """What one exit (from 1) gives, computed as far as to there."""
    accuracy = mho.accuracy(Early(net, Fixed(number - 1)), test, seed=1 + chip)
    return {"setting": setting, "chip": chip, "age": age, "samples": len(test.labels), "accuracy": round(accuracy, 6)}


def _front(given: Sequence[Decided], energy: ExitEnergy | None) -> dict[str, list[float]]:
    """Accuracy and what is spent (as shares of the network's without exits) of thresholds for several budgets."""
    given = sorted(given, key=lambda each: each.macs_share)
    found = {
        "macs": [round(each.macs_share, 6) for each in given],
        "accuracy": [round(each.accuracy.value, 6) for each in given],
    }
    return found | ({"energy": [round(energy.share(each), 6) for each in given]} if energy else {})


def _shares(energy: ExitEnergy) -> list[float]:
    return [round(each / energy.alone[-1], 6) for each in energy.alone]


def of_all(exits: int, places: int) -> float:
    """Confidence of each of so many exits at so many places, for 95 % of all together (Bonferroni)."""
    return 1 - 0.05 / (exits * places)


def place_row(setting: str, age: str, chips: Sequence[Seen], places: int) -> dict[str, Any]:
    """How far the last exit leads each other one, and what choices gain, with intervals over chips and images.

    "lead_of_all" holds together for all exits and so many settings and ages, "lead_of_class" for all classes, too.
    """
    right = np.array([seen.test.right.double().numpy() for seen in chips])
    labels, names = chips[0].test.labels.numpy(), chips[0].test.classes
    lead = right[:, :, -1:] - right[:, :, :-1]
    exits, gains = range(lead.shape[2]), [seen.gains() for seen in chips]
    of_class = 1 - 0.05 / (len(names) * len(exits) * places)
    return {
        "setting": setting, "age": age, "chips": len(chips),
        "lead": [_rounded(over_units(lead[:, :, k], 0.95)) for k in exits],
        "lead_of_all": [_rounded(over_units(lead[:, :, k], of_all(len(exits), places))) for k in exits],
        "lead_of_class": {
            name: [_rounded(over_units(lead[:, labels == c, k], of_class)) for k in exits]
            for c, name in enumerate(names) if (labels == c).sum() > 1
        },
        "gains": {name: _rounded(over_units(np.array([each[name] for each in gains]), 0.95)) for name in gains[0]},
    }  # fmt: skip


def _rounded(found: Interval) -> list[float]:
    return [round(v, 6) for v in (found.value, found.low, found.high)]

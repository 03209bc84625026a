"""Rows of the study, and `Measured`, which reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.exits import Answers, Chosen, Decided, Entropy, ExitEnergy, best_exit, decide, tune
from mho.statistics.crossed import crossed
from mho.statistics.intervals import Interval, mean_interval
from mho.studies.outcome import show_level
from mho.studies.placed import Place, Placed, Rows, shown
from mho.studies.table import Table

BUDGET = 0.7
"""Share of the backbone's multiply-accumulates that thresholds are tuned for."""
BUDGETS = (0.4, 0.5, 0.6, 0.8, 0.9, 1.0)
"""Further ones, for accuracy over what is spent."""
SURE = 0.3
"""Entropy in nats below which a sample counts as sure, whatever the network."""


def tuned(answers: Answers, budget: float = BUDGET) -> Chosen:
    """Entropy thresholds for a budget, or for the least that can be spent."""
    return tune(answers, macs=max(budget, answers.macs.deciding[0] / answers.macs.alone[-1]))


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


def row_of(
    setting: str, chip: int, age: str, choice: Answers, test: Answers, clean: Chosen, energy: ExitEnergy | None
) -> dict[str, Any]:
    """What one chip's exits give on the test, and what was chosen elsewhere gives there."""
    static = best_exit(choice)
    found = {"static": static.report(test), "clean": clean.report(test), "again": tuned(choice).report(test)}
    return {
        "setting": setting, "chip": chip, "age": age, "samples": len(test),
        "accuracy": [round(test.accuracy(name), 6) for name in test.names],
        "choice_accuracy": [round(choice.accuracy(name), 6) for name in choice.names],
        "recall": {name: [round(r, 4) for r in recalls] for name, recalls in test.per_class().items()},
        "static_exit": static.rule.exit + 1,  # type: ignore[attr-defined]
        **{f"{name}_accuracy": round(d.accuracy.value, 6) for name, d in found.items()},
        **{f"{name}_macs": round(d.macs_share, 6) for name, d in found.items()},
        **({f"{name}_energy": round(energy.share(d), 6) for name, d in found.items()} if energy else {}),
        "front": _front(choice, test, energy, found["again"]), **({"exit_energy": _shares(energy)} if energy else {}),
        "sure_first": round(decide(test, Entropy(SURE)).shares["exit1"], 6),
        "exit_macs": [round(m / test.macs.alone[-1], 6) for m in test.macs.alone],
    }  # fmt: skip


def _front(choice: Answers, test: Answers, energy: ExitEnergy | None, again: Decided) -> dict[str, list[float]]:
    """Accuracy and what is spent (as shares of the network's without exits) of `again` and thresholds tuned for other budgets."""
    given = [again, *(tuned(choice, budget).report(test) for budget in (0.0, *BUDGETS))]
    given.sort(key=lambda each: each.macs_share)
    found = {
        "macs": [round(each.macs_share, 6) for each in given],
        "accuracy": [round(each.accuracy.value, 6) for each in given],
    }
    return found | ({"energy": [round(energy.share(each), 6) for each in given]} if energy else {})


def _shares(energy: ExitEnergy) -> list[float]:
    return [round(each / energy.alone[-1], 6) for each in energy.alone]


def lead_row(setting: str, age: str, chips: Sequence[Answers], places: int) -> dict[str, Any]:
    """How far the last exit leads each other one, with intervals over chips and images: of all images and of each class.

    Those of classes hold together: 95 % over all classes and exits, and so many settings and ages.
    """
    right = np.array([answers.right.double().numpy() for answers in chips])
    labels, names = chips[0].labels.numpy(), chips[0].classes
    lead = right[:, :, -1:] - right[:, :, :-1]
    exits = range(lead.shape[2])
    each = 1 - 0.05 / (len(names) * len(exits) * places)
    return {
        "setting": setting, "age": age, "chips": len(chips),
        "lead": [_rounded(crossed(lead[:, :, k], 0.95)) for k in exits],
        "lead_of_class": {
            name: [_rounded(crossed(lead[:, labels == c, k], each)) for k in exits]
            for c, name in enumerate(names) if (labels == c).sum() > 1
        },
    }  # fmt: skip


def _rounded(found: Interval) -> list[float]:
    return [round(v, 6) for v in (found.value, found.low, found.high)]


class Measured(Placed):
    """Reads the rows of an arm."""

    def at(self, place: Place) -> Rows:
        """The rows of the chips at a place."""
        return [row for row in self.outcome.first if (row["setting"], row["age"]) == place and "chip" in row]

    def leads(self, place: Place) -> dict[str, Any]:
        """The row of `lead_row` at a place."""
        return next(
            row for row in self.outcome.first if (row["setting"], row["age"]) == place and "lead" in row
        )  # fmt: skip

    def values(self, place: Place, of: str) -> NDArray[np.float64]:
        """One a chip."""
        return np.array([row[of] for row in self.at(place)], dtype=np.float64)

    def per_chip(self, exit_: int) -> NDArray[np.float64]:
        """Accuracy (σ, chips) of an exit."""
        return np.array([self.values((f"σ {s:g}", "0 s"), "accuracy")[:, exit_] for s in self.sigmas])

    def level(self, place: Place, exit_: int) -> Interval:
        """Mean accuracy of an exit."""
        return mean_interval(self.values(place, "accuracy")[:, exit_])

    def over_fixed(self, place: Place, name: str) -> NDArray[np.float64]:
        """Accuracy of thresholds, ``clean`` or ``again``, less that of the best mix of fixed exits that spends as much, by chips.

        The mix is chosen on the images that thresholds are chosen on.
        """
        found = []
        for row in self.at(place):
            shares = best_mix(row["exit_macs"], row["choice_accuracy"], row[f"{name}_macs"])
            found.append(row[f"{name}_accuracy"] - float(np.dot(shares, row["accuracy"])))
        return np.array(found)

    def spending(self, place: Place, spent: float, *, energy: bool = False) -> NDArray[np.float64]:
        """Accuracy of thresholds tuned again that spend so much, between those that were tuned; one a chip."""
        found = []
        for row in self.at(place):
            front = row["front"]
            found.append(np.interp(spent, front["energy" if energy else "macs"], front["accuracy"]))
        return np.array(found)

    def table(self) -> Table:
        """Accuracy of every exit, of the chosen exit, and by entropy, at each setting and age."""
        names = [f"exit {k + 1}" for k in range(len(self.digital["accuracy"]))]
        lines = []
        for place in [("digital", "0 s"), *self.places]:
            at = self.at(place)
            exits = [_shown(self.level(place, k)) for k in range(len(names))]
            chosen = [row["static_exit"] for row in at]
            counts = ", ".join(f"{e}: {chosen.count(e)}" for e in sorted(set(chosen)))
            parts = [_shown(mean_interval(self.values(place, f"{n}_accuracy"))) for n in ("static", "clean", "again")]
            spent = [_pair(at, key) for key in ("macs", "energy")]
            lines.append([shown(place), *exits, counts, *parts, *spent])
        head = [self.label, *names, "best exit: chips", "best exit (%)", "entropy, digital T (%)", "entropy, tuned again (%)",
                "MACs of both (%)", "energy of both (%)"]  # fmt: skip
        return Table(head, lines)


def _shown(found: Interval) -> str:
    return show_level(found) if np.isfinite(found.low) else f"{100 * found.value:.1f}"


def _pair(rows: Rows, key: str) -> str:
    if f"clean_{key}" not in rows[0]:
        return ""
    return " / ".join(f"{100 * np.mean([row[f'{name}_{key}'] for row in rows]):.0f}" for name in ("clean", "again"))

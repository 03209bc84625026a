"""Rows of the study, and `Measured`, which reads them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, Literal

import numpy as np

import mho
from mho.data import Dataset
from mho.exits import Answers, Chosen, Decided, Early, Entropy, ExitEnergy, Fixed, best_exit, decide, front
from mho.models.multi_exit import MultiExit
from mho.statistics.crossed import over_units
from mho.statistics.intervals import Interval
from mho.studies.outcome import show_level
from mho.studies.placed import Place, Placed, Values, over, over_seeds, shown
from mho.studies.table import Table

BUDGET = 0.7
"""Share of the backbone's multiply-accumulates that thresholds are tuned for."""
BUDGETS = (0.4, 0.5, 0.6, 0.8, 0.9, 1.0)
"""Further ones, for accuracy over what is spent."""
SURE = 0.3
"""Entropy in nats below which a sample counts as sure, whatever the network."""


def tuned(answers: Answers, *budgets: float) -> list[Chosen]:
    """Entropy thresholds for budgets, or for the least that can be spent."""
    least = answers.macs.deciding[0] / answers.macs.alone[-1]
    return front(answers, macs=[max(budget, least) for budget in budgets])


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
    static, budgets = best_exit(choice), [each.report(test) for each in tuned(choice, BUDGET, 0.0, *BUDGETS)]
    found = {"static": static.report(test), "clean": clean.report(test), "again": budgets[0]}
    return {
        "setting": setting, "chip": chip, "age": age, "samples": len(test),
        "accuracy": [round(test.accuracy(name), 6) for name in test.names],
        "choice_accuracy": [round(choice.accuracy(name), 6) for name in choice.names],
        "recall": {name: [round(r, 4) for r in recalls] for name, recalls in test.per_class().items()},
        "static_exit": static.rule.exit + 1,  # type: ignore[attr-defined]
        **{f"{name}_accuracy": round(d.accuracy.value, 6) for name, d in found.items()},
        **{f"{name}_macs": round(d.macs_share, 6) for name, d in found.items()},
        **({f"{name}_energy": round(energy.share(d), 6) for name, d in found.items()} if energy else {}),
        "front": _front(budgets, energy), **({"exit_energy": _shares(energy)} if energy else {}),
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
        "lead": [_rounded(over_units(lead[:, :, k], 0.95)) for k in exits],
        "lead_of_class": {
            name: [_rounded(over_units(lead[:, labels == c, k], each)) for k in exits]
            for c, name in enumerate(names) if (labels == c).sum() > 1
        },
    }  # fmt: skip


def _rounded(found: Interval) -> list[float]:
    return [round(v, 6) for v in (found.value, found.low, found.high)]


class Measured(Placed):
    """Reads the rows of an arm."""

    @property
    def count(self) -> int:
        """Of exits."""
        return len(self.digitals[0]["accuracy"])

    def leads(self, place: Place) -> list[dict[str, Any]]:
        """The rows of `lead_row` at a place, one a training seed."""
        return [
            next(row for row in self.outcome.runs[seed] if (row["setting"], row["age"]) == place and "lead" in row)
            for seed in self.seeds
        ]

    def lead(self, place: Place) -> Interval:
        """The last exit less the first, over chips, images and training seeds."""
        return over_seeds([Interval(*row["lead"][0]) for row in self.leads(place)])

    def values(self, place: Place, of: str) -> Values:
        """What rows say under a name."""
        return self.each(place, lambda row: row[of])

    def exit(self, place: Place, number: int) -> Values:
        """Accuracy of an exit."""
        return self.each(place, lambda row: row["accuracy"][number])

    def level(self, place: Place, number: int) -> Interval:
        """Mean accuracy of an exit."""
        return over(self.exit(place, number))

    def slopes(self, number: int) -> Values:
        """What an exit's accuracy changes by with σ, for 0.1 of it; at σ = 0 all chips are alike."""
        x = np.array(self.sigmas) - np.mean(self.sigmas)
        y = np.broadcast_arrays(*(self.exit((f"σ {s:g}", "0 s"), number) for s in self.sigmas))
        return np.asarray(0.1 * np.tensordot(x, np.array(y), 1) / (x @ x))

    def kept(self, number: int) -> Values:
        """Share of an exit's accuracy above chance at σ = 0 that is left, mean over σ > 0."""
        chance = 1 / len(self.digital()["recall"])
        clean = self.exit(("σ 0", "0 s"), number) - chance
        return np.mean([(self.exit(place, number) - chance) / clean for place in self.noisy], 0)

    def best(self, place: Place, by: Literal["digital", "others", "own"]) -> Values:
        """Number of the exit, from 0, that calibration images choose for each chip.

        Args:
            place: Setting and age.
            by: "digital": on the digital network; "others": on the other chips of the place, by their mean; "own": on the chip.
        """
        own = self.values(place, "static_exit") - 1
        if by == "own":
            return own
        if by == "digital":
            return np.broadcast_to(np.array([row["static_exit"] - 1 for row in self.digitals]), own.shape)
        known = np.array([self.each(place, lambda row, k=k: row["choice_accuracy"][k]) for k in range(self.count)])  # type: ignore[misc]
        return np.asarray((known.sum(1, keepdims=True) - known).argmax(0))

    def with_exits(self, place: Place, numbers: Values) -> Values:
        """Accuracy of an exit for each chip."""
        given = np.array([self.exit(place, k) for k in range(self.count)])
        return np.take_along_axis(given, numbers.astype(np.int64)[None], 0)[0]

    def over_fixed(self, place: Place, name: str) -> Values:
        """Accuracy of thresholds, ``clean`` or ``again``, less that of the best mix of fixed exits that spends as much.

        The mix is chosen on the images that thresholds are chosen on.
        """

        def gain(row: dict[str, Any]) -> float:
            shares = best_mix(row["exit_macs"], row["choice_accuracy"], row[f"{name}_macs"])
            return float(row[f"{name}_accuracy"] - np.dot(shares, row["accuracy"]))

        return self.each(place, gain)

    def spending(self, place: Place, spent: float, *, energy: bool = False) -> Values:
        """Accuracy of thresholds tuned again that spend so much, between those that were tuned."""
        key = "energy" if energy else "macs"
        return self.each(place, lambda row: float(np.interp(spent, row["front"][key], row["front"]["accuracy"])))

    def table(self) -> Table:
        """Accuracy of every exit, of the chosen exit, and by entropy, at each setting and age."""
        names, lines = [f"exit {k + 1}" for k in range(self.count)], []
        for place in [("digital", "0 s"), *self.places]:
            exits = [_shown(self.level(place, k)) for k in range(len(names))]
            chosen = self.values(place, "static_exit").ravel().astype(int).tolist()
            counts = ", ".join(f"{e}: {chosen.count(e)}" for e in sorted(set(chosen)))
            parts = [_shown(over(self.values(place, f"{n}_accuracy"))) for n in ("static", "clean", "again")]
            spent = [self._spent(place, key) for key in ("macs", "energy")]
            lines.append([shown(place), *exits, counts, *parts, *spent])
        head = [self.label, *names, "best exit: chips", "best exit (%)", "entropy, digital T (%)", "entropy, tuned again (%)",
                "MACs of both (%)", "energy of both (%)"]  # fmt: skip
        return Table(head, lines)

    def _spent(self, place: Place, key: str) -> str:
        if f"clean_{key}" not in self.at(place)[0]:
            return ""
        return " / ".join(f"{100 * self.values(place, f'{name}_{key}').mean():.0f}" for name in ("clean", "again"))


def _shown(found: Interval) -> str:
    return show_level(found) if found.half_width else f"{100 * found.value:.1f}"

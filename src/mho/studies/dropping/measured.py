"""`Measured`: reads the rows of an arm."""

from __future__ import annotations

from typing import Any

import numpy as np

from mho.statistics.intervals import Interval
from mho.studies.dropping.learner import TRAINED_AT
from mho.studies.dropping.rows import between
from mho.studies.outcome import show_level
from mho.studies.placed import DIGITAL, Place, Placed, Values, over, shown
from mho.studies.table import Table

CHOICES = {
    "original": "original network, all blocks", "all": "all blocks", "joint": "joint policy", "clean": "clean policy",
    "sigma": f"policy for σ = {TRAINED_AT:g}", "aged": "policy for aged pcm", "on_chip": "clean policy on the chip",
    "exact": "exact policy", "random": "random, as many", "fewer": "fixed, fewer", "more": "fixed, more",
    "fixed": "fixed, as many", "best": "fixed, earning most",
}  # fmt: skip
"""Names of the choices of blocks; ``fixed`` is made of ``fewer`` and ``more``."""
_SHOWN = ("original", "all", "joint", "clean", "sigma", "aged", "on_chip", "exact", "random", "fixed", "best")


class Measured(Placed):
    """Reads the rows of an arm."""

    def values(self, place: Place, choice: str, of: str = "accuracy") -> Values:
        """Of a choice of blocks."""

        def value(row: dict[str, Any]) -> float:
            values, blocks = ({name: each[key] for name, each in row["choices"].items()} for key in (of, "blocks"))
            return float(between(values, blocks) if choice == "fixed" else values[choice])

        return self.each(place, value)

    @property
    def exact(self) -> bool:
        """Whether a policy was taught by the rewards of all choices."""
        return "exact" in self.digital()["choices"]

    def drops(self, place: Place, *choices: str) -> bool:
        """Whether one of some choices drops a block there."""
        there = self.values(place, "all", "blocks")
        return any(bool((self.values(place, choice, "blocks") < there).any()) for choice in choices)

    def level(self, place: Place, choice: str) -> Interval:
        """Mean accuracy."""
        return over(self.values(place, choice))

    def accuracies(self) -> Table:
        """Every choice at every place."""
        lines, names = [], [name for name in _SHOWN if name != "exact" or self.exact]
        for place in [DIGITAL, *self.places]:
            there = [name for name in names if name != "on_chip" or place != DIGITAL]
            cells = {name: show_level(self.level(place, name)).removesuffix(" ± 0.0") for name in there}
            lines.append([shown(place), *(cells.get(name, "") for name in names)])
        return Table([f"{self.label}: accuracy (%)", *(CHOICES[name] for name in names)], lines)

    def costs(self) -> Table:
        """Blocks, distinct choices, reward and cost of every choice on the digital network."""
        lines = []
        for name in self.digital()["choices"]:
            found = [row["choices"][name] for row in self.digitals]
            mean = {key: np.mean([each[key] for each in found]) for key in ("blocks", "spread", "reward")}
            share = np.mean([row["macs"][name] for row in self.digitals])
            distinct = ", ".join(str(each["policies"]) for each in found)
            blocks = f"{mean['blocks']:.2f} ± {mean['spread']:.2f}"
            lines.append([CHOICES[name], blocks, distinct, f"{mean['reward']:.3f}", f"{100 * share:.1f}"])
        head = [f"{self.label}: digital", "blocks (± deviation)", "distinct choices", "reward", "MACs (%)"]
        return Table(head, lines)

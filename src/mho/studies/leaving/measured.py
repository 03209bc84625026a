"""`Measured`: reads the rows of an arm."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mho.statistics.intervals import Interval
from mho.studies.leaving.rows import of_all
from mho.studies.outcome import NotStored, show_level
from mho.studies.placed import DIGITAL, Place, Placed, Values, over, over_seeds, shown
from mho.studies.table import Table

_STANDING = 0.2
"""Share of the accuracy above chance from which on an exit counts as standing."""


class Measured(Placed):
    """Reads the rows of an arm."""

    @property
    def count(self) -> int:
        """Of exits."""
        return len(self.digitals[0]["accuracy"])

    def lead(self, place: Place, number: int = 0, of: str = "lead") -> Interval:
        """The last exit less another, the first by default, over chips, images and training seeds."""
        confidence = of_all(self.count - 1, 1 + len(self.places)) if of == "lead_of_all" else 0.95
        return over_seeds([Interval(*row[of][number]) for row in self.held(place)], confidence)

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
        """Share of an exit's accuracy above chance at σ = 0 that is left, mean over those σ > 0 at which first and last exit
        keep a fifth of theirs: below, both stand at the floor."""
        chance = 1 / len(self.digital()["recall"])
        left = {
            k: [(self.exit(p, k) - chance) / (self.exit(("σ 0", "0 s"), k) - chance) for p in self.noisy]
            for k in (0, -1, number)
        }
        standing = [i for i in range(len(self.noisy)) if min(left[0][i].mean(), left[-1][i].mean()) >= _STANDING]
        if not standing:
            raise NotStored(f"no exit of '{self.name}' stands at any σ", "measure smaller ones", path=self.name)
        return np.mean([left[number][i] for i in standing], 0)

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

    def spending(self, place: Place, spent: float, *, energy: bool = False) -> Values:
        """Accuracy of thresholds tuned again that spend so much, between those that were tuned.

        Raises:
            NotStored: All of them spend more.
        """
        key = "energy" if energy else "macs"

        def between(row: dict[str, Any]) -> float:
            x, y = np.array(row["front"][key]), np.array(row["front"]["accuracy"])
            if spent < x.min():
                raise NotStored(
                    f"thresholds of '{self.name}' spend {x.min():g} at least", "tune for less", path=self.name
                )
            order = np.argsort(
                x, kind="stable"
            )  # budgets are of multiply-accumulates, in whose order energies need not rise
            return float(np.interp(spent, x[order], y[order]))

        return self.each(place, between)

    def table(self) -> Table:
        """Accuracy of every exit, of the chosen exit, and by entropy, at each setting and age."""
        names, lines = [f"exit {k + 1}" for k in range(self.count)], []
        for place in [DIGITAL, *self.places]:
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

"""Rows of the study: what each choice of blocks gives, and `Measured`, which reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.blocks import Dropped, Reward
from mho.statistics.intervals import Interval, mean_interval
from mho.studies.dropping.learner import TRAINED_AT
from mho.studies.outcome import show_level
from mho.studies.placed import Place, Placed, shown
from mho.studies.table import Table

CHOICES = {
    "all": "all blocks", "clean": "clean policy", "sigma": f"policy for σ = {TRAINED_AT:g}", "aged": "policy for aged pcm",
    "on_chip": "clean policy on the chip", "random": "random, as many", "fewer": "fixed, fewer", "more": "fixed, more",
    "fixed": "fixed, as many",
}  # fmt: skip
"""Names of the choices of blocks; ``fixed`` is made of ``fewer`` and ``more``."""
_SHOWN = ("all", "clean", "sigma", "aged", "on_chip", "random", "fixed")


def row_of(setting: str, chip: int, age: str, found: Mapping[str, Dropped], reward: Reward) -> dict[str, Any]:
    """What each choice of blocks gives on a chip of an age."""
    choices = {}
    for name, each in found.items():
        counts = each.counts.double()
        choices[name] = {
            "accuracy": round(float(each.right.double().mean()), 6), "blocks": round(float(counts.mean()), 4),
            "spread": round(float(counts.std(correction=0)), 4), "policies": each.policies,
            "reward": round(float(reward(each.keep, each.right).mean()), 6),
        }  # fmt: skip
    return {"setting": setting, "chip": chip, "age": age, "choices": choices}


def digital_row(found: Mapping[str, Dropped], reward: Reward) -> dict[str, Any]:
    """The same of the digital network: also what the clean policy gains, paired by images, and what choices cost."""
    right = {name: each.right.double().numpy() for name, each in found.items()}
    blocks = {name: float(each.counts.double().mean()) for name, each in found.items()}
    gains = {"random": right["clean"] - right["random"], "fixed": right["clean"] - _between(right, blocks)}
    shown = {name: mean_interval(gain) for name, gain in gains.items()}
    return {
        **row_of("digital", -1, "0 s", found, reward), "samples": len(right["clean"]),
        "classes": len(found["clean"].classes),
        "gains": {name: [round(v, 6) for v in (i.value, i.low, i.high)] for name, i in shown.items()},
        "macs": {
            name: round(replace(each, decided=name in ("clean", "sigma", "aged")).macs_share, 6)
            for name, each in found.items()
        },
    }  # fmt: skip


def _between(values: Mapping[str, Any], blocks: Mapping[str, float]) -> Any:
    """Of fixed blocks, at the clean policy's mean number."""
    width = blocks["more"] - blocks["fewer"]
    part = (blocks["clean"] - blocks["fewer"]) / width if width else 0.0
    return (1 - part) * values["fewer"] + part * values["more"]


class Measured(Placed):
    """Reads the rows of an arm."""

    @property
    def noisy(self) -> list[Place]:
        """Those of a σ above 0."""
        return [place for place in self.varied if place[0] != "pcm"]

    @property
    def aged(self) -> list[Place]:
        """Those of pcm."""
        return [place for place in self.places if place[0] == "pcm"]

    def values(self, place: Place, choice: str, of: str = "accuracy") -> NDArray[np.float64]:
        """Of a choice of blocks, one a chip."""
        found = []
        for row in self.outcome.first:
            if (row["setting"], row["age"]) == place:
                values, blocks = ({name: each[key] for name, each in row["choices"].items()} for key in (of, "blocks"))
                found.append(_between(values, blocks) if choice == "fixed" else values[choice])
        return np.array(found)

    def level(self, place: Place, choice: str) -> Interval:
        """Mean accuracy over chips; without an interval where all are alike."""
        values = self.values(place, choice)
        return Interval(*[float(values[0])] * 3) if len(values) == 1 else mean_interval(values)

    def apart(self, place: Place, one: str, other: str, of: str = "accuracy") -> Interval:
        """One choice less another on the same chips."""
        return mean_interval(self.values(place, one, of) - self.values(place, other, of))

    def accuracies(self) -> Table:
        """Every choice at every place."""
        lines = []
        for place in [("digital", "0 s"), *self.places]:
            names = [n for n in _SHOWN if n != "on_chip" or place[0] != "digital"]
            cells = {name: show_level(self.level(place, name)).removesuffix(" ± 0.0") for name in names}
            lines.append([shown(place), *(cells.get(name, "") for name in _SHOWN)])
        return Table([f"{self.label}: accuracy (%)", *(CHOICES[name] for name in _SHOWN)], lines)

    def costs(self) -> Table:
        """Blocks, distinct choices, reward and cost of every choice on the digital network."""
        lines = []
        for name, each in self.digital["choices"].items():
            blocks, share = f"{each['blocks']:.2f} ± {each['spread']:.2f}", f"{100 * self.digital['macs'][name]:.1f}"
            lines.append([CHOICES[name], blocks, str(each["policies"]), f"{each['reward']:.3f}", share])
        head = [f"{self.label}: digital", "blocks (± deviation)", "distinct choices", "reward", "MACs (%)"]
        return Table(head, lines)

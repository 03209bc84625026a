"""Rows of the study: what each choice of blocks gives, and `Measured`, which reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mho.blocks import Dropped, Reward, drop
from mho.data import Dataset
from mho.models.block_drop import BlockDrop
from mho.statistics.intervals import Interval, mean_interval
from mho.studies.dropping.learner import TRAINED_AT
from mho.studies.outcome import show_level
from mho.studies.placed import Place, Placed, Values, over, shown
from mho.studies.table import Table

CHOICES = {
    "all": "all blocks", "clean": "clean policy", "sigma": f"policy for σ = {TRAINED_AT:g}", "aged": "policy for aged pcm",
    "on_chip": "clean policy on the chip", "random": "random, as many", "fewer": "fixed, fewer", "more": "fixed, more",
    "fixed": "fixed, as many",
}  # fmt: skip
"""Names of the choices of blocks; ``fixed`` is made of ``fewer`` and ``more``."""
_SHOWN = ("all", "clean", "sigma", "aged", "on_chip", "random", "fixed")


def dropped(net: BlockDrop, data: Dataset, keeps: Mapping[str, Tensor], *, seed: int = 0) -> dict[str, Dropped]:
    """What each choice of blocks gives. An image is computed once for all choices that keep the same blocks of it, so that
    choices that agree answer alike also where noise is drawn for each product.

    Args:
        net: Digital, or a chip's.
        data: N images.
        keeps: Choices by name, bool (N, K) or (K,).
        seed: See `drop`.
    """
    images = torch.arange(len(data.labels))
    given = {name: keep.expand(len(images), -1) for name, keep in keeps.items()}
    asked = torch.cat([torch.cat([images[:, None], keep.long()], 1) for keep in given.values()])
    once, which = asked.unique(dim=0, return_inverse=True)
    some = replace(data, inputs=data.inputs[once[:, 0]], labels=data.labels[once[:, 0]])
    found = drop(net, some, once[:, 1:].bool(), seed=seed)
    parts = zip(given.items(), which.split(len(images)), strict=True)
    return {
        name: replace(found, keep=keep, right=found.right[rows], labels=data.labels) for (name, keep), rows in parts
    }


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

    def values(self, place: Place, choice: str, of: str = "accuracy") -> Values:
        """Of a choice of blocks."""

        def value(row: dict[str, Any]) -> float:
            values, blocks = ({name: each[key] for name, each in row["choices"].items()} for key in (of, "blocks"))
            return float(_between(values, blocks) if choice == "fixed" else values[choice])

        return self.each(place, value)

    def level(self, place: Place, choice: str) -> Interval:
        """Mean accuracy."""
        return over(self.values(place, choice))

    def apart(self, place: Place, one: str, other: str, of: str = "accuracy") -> Interval:
        """One choice less another on the same chips."""
        return over(self.values(place, one, of) - self.values(place, other, of))

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
        for name in self.digital()["choices"]:
            found = [row["choices"][name] for row in self.digitals]
            mean = {key: np.mean([each[key] for each in found]) for key in ("blocks", "spread", "reward")}
            share = np.mean([row["macs"][name] for row in self.digitals])
            distinct = ", ".join(str(each["policies"]) for each in found)
            blocks = f"{mean['blocks']:.2f} ± {mean['spread']:.2f}"
            lines.append([CHOICES[name], blocks, distinct, f"{mean['reward']:.3f}", f"{100 * share:.1f}"])
        head = [f"{self.label}: digital", "blocks (± deviation)", "distinct choices", "reward", "MACs (%)"]
        return Table(head, lines)

"""Rows of the study: what each choice of blocks gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mho.blocks import Dropped, Reward, drop
from mho.data import Dataset
from mho.models.block_drop import BlockDrop
from mho.statistics.crossed import over_units
from mho.studies.placed import Values

LEARNT = ("sigma", "aged")
"""Policies that were rewarded on chips."""
POLICIES = ("joint", "clean", *LEARNT, "exact")
"""Choices that a policy made."""

_OTHERS = ("random", "fixed", "all", "on_chip")


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
    """The same of the digital network, with what choices cost."""
    clean = found["clean"]
    return {
        **row_of("digital", -1, "0 s", found, reward), "samples": len(clean.right), "classes": len(clean.classes),
        "macs": {
            name: round(replace(each, decided=name in POLICIES).macs_share, 6) for name, each in found.items()
        },
    }  # fmt: skip


def place_row(setting: str, age: str, chips: Sequence[Mapping[str, Dropped]], reward: Reward) -> dict[str, Any]:
    """What choices gain at a place, with intervals over chips and images."""
    found = [gains(each, reward) for each in chips]
    shown = {name: over_units(np.array([each[name] for each in found]), 0.95) for name in found[0]}
    return {
        "setting": setting, "age": age, "chips": len(chips),
        "gains": {name: [round(v, 6) for v in (i.value, i.low, i.high)] for name, i in shown.items()},
    }  # fmt: skip


def gains(found: Mapping[str, Dropped], reward: Reward) -> dict[str, Values]:
    """Of each image: what the clean policy gains over other choices, and it and the exact one in reward over the best fixed
    blocks of any number; what policies for chips gain over it, in reward and, at equal blocks, in accuracy: what more blocks
    would give is what they give to the best fixed ones."""
    right = {name: each.right.double().numpy() for name, each in found.items()}
    blocks = {name: float(each.counts.double().mean()) for name, each in found.items()}
    others = right | {"fixed": between(right, blocks)}
    worth = {name: reward(each.keep, each.right).double().numpy() for name, each in found.items()}
    width = blocks["more"] - blocks["fewer"]
    block = (right["more"] - right["fewer"]) / width if width else np.zeros_like(right["clean"])
    return {
        **{name: right["clean"] - others[name] for name in _OTHERS if name in others},
        **{f"{name}_earned": worth[name] - worth["best"] for name in ("clean", "exact") if name in worth},
        **{f"{name}_reward": worth[name] - worth["clean"] for name in LEARNT},
        **{f"{name}_accuracy": right[name] - right["clean"] - (blocks[name] - blocks["clean"]) * block for name in LEARNT},
    }  # fmt: skip


def between(values: Mapping[str, Any], blocks: Mapping[str, float]) -> Any:
    """Of fixed blocks, at the clean policy's mean number."""
    width = blocks["more"] - blocks["fewer"]
    part = (blocks["clean"] - blocks["fewer"]) / width if width else 0.0
    return (1 - part) * values["fewer"] + part * values["more"]

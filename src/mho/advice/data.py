"""Samples for choosing and samples for reporting; the first of the inputs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from mho.errors import BadInput, WrongSetting
from mho.measure.test_data import NamedBatches, TestData
from mho.rng import Stream
from mho.tasks.items import length, take
from mho.tasks.parts import inputs_of


def divide(data: TestData, holdout: float, seed: int) -> tuple[TestData, TestData]:
    """Samples for choosing, and the share `holdout` of the samples for reporting; decided by the seed, in their order.

    Raises:
        WrongSetting: A share outside (0, 1), or one that leaves a part empty.
        BadInput: Inputs that are no tensors.
    """
    if not 0 < holdout < 1:
        raise WrongSetting(f"holdout = {holdout}", "a share between 0 and 1", path="holdout")
    items = data.items
    reported = round(holdout * items)
    if not 0 < reported < items:
        raise WrongSetting(f"holdout = {holdout} of {items} items leaves nothing", "give more data", path="holdout")
    last = Stream(("advise", seed)).uniform("holdout", (items,)).argsort(stable=True)[items - reported :]
    held = torch.zeros(items, dtype=torch.bool)
    held[last] = True
    parts: tuple[list[Any], list[Any]] = ([], [])
    offset = 0
    for x, y in data.batches:
        if not isinstance(x, Tensor):
            raise BadInput("inputs that are no tensors cannot be divided", "give validation=...", path="data")
        here = held[offset : offset + length(y)]
        offset += length(y)
        for part, chosen in zip(parts, (~here, here), strict=True):
            if bool(chosen.any()):
                part.append((x[chosen], take(y, chosen)))
    choosing, reporting = (
        TestData.of(NamedBatches(part, data.info, suffix), task=data.task)
        for part, suffix in zip(parts, (" (choosing)", " (reporting)"), strict=True)
    )
    return choosing, reporting


def first(batches: Iterable[Any], items: int) -> list[Any]:
    """The inputs of the first items, in their batches; the last one is cut where it must be.

    Args:
        batches: Batches of inputs, or of (inputs, labels).
        items: Their number at most.
    """
    kept: list[Any] = []
    for batch in batches:
        if items <= 0:
            break
        kept.append(take(inputs_of(batch), slice(items)))
        items -= length(kept[-1])
    return kept

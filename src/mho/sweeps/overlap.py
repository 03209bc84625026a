"""`overlaps`: validation data that hold samples of the test data, found sample by sample."""

from __future__ import annotations

from collections.abc import Callable

from mho.data import Dataset
from mho.errors import MhoError, WrongSetting
from mho.sweeps.plan import Plan
from mho.tasks.items import digests_of

_MOST = 0.01
"""Share of samples that two data sets may have in common: short texts and empty images come again by themselves."""


def overlaps(plan: Plan, data: Callable[[str], Dataset]) -> list[MhoError]:
    """What is wrong with validation data: the best epoch on what is measured is no measurement any more. Often nothing.

    Args:
        plan: What is swept.
        data: Gives data by their name.
    """
    found: dict[str, MhoError] = {}
    seen: dict[tuple[str, str], tuple[int, int]] = {}
    for config in plan.every_level():
        for name in ("pretraining", "training"):
            stage = getattr(config, name)
            if stage is None or stage.validation is None:
                continue
            pair = stage.validation, config.data
            if pair not in seen:
                seen[pair] = _shared(*map(data, pair))
            shared, many = seen[pair]
            if shared:
                what = (
                    "holds the test data"
                    if shared == many
                    else f"holds {shared} of the {many} samples of the test data"
                )
                found[name] = WrongSetting(
                    f"'{stage.validation}' {what}: the weights would be those that do best on what is measured",
                    "give a part of the training data, which is not trained on", path=f"{name}.validation",
                )  # fmt: skip
    return [*found.values()]


def _shared(validation: Dataset, test: Dataset) -> tuple[int, int]:
    """How many test samples stand in the validation data, too, and how many there are; 0 where it is `_MOST` of either."""
    one, other = digests_of(validation.inputs), digests_of(test.inputs)
    both = {*one} & {*other}
    mine, theirs = (sum(sample in both for sample in samples) for samples in (one, other))
    if mine <= _MOST * len(one) and theirs <= _MOST * len(other):
        return 0, len(other)
    return theirs, len(other)

"""Chips that share a pass over the test data: each sees its own part of it, and together they see every item once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mho.errors import BadInput, WrongSetting
from mho.measure.test_data import TestData
from mho.rng import Stream
from mho.store import Measurement
from mho.tasks.items import joined, length, take

Images = int | Literal["all", "auto"]
MOST_CHIPS, FEWEST_IMAGES = 10, 100
"""Of "auto": programming a chip and ageing it five times takes about as long as 37 images of ResNet-20 do at five ages."""

STOPPED = 1.05
"""Factor on the interval of passes that end when it is small enough: such a moment comes too early too often.

Without it 93.6 to 95.2 % of 95 % intervals hold the mean, with it 94.8 to 96.1 % (benchmarks/time_to_answer).
"""


def chips_per_pass(images: Images, data: TestData) -> int:
    """How many chips k share a pass over N items, so that each sees `images` = N/k of them at every age.

    A pass is the mean over N answers, each from one of k chips, and passes are independent: their spread over R passes
    gives Student's t interval, whatever a chip's errors have in common. With σ_chip² and σ_e² as `variance_split` has
    them, Var = (σ_chip²/k + σ_e²/N)/R, where R·N answers of whole chips (k = 1) have (σ_chip² + σ_e²/N)/R. How much
    images differ in difficulty drops out, since every pass has each of them once.

    Args:
        images: "all" (k = 1), "auto" (at most 10 chips, at least 100 items each), or a divisor of N, at least 2.
        data: The test data; an item is what has an index in a batch: an image, a recording, a sequence.

    Raises:
        WrongSetting: Anything else.

    References:
        Cochran 1977, Sampling Techniques, 3rd ed., ch. 10 (two stages, and the best size of the second).
        Mahalanobis 1946, J. Royal Stat. Soc. 109:325 (independent interpenetrating samples give the interval).
    """
    if images == "all":
        return 1
    items = data.items
    if images == "auto":
        return max(1, min(MOST_CHIPS, items // FEWEST_IMAGES))
    if isinstance(images, bool) or not isinstance(images, int) or not 2 <= images <= items or items % images:
        raise WrongSetting(
            f"images = {images!r} of {items}", f"give 'all', 'auto', or a divisor of {items} from 2 on", path="images"
        )
    return items // images


def parts(data: TestData, chips: int, *address: int | str) -> Iterator[tuple[TestData, NDArray[np.int64]]]:
    """A random partition of the items into `chips` parts that differ by at most one item, drawn at an address.

    Yields:
        Each part, and where its samples stand among those of the whole data.

    Raises:
        BadInput: Batches that cannot be joined, or a part without a labelled sample.
    """
    try:
        x, y = (joined(parts) for parts in zip(*data.batches, strict=True))
    except BadInput as error:
        raise BadInput(error.problem, "give images='all'", path="data") from error
    counts = data.task.counts(y)
    batch = max(length(targets) for _, targets in data.batches)
    order = Stream(address).uniform("images", (len(counts),)).argsort(stable=True)
    for items in order.tensor_split(chips):
        items = items.sort().values
        here = torch.zeros(len(counts), dtype=torch.bool).index_fill(0, items, True)
        samples = here.repeat_interleave(counts).nonzero().flatten()
        if not len(samples):
            raise BadInput("a chip's part holds no labelled sample", "give more images, or images='all'", path="data")
        batches = tuple([(take(x, some), take(y, some)) for some in items.split(batch)])
        yield replace(data, batches=batches, info=replace(data.info, samples=len(samples))), samples.numpy()


def together(measured: Sequence[tuple[Measurement, NDArray[np.int64]]]) -> Measurement:
    """One measurement over all samples, of the chips that each answered for some, at one age."""
    chips = [m for m, _ in measured]
    samples = sum(m.samples for m in chips)
    values = np.empty(samples, dtype=chips[0].values.dtype)
    for m, where in measured:
        values[where] = m.values
    return Measurement(
        chip=chips[0].chip,
        age_s=chips[0].age_s,
        samples=samples,
        values=values,
        loss=sum(m.samples * m.loss for m in chips) / samples,
        predicted=_sum([m.predicted for m in chips]),
        correct_by_class=_sum([m.correct_by_class for m in chips]),
        chips=len(chips),
        score=chips[0].score,
        scores={name: sum(m.samples * m.scores[name] for m in chips) / samples for name in chips[0].scores},
    )


def _sum(counts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Sums over chips; empty where a chip has no counts."""
    return tuple(sum(column) for column in zip(*counts, strict=True)) if all(counts) else ()

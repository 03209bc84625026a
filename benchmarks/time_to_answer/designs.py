"""Ways to spend image evaluations. Each gives independent values, one a unit, whose mean estimates the accuracy.

A unit is a chip, or the chips that share a pass. `looks` is what it costs: image evaluations at each age.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from population import Floats, Ints, Table
from scipy.special import ndtr


@dataclass(frozen=True)
class Design:
    """`values(population, rng, units)` gives (units, ages)."""

    name: str
    looks: int
    chips: int
    values: Callable[[Table, np.random.Generator, int], Floats]


def plain() -> Design:
    """Every chip sees every image."""
    return Design("plain loop", 1000, 1, lambda pop, rng, n: pop.accuracies(rng, pop.chips(rng, n)))


def random(m: int, control: str = "") -> Design:
    """Every chip sees m random images; `control` is subtracted and its known mean added (Cochran 1977, ch. 7)."""

    def values(pop: Table, rng: np.random.Generator, n: int) -> Floats:
        images = rng.random((n, pop.images)).argpartition(m, axis=1)[:, :m]
        y = pop.answers(rng, pop.chips(rng, n)[:, None], images).mean(1)
        if not control:
            return y
        d = pop.digital.astype(float) if control == "digital answer" else _guess(pop)
        return y - d[images].mean(1)[:, None] + d.mean()

    return Design(f"{m} random images" + (f", less the {control}" if control else ""), m, 1, values)


def spread(m: int) -> Design:
    """Every chip sees every (N/m)th image in the order of the digital margin, from a random start (Cochran, ch. 8)."""

    def values(pop: Table, rng: np.random.Generator, n: int) -> Floats:
        step = pop.images // m
        images = np.argsort(pop.margin, kind="stable")[rng.integers(step, size=n)[:, None] + step * np.arange(m)]
        return pop.answers(rng, pop.chips(rng, n)[:, None], images).mean(1)

    return Design(f"{m} images spread over the margin", m, 1, values)


def weighted(m: int) -> Design:
    """m images with probabilities ∝ sqrt(p(1 - p)), p guessed from the margin; difference estimator (Cochran, 5.5, 9A)."""

    def values(pop: Table, rng: np.random.Generator, n: int) -> Floats:
        p = _guess(pop)
        pi = np.maximum(np.sqrt(p * (1 - p)), 0.05)
        for _ in range(30):
            pi = np.minimum(pi * m / pi.sum(), 1)
        order = np.argsort(pop.margin, kind="stable")
        ends = pi[order].cumsum() - rng.random((n, 1))
        images = order[np.nonzero(np.floor(ends) > np.floor(ends - pi[order]))[1].reshape(n, -1)[:, :m]]
        y = pop.answers(rng, pop.chips(rng, n)[:, None], images) - p[images][..., None]
        return (y / pi[images][..., None]).sum(1) / pop.images + p.mean()

    return Design(f"{m} images, the doubtful ones more often", m, 1, values)


def shared(k: int) -> Design:
    """k chips share a pass: a random partition of the images, a part a chip. What `images` of `mho.drift` does."""

    def values(pop: Table, rng: np.random.Generator, n: int) -> Floats:
        return pop.answers(rng, *_partition(pop, rng, n, k)).mean(1)

    return Design(f"{k} chips share a pass", 1000, k, values)


def shared_easy(k: int, every: int) -> Design:
    """The same, but the half of the images with the largest margin is seen in every `every`-th pass only."""

    def values(pop: Table, rng: np.random.Generator, n: int) -> Floats:
        y = pop.answers(rng, *_partition(pop, rng, n, k))
        order = np.argsort(pop.margin, kind="stable")
        hard, easy = np.split(order, [pop.images // 2])
        turn = rng.random((-(-n // every), len(easy))).argsort(1) * every // len(easy)
        seen = turn[np.arange(n) // every] == (np.arange(n) % every)[:, None]
        return (y[:, hard].sum(1) + every * (y[:, easy] * seen[..., None]).sum(1)) / pop.images

    return Design(f"{k} chips share a pass, easy images every {every}th", 500 + 500 // every, k, values)


def _partition(pop: Table, rng: np.random.Generator, n: int, k: int) -> tuple[Floats | Ints, Ints]:
    part = rng.random((n, pop.images)).argsort(1) * k // pop.images
    return pop.chips(rng, n * k)[k * np.arange(n)[:, None] + part], np.arange(pop.images)[None].repeat(n, 0)


def _guess(pop: Table) -> Floats:
    """Probability of a right answer, from the digital margin alone; 6 is about half the median margin of ResNet-20."""
    return np.asarray(ndtr(pop.margin / 6))


ALL = [
    plain(), random(100), random(100, "digital answer"), random(100, "guess from the margin"), spread(100), spread(50),
    weighted(100), weighted(50), shared(5), shared(10), shared(20), shared_easy(10, 4),
]  # fmt: skip

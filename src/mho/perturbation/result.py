"""`PerturbationResult`: what is left under noise, as curves, an average and the noise at which a budget is lost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.errors import BadInput, WrongSetting
from mho.perturbation.curve import Floats, NoiseCurve
from mho.perturbation.perturbation import Perturbation
from mho.statistics.crossed import crossed
from mho.statistics.intervals import Interval, mean_interval
from mho.store import DataInfo
from mho.store.csv_file import write_csv
from mho.tasks import Score


@dataclass(frozen=True, eq=False)
class PerturbationResult:
    """Scores of a network without noise and with it.

    Normalised scores and everything made of them are over draws, for these samples as they are; raw scores are over draws and
    samples. Results of two networks on the same draws and samples can be subtracted draw by draw.

    Attributes:
        perturbation: Which tensors, and what η is a share of.
        etas: Sizes of the noise, (E,), rising, without 0.
        seed: Root of the draws.
        name: Of the network.
        data: Name, digest, labels.
        score: What the values mean.
        clean: Worth of each sample without noise, (N,).
        table: Worth of each sample, (E, draws, N).
        not_finite: Answers that were not finite and counted as wrong, (E, draws).
        untouched: Tensors of the scope that noise left as they were, for their reference is 0 (γ and β before training).
    """

    perturbation: Perturbation
    etas: tuple[float, ...]
    seed: int
    name: str
    data: DataInfo
    score: Score
    clean: NDArray[Any]
    table: NDArray[Any]
    not_finite: NDArray[np.int64]
    untouched: tuple[str, ...] = ()

    @property
    def draws(self) -> int:
        """How many at each size of the noise."""
        return int(self.table.shape[1])

    @property
    def digital(self) -> float:
        """Mean worth without noise."""
        return float(self.clean.mean(dtype=np.float64))

    @property
    def means(self) -> Floats:
        """Mean worth over the samples of each draw, (draws, E)."""
        found: Floats = self.table.mean(axis=2, dtype=np.float64).T
        return found

    @property
    def curve(self) -> NoiseCurve:
        """Mean scores, of which averages, areas and thresholds are made."""
        return NoiseCurve(self.etas, self.digital, self.means)

    @property
    def chance(self) -> float:
        """The score of guessing, 1 of the classes of the data.

        Raises:
            WrongSetting: The score is no share of right answers, or the data lists no classes.
        """
        if not self.score.share or not self.data.classes:
            raise WrongSetting(f"'{self.score.label}' on this data has no chance level", "read raw()", path="score")
        return 1 / len(self.data.classes)

    def raw(self, confidence: float = 0.95) -> tuple[Interval, ...]:
        """Mean worth at each η, over draws and samples."""
        if self.draws < 2:
            return tuple(Interval(float(rows.mean(dtype=np.float64)), -math.inf, math.inf) for rows in self.table)
        return tuple(crossed(rows.astype(np.float64), confidence) for rows in self.table)

    def normalised(self, confidence: float = 0.95) -> tuple[Interval, ...]:
        """a(η) = A(η)/A(0) at each η, over draws.

        Raises:
            BadInput: The network is no better than chance without noise: it has nothing to lose.
        """
        return tuple(mean_interval(values, confidence) for values in self.shares().T)

    def corrected(self, confidence: float = 0.95) -> tuple[Interval, ...]:
        """(A(η) - chance)/(A(0) - chance) at each η, over draws: 1 is all that was learned, 0 none of it."""
        self._better_than_chance()
        kept = self.curve.corrected(self.chance)
        return tuple(mean_interval(values, confidence) for values in kept.T)

    def average(self, confidence: float = 0.95) -> Interval:
        """A_avg, the mean of a(η) over the sizes η > 0, over draws; what it is depends on which sizes were measured."""
        self._better_than_chance()
        return mean_interval(self.curve.averages(), confidence)

    def area(self, confidence: float = 0.95) -> Interval:
        """∫ a dη / η_max from 0 on, by trapezes, over draws: it depends on the largest size, hardly on those between."""
        self._better_than_chance()
        return mean_interval(self.curve.areas(), confidence)

    def shares(self) -> Floats:
        """a(η) of each draw, (draws, E)."""
        self._better_than_chance()
        return self.curve.shares()

    def lost_at(self, worth: float, confidence: float = 0.95, seed: int = 0) -> Interval:
        """The η at which the mean worth has fallen by `worth` (0.01 is a point), linear between measured sizes.

        Its interval is a bootstrap over draws. inf: not lost at the largest size.

        Raises:
            WrongSetting: `worth` is not above 0, or `seed` below it.
        """
        return self.curve.lost_at(worth, confidence, seed)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One for each size and draw, the clean network first, as plain values."""
        same = {"network": self.name, "seed": self.seed, **self.perturbation.record()}
        yield {**same, "eta": 0.0, "draw": 0, "score": self.score.shown(self.digital), "not_finite": 0}
        for e, eta in enumerate(self.etas):
            for draw, worth in enumerate(self.means[:, e]):
                shown = self.score.shown(float(worth))
                yield {**same, "eta": eta, "draw": draw, "score": shown, "not_finite": int(self.not_finite[e, draw])}

    def to_csv(self, path: str | Path) -> Path:
        """Write `rows` as CSV (UTF-8, one header line).

        Raises:
            BadInput: The file cannot be written.
        """
        return write_csv([*self.rows()], path)

    def _better_than_chance(self) -> None:
        low = mean_interval(self.clean.astype(np.float64)).low
        if self.digital <= self.chance or low <= self.chance:
            raise BadInput(
                f"the network scores {self.score.show(self.digital)} without noise, no better than chance "
                f"({self.score.show(self.chance)})",
                "what is left of nothing means nothing: train it first", path="net",
            )  # fmt: skip

    def __str__(self) -> str:
        digits = f"{self.score.label} {self.score.show(self.digital)} without noise"
        parts = [
            f"{self.score.bracket(v.value, v.low, v.high)} at η = {eta:g}"
            for eta, v in zip(self.etas, self.raw(), strict=True)
        ]
        broken = int(self.not_finite.sum())
        behind = f"; {broken} answers were not finite and count as wrong" if broken else ""
        if self.untouched:
            behind += (
                f"; {len(self.untouched)} tensors have the {self.perturbation.reference} 0 and stayed as they were"
            )
        return f"{self.name}, {self.perturbation}: {digits}; {', '.join(parts)}{behind}"

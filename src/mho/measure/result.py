"""`DriftResult`: everything that was measured in a run, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.errors import BadResults, WrongSetting
from mho.hardware.label import label_of
from mho.measure.chance import at_chance
from mho.measure.sentence import sentence
from mho.measure.shared import STOPPED
from mho.measure.summary import AgeSummary, ClassRecall, chance, corrected, recalls, summarise
from mho.measure.table import table
from mho.statistics import curves
from mho.statistics.curves import Lifetime, Statistic, Yield
from mho.statistics.intervals import check_confidence, mean_interval
from mho.store import runs
from mho.store.csv_file import write_csv
from mho.store.header import RunHeader
from mho.store.measurement import Measurement
from mho.tasks.score import Score
from mho.units import seconds, show_time


class DriftResult:
    """A score of C chips at A ages, next to the digital network's: accuracy, or what the run's task has as its headline.

    Numbers that statistics are made of are worths, of which more is better (`mho.tasks.Score`): accuracy as a share, the
    negative of an error, the log-likelihood where a perplexity is printed.

    Args:
        header: What was run.
        digital: The digital network on the same samples.
        measurements: Every chip at every age of the header, in any order.

    Raises:
        BadResults: No chip, a chip without one of its ages, twice at one age, or over another number of
            samples.

    Example:
        >>> result = DriftResult.load("out")        # doctest: +SKIP
        >>> print(result.sentence(budget=0.01))     # doctest: +SKIP
        cifar10 with resnet20 on 'pcm' keeps its 1 % budget for 9 days [6, 14]; 37 % [22, 55] of chips are ...
    """

    def __init__(self, header: RunHeader, digital: Measurement, measurements: Sequence[Measurement]) -> None:
        self.header, self.digital = header, digital
        self.ages_s: tuple[float, ...] = header.times_s
        share, score, table = header.chips_per_pass, header.score, {}
        for m in measurements:
            table[m.chip, m.age_s] = m
        self._passes = tuple(sorted({chip for chip, _ in table}))
        self.chips: tuple[int, ...] = tuple(chain.from_iterable(range(c, c + share) for c in self._passes))
        wanted = set(product(self._passes, self.ages_s))
        if not measurements:
            raise BadResults("no chip has been measured", "measure at least one chip", path=header.model)
        if len(table) != len(measurements) or set(table) != wanted:
            odd = sorted(set(table) ^ wanted)
            raise BadResults(
                f"{len(measurements)} measurements of {len(self.chips)} chips at {len(self.ages_s)} ages: "
                f"see {odd[0] if odd else 'one that is there twice'}",
                "give every chip once at every age of the header",
                path=header.model,
            )
        for m in (digital, *measurements):
            if m.samples != digital.samples:
                raise BadResults(
                    f"chip {m.chip} saw {m.samples} samples, the digital network {digital.samples}",
                    "measure both on the same samples",
                    path=header.model,
                )
            if m.score != score.name:
                raise BadResults(
                    f"chip {m.chip} has '{m.score}' measured, in a run of '{score.name}'",
                    "measure all in one way",
                    path=header.model,
                )
        for m in measurements:
            if m.chips != share:
                raise BadResults(
                    f"{m.chips} chips share the pass of chip {m.chip}, in a run where {share} do",
                    "measure all in one way",
                    path=header.model,
                )
        self._table = table

    @classmethod
    def load(cls, directory: str | Path) -> DriftResult:
        """The result of a stored run; chips in progress are left out, with a warning.

        Raises:
            BadInput: There is no run in the directory.
            BadResults: The run is damaged, or has no complete chip yet.
        """
        return cls(*runs.load(directory))

    @property
    def measurements(self) -> list[Measurement]:
        """All measurements, by chip and then age."""
        return [self._table[chip, age] for chip in self._passes for age in self.ages_s]

    @cached_property
    def score(self) -> Score:
        """What was measured, and how it is printed."""
        return self.header.score

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Worths (chips, ages): accuracies as shares, errors and losses negated; (passes, ages) where chips share passes."""
        means = np.array([m.mean for m in self.measurements]).reshape(len(self._passes), len(self.ages_s))
        return self.score.worth(means)

    @cached_property
    def digital_score(self) -> float:
        """The digital network's worth."""
        return self.score.worth(self.digital.mean)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Accuracies (chips, ages); (passes, ages) where chips share passes.

        Raises:
            WrongSetting: Something else was measured.
        """
        self.digital.accuracy  # noqa: B018 (raises)
        return self.scores

    @property
    def shared(self) -> bool:
        """Whether chips share passes over the data, so that nothing is known about single ones."""
        return self.header.chips_per_pass > 1

    @property
    def _widened(self) -> float:
        return _widened(self.header)

    def needs_single_chips(self, what: str) -> None:
        """Raises WrongSetting where chips share passes: `what` asks for what is not known then."""
        if self.shared:
            raise WrongSetting(
                f"{what} needs the accuracy of single chips; here {self.header.chips_per_pass} share a pass",
                "measure with images='all'",
                path="images",
            )

    @cached_property
    def hardware_name(self) -> str:
        """Name of the hardware with every setting that was changed in the preset of that name, or its digest."""
        return label_of(self.header.hardware) or self.header.hardware_digest

    @property
    def subject(self) -> str:
        """Data, network, hardware and upkeep in words."""
        return f"{self.header.data.name} with {self.header.model} on '{self.hardware_name}'{self._upkeep}"

    @property
    def _upkeep(self) -> str:
        """What is done to chips on the way, in words; often nothing."""
        kinds = ", ".join(record.partition(",")[0] for record in self.header.recalibrations)
        parts = [f"{kinds} recalibrated"] if kinds else []
        if self.header.refresh_s is not None:
            parts.append(f"programmed anew every {show_time(self.header.refresh_s)}")
        return f" ({'; '.join(parts)})" if parts else ""

    def at(self, age_s: float) -> list[Measurement]:
        """All chips at a measured age, by chip.

        Raises:
            WrongSetting: An age that was not measured.
        """
        if age_s not in self.ages_s:
            raise WrongSetting(f"{age_s!r} s was not measured", f"ages are {self.ages_s} s", path="age_s")
        return [self._table[chip, age_s] for chip in self._passes]

    def summary(self) -> list[AgeSummary]:
        """One `AgeSummary` per age."""
        return list(self._summary)

    @cached_property
    def _summary(self) -> tuple[AgeSummary, ...]:
        header = self.header
        return tuple(summarise(self.at(t), self.digital, header, widened=self._widened) for t in self.ages_s)

    def per_class(self) -> list[ClassRecall]:
        """Recall of every class, digital and at each age; empty where classes are not listed."""
        data = self.header.data
        if not data.classes:
            return []
        digital = recalls(self.digital, data)
        by_age = np.array([np.mean([recalls(m, data) for m in self.at(t)], axis=0) for t in self.ages_s])
        return [
            ClassRecall(label, count, float(digital[k]), tuple(float(r) for r in by_age[:, k]))
            for k, (label, count) in enumerate(zip(data.classes, data.label_counts, strict=True))
        ]

    def floor(self, budget: float | str) -> float:
        """Lowest worth inside the budget: the digital network's, less the budget.

        Args:
            budget: A share of right answers (0.01, or "1%", is one point), or a difference in the score's unit, nats for a
                perplexity.

        Raises:
            WrongSetting: It lies outside [0, 1), or is negative.
        """
        return self.digital_score - self.score.check_budget(budget)

    def at_chance(self, budget: float = 0.01) -> str:
        """Why nothing can be said, where the digital network is not better than chance; else empty. See `chance.at_chance`."""
        return at_chance(self.header, self.digital, self.score.check_budget(budget))

    def lifetime(
        self, budget: float | str = 0.01, *, statistic: Statistic = "mean", confidence: float | str | None = None
    ) -> Lifetime:
        """The age at which the score first falls more than `budget` below the digital network's.

        See `curves.lifetime`.

        Args:
            budget: What may be lost, see `floor`.
            statistic: "mean", or a percentile over chips.
            confidence: Level of the interval; the header's by default.

        Raises:
            WrongSetting: A percentile where chips share passes.
        """
        if statistic != "mean":
            self.needs_single_chips("a percentile over chips")
        return curves.lifetime(
            self.ages_s,
            self.scores,
            self.floor(budget),
            statistic=statistic,
            confidence=self._level(confidence),
            seed=self.header.seed,
        )

    def yield_at(
        self, time: str | float, budget: float | str = 0.01, *, confidence: float | str | None = None
    ) -> Yield:
        """The share of chips inside the budget at an age, with its Wilson interval.

        Raises:
            WrongSetting: An age outside the measured range; chips that share passes.
        """
        self.needs_single_chips("a yield")
        level, t_s = self._level(confidence), seconds(time, "time")
        return curves.yield_at(self.ages_s, self.scores, self.floor(budget), t_s, confidence=level)

    def _level(self, confidence: float | str | None) -> float:
        return self.header.confidence if confidence is None else check_confidence(confidence)

    def half_width(self) -> float:
        """Half-width of the widest interval of the mean over chips, as a share or in the score's unit; inf for one chip.

        This is what more chips make smaller; the share of the finite test set (`low_total`) they do not.
        """
        return _half_width(self.scores, self.header)

    def sentence(self, budget: float | str = 0.01) -> str:
        """The answer in a sentence."""
        return sentence(self, budget)

    def rows(self) -> list[dict[str, Any]]:
        """Tidy rows, one per chip, or pass that chips share, and age; scores as people read them."""
        header, digital, classes, score = self.header, self.digital, self.header.data.classes, self.score
        name, worth = score.label, self.digital_score
        rows = []
        for m in self.measurements:
            top = int(np.argmax(m.predicted)) if m.predicted else -1
            found = score.worth(m.mean)
            rows.append(
                {
                    "run": header.digest(),
                    "model": header.model,
                    "data": header.data.name,
                    "hardware": self.hardware_name,
                    "hardware_digest": header.hardware_digest,
                    "seed": header.seed,
                    "chip": m.chip,
                    **({"chips": m.chips} if self.shared else {}),
                    "age_s": m.age_s,
                    "age": show_time(m.age_s),
                    "samples": m.samples,
                    **({"correct": int(np.count_nonzero(m.values))} if m.values.dtype == np.bool_ else {}),
                    name: score.shown(found),
                    f"digital_{name}": score.shown(worth),
                    "normalised": corrected(found, worth, 0.0) if score.share else math.nan,
                    "chance_corrected": corrected(found, worth, chance(header.data)),
                    "loss": m.loss,
                    "digital_loss": digital.loss,
                    **m.scores,
                    "most_predicted": classes[top] if 0 <= top < len(classes) else "",
                    "most_predicted_share": m.predicted[top] / m.samples if m.predicted else None,
                    "recalibrations": "; ".join(header.recalibrations),
                    "refresh_s": header.refresh_s,
                }
            )
        return rows

    def to_csv(self, path: str | Path) -> Path:
        """Write `rows` as CSV (UTF-8, one header line).

        Raises:
            BadInput: The file cannot be written.
        """
        return write_csv(self.rows(), path)

    def __str__(self) -> str:
        return table(self)


def narrow(means: Sequence[Sequence[float]], header: RunHeader) -> bool:
    """Whether the interval asked for is reached by means (chips or passes, ages) of the headline."""
    wanted = header.target_half_width
    share = header.score.share
    return wanted is not None and half_width(means, header) <= (wanted / 100 if share else wanted)


def half_width(means: Sequence[Sequence[float]], header: RunHeader) -> float:
    """Half-width of the widest interval of means (chips or passes, ages) of the headline."""
    return _half_width(np.array(means), header)


def _half_width(means: NDArray[np.float64], header: RunHeader) -> float:
    return max(mean_interval(column, header.confidence, widened=_widened(header)).half_width for column in means.T)


def _widened(header: RunHeader) -> float:
    return STOPPED if header.chips_per_pass > 1 and header.target_half_width is not None else 1.0

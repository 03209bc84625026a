"""`DriftResult`: everything that was measured in a run, and what follows from it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.errors import BadInput, BadResults, WrongSetting
from mho.measure.sentence import bracket, percent, sentence, show_age
from mho.measure.shared import STOPPED
from mho.measure.summary import AgeSummary, ClassRecall, chance, corrected, recalls, summarise
from mho.statistics import curves
from mho.statistics.curves import Lifetime, Statistic, Yield
from mho.statistics.intervals import mean_interval
from mho.store import runs
from mho.store.records import Measurement, RunHeader
from mho.units import seconds, show_time


class DriftResult:
    """Accuracy of C chips at A ages, next to the digital network's.

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
        self._passes = tuple(sorted({m.chip for m in measurements}))
        share = header.chips_per_pass
        self.chips: tuple[int, ...] = tuple(first + i for first in self._passes for i in range(share))
        table = {(m.chip, m.age_s): m for m in measurements}
        wanted = [(chip, age) for chip in self._passes for age in self.ages_s]
        if not measurements:
            raise BadResults("no chip has been measured", "measure at least one chip", path=header.model)
        if len(table) != len(measurements) or set(table) != set(wanted):
            odd = sorted(set(table) ^ set(wanted))
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
    def accuracy(self) -> NDArray[np.float64]:
        """Accuracies (chips, ages); (passes, ages) where chips share passes."""
        return np.array([m.accuracy for m in self.measurements]).reshape(len(self._passes), len(self.ages_s))

    @property
    def shared(self) -> bool:
        """Whether chips share passes over the data, so that nothing is known about single ones."""
        return self.header.chips_per_pass > 1

    @property
    def _widened(self) -> float:
        return STOPPED if self.shared and self.header.target_half_width is not None else 1.0

    def needs_single_chips(self, what: str) -> None:
        """Raises WrongSetting where chips share passes: `what` asks for what is not known then."""
        if self.shared:
            raise WrongSetting(
                f"{what} needs the accuracy of single chips; here {self.header.chips_per_pass} share a pass",
                "measure with images='all'",
                path="images",
            )

    @property
    def hardware_name(self) -> str:
        """Name of the hardware, or its digest."""
        return str(self.header.hardware.get("name") or self.header.hardware_digest)

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
        """All chips at a measured age, by chip."""
        return [self._table[chip, age_s] for chip in self._passes]

    def summary(self) -> list[AgeSummary]:
        """One `AgeSummary` per age."""
        return list(self._summary)

    @cached_property
    def _summary(self) -> tuple[AgeSummary, ...]:
        header = self.header
        return tuple(
            summarise(self.at(t), self.digital, header.data, header.confidence, widened=self._widened)
            for t in self.ages_s
        )

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

    def floor(self, budget: float) -> float:
        """Lowest accuracy inside the budget: the digital network's, less the budget."""
        if not 0 <= budget < 1:
            raise WrongSetting(
                f"budget {budget}", "give the accuracy to lose as a share: 0.01 is one point", path="budget"
            )
        return self.digital.accuracy - budget

    def lifetime(
        self, budget: float = 0.01, *, statistic: Statistic = "mean", confidence: float | None = None
    ) -> Lifetime:
        """The age at which accuracy first falls more than `budget` below the digital network's.

        See `curves.lifetime`.

        Args:
            budget: Accuracy that may be lost, as a share: 0.01 is one point.
            statistic: "mean", or a percentile over chips.
            confidence: Level of the interval; the header's by default.

        Raises:
            WrongSetting: A percentile where chips share passes.
        """
        if statistic != "mean":
            self.needs_single_chips("a percentile over chips")
        return curves.lifetime(
            self.ages_s,
            self.accuracy,
            self.floor(budget),
            statistic=statistic,
            confidence=self.header.confidence if confidence is None else confidence,
            seed=self.header.seed,
        )

    def yield_at(self, time: str | float, budget: float = 0.01, *, confidence: float | None = None) -> Yield:
        """The share of chips inside the budget at an age, with its Wilson interval.

        Raises:
            WrongSetting: An age outside the measured range; chips that share passes.
        """
        self.needs_single_chips("a yield")
        level = self.header.confidence if confidence is None else confidence
        return curves.yield_at(self.ages_s, self.accuracy, self.floor(budget), seconds(time), confidence=level)

    def half_width(self) -> float:
        """Half-width of the widest interval of the mean over chips, as a share in [0, 1]; inf for one chip.

        This is what more chips make smaller; the share of the finite test set (`low_total`) they do not.
        """
        return max(
            mean_interval(column, self.header.confidence, widened=self._widened).half_width
            for column in self.accuracy.T
        )

    def sentence(self, budget: float = 0.01) -> str:
        """The answer in a sentence."""
        return sentence(self, budget)

    def rows(self) -> list[dict[str, Any]]:
        """Tidy rows, one per chip, or pass that chips share, and age."""
        header, digital, classes = self.header, self.digital, self.header.data.classes
        rows = []
        for m in self.measurements:
            top = int(np.argmax(m.predicted)) if m.predicted else -1
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
                    "correct": int(np.count_nonzero(m.correct)),
                    "accuracy": m.accuracy,
                    "digital_accuracy": digital.accuracy,
                    "normalised": corrected(m.accuracy, digital.accuracy, 0.0),
                    "chance_corrected": corrected(m.accuracy, digital.accuracy, chance(header.data)),
                    "loss": m.loss,
                    "digital_loss": digital.loss,
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
        path, rows = Path(path), self.rows()
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise BadInput(f"cannot be written: {error.strerror}", "give another path", path=str(path)) from error
        return path

    def __str__(self) -> str:
        head = [
            "age",
            f"mean [{100 * self.header.confidence:g} % over chips]",
            "worst",
            "5th pct",
            "norm.",
            "top class",
        ]
        lines = [head, ["digital", percent(self.digital.accuracy), "", "", "", ""]]
        for s in self._summary:
            lines.append(
                [
                    show_age(s.age_s),
                    bracket(s.mean, s.low, s.high),
                    percent(s.minimum),
                    percent(s.p5),
                    f"{s.normalised:.3f}",
                    percent(s.top_share, 0),
                ]
            )
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        chips = f"{len(self.chips)} chip{'s' if len(self.chips) != 1 else ''}"
        share = f", {self.header.chips_per_pass} chips a pass" if self.shared else ""
        return "\n".join([f"{self.subject}: {chips}, {self.digital.samples} samples{share}", *table, self.sentence()])

"""`compare`: several stored runs side by side, and what each has over the first."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mho.errors import WrongSetting
from mho.measure.aligned import aligned
from mho.measure.differences import Difference, differences
from mho.measure.gain import Gain, gain_over
from mho.measure.result import DriftResult
from mho.measure.sentence import show_age
from mho.statistics.intervals import Interval, check_confidence
from mho.store.csv_file import write_csv
from mho.tasks.score import Score


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side. Gains are over the first.

    Attributes:
        names: What the runs are called.
        results: The runs.
        gains: What each run but the first has over the first, in order.
        confidence: Of every interval, one at a time.
        command: What was typed.
    """

    names: tuple[str, ...]
    results: tuple[DriftResult, ...]
    gains: tuple[Gain, ...]
    confidence: float = 0.95
    command: str = ""

    @property
    def score(self) -> Score:
        """What was measured, and how it is printed."""
        return self.results[0].score

    @cached_property
    def ages_s(self) -> tuple[float, ...]:
        """Every age that a run has."""
        return tuple(sorted({t for r in self.results for t in r.ages_s}))

    @cached_property
    def differences(self) -> list[Difference]:
        """The settings that are not the same in all runs; hashes and names come last."""
        return differences([r.header for r in self.results], [r.digital for r in self.results])

    def sentence(self) -> str:
        """What each run has over the first at the last age that the two share."""
        return "; ".join(self._told(name, gain) for name, gain in zip(self.names[1:], self.gains, strict=True)) + "."

    def _told(self, name: str, gain: Gain) -> str:
        base, score = self.names[0], self.score
        if not gain.ages_s:
            return f"{name} and {base} have no age in common"
        age, found = show_age(gain.ages_s[-1]), gain.widest()[-1]
        alone = "" if gain.paired else " (not paired)"
        when = "right after programming" if gain.ages_s[-1] == 0 else f"after {age}"
        if found.low <= 0 <= found.high:
            return f"{name} cannot be told from {base} {when}{alone}: {show_gain(score, found)}"
        size = Interval(abs(found.value), *sorted((abs(found.low), abs(found.high))))
        shown = re.sub(r"(?<!e)\+", "", show_gain(score, size))
        return f"{name} is {shown} {'better' if found.value > 0 else 'worse'} than {base} {when}{alone}"

    def rows(self) -> list[dict[str, Any]]:
        """Tidy rows, one a run and age; differences are of worths (`mho.tasks.Score`), as shares where the score is one."""
        rows, score = [], self.score
        for i, (name, result) in enumerate(zip(self.names, self.results, strict=True)):
            for s in result.summary():
                ends = sorted((score.shown(s.low), score.shown(s.high)))
                row: dict[str, Any] = {
                    "run": name, "digest": result.header.digest(), "age_s": s.age_s, "chips": s.chips,
                    "samples": result.digital.samples, score.label: score.shown(s.mean), f"{score.label}_low": ends[0],
                    f"{score.label}_high": ends[1], "digital": score.shown(result.digital_score),
                }  # fmt: skip
                gain = self.gains[i - 1] if i else None
                if gain is not None and s.age_s in gain.ages_s:
                    place = gain.ages_s.index(s.age_s)
                    chips, both = gain.over_chips[place], gain.over_both[place]
                    row |= {
                        "over": self.names[0], "paired": gain.paired, "gain": chips.value, "gain_low_chips": chips.low,
                        "gain_high_chips": chips.high, "gain_low": both.low, "gain_high": both.high,
                    }  # fmt: skip
                rows.append(row)
        return rows

    def to_csv(self, path: str | Path) -> Path:
        """Write `rows` as CSV.

        Raises:
            BadInput: The file cannot be written.
        """
        return write_csv(self.rows(), path)

    def __str__(self) -> str:
        score, ages = self.score, self.ages_s
        lines = [["", *map(show_age, ages)]]
        for i, (name, result) in enumerate(zip(self.names, self.results, strict=True)):
            found = {s.age_s: score.bracket(s.mean, s.low, s.high) for s in result.summary()}
            lines.append([name, *(found.get(t, "") for t in ages)])
            if i:
                gain = self.gains[i - 1]
                shown = dict(zip(gain.ages_s, (show_gain(score, g, unit=False) for g in gain.widest()), strict=True))
                lines.append([f"  over {self.names[0]}", *(shown.get(t, "") for t in ages)])
        how = [f"{name}: {gain.how}" for name, gain in zip(self.names[1:], self.gains, strict=True)]
        settings = [f"{d.key}: {' | '.join(d.values)}" for d in self.differences if not d.minor]
        return "\n".join([*settings, "", *aligned(lines), "", *how, self.sentence()])


def show_gain(score: Score, gain: Interval, *, unit: bool = True) -> str:
    """A gain with its interval; unknown where that holds every share, since gains of shares lie in [-1, 1]."""
    known = math.isfinite(gain.low) and math.isfinite(gain.high) and not (score.share and gain.half_width >= 1)
    text = score.show_gain(gain.value, gain.low, gain.high, unit=unit)
    return text if known else f"{text.partition(' [')[0]} [unknown]"


def compare(
    *runs: DriftResult | str | Path,
    names: Sequence[str] | None = None,
    confidence: float | str = 0.95,
    command: str = "",
) -> Comparison:
    """Runs of `drift` side by side, from what is stored of them alone.

    A run is paired with the first where both measured chips of the same numbers and seed on the same samples: then what
    chips and samples have in common drops out of the difference. Others are compared unpaired, and say why. Only ages and
    chips count that both have; nothing is interpolated.

    Args:
        runs: Two or more, as results or as the directories they are stored in; the first is what others are held against.
        names: What they are called; by default the ends of their paths.
        confidence: Of every interval, one at a time.
        command: What was typed, for the report.

    Raises:
        BadInput: There is no run in a directory.
        WrongSetting: Fewer than two runs, one given twice, or runs that scored different things.
    """
    confidence = check_confidence(confidence)
    if len(runs) < 2:
        raise WrongSetting(
            f"{len(runs)} run{'s' if len(runs) != 1 else ''} to compare", "give two or more", path="runs"
        )
    paths = [None if isinstance(run, DriftResult) else Path(run) for run in runs]
    given = [path.resolve() for path in paths if path is not None]
    for path in given:
        if given.count(path) > 1:
            raise WrongSetting("this run is given twice", "give each run once", path=str(path))
    results = [run if isinstance(run, DriftResult) else DriftResult.load(run) for run in runs]
    first = results[0]
    called = _named(paths, results) if names is None else tuple(map(str, names))
    if len(called) != len(results) or len(set(called)) < len(called) or not all(map(str.strip, called)):
        raise WrongSetting(
            f"names {list(called)} for {len(results)} runs", "give every run a name of its own", path="names"
        )
    for name, result in zip(called, results, strict=True):
        if result.score.to_json() != first.score.to_json():
            raise WrongSetting(
                f"'{name}' measured {result.score.label}, '{called[0]}' {first.score.label}",
                "compare runs of the same task", path="task",
            )  # fmt: skip
    gains = tuple(gain_over(first, result, confidence) for result in results[1:])
    return Comparison(called, tuple(results), gains, confidence, command)


def _named(paths: Sequence[Path | None], results: Sequence[DriftResult]) -> tuple[str, ...]:
    """The shortest ends of the paths that tell the runs apart; numbers where there is no path."""
    whole = [path.resolve().parts if path is not None else (f"run {i}",) for i, path in enumerate(paths, 1)]
    for length in range(1, max(map(len, whole)) + 1):
        names = tuple("/".join(parts[-length:]) for parts in whole)
        if len(set(names)) == len(names):
            return names
    return tuple(f"run {i}" for i in range(1, len(results) + 1))

"""`Advice`: what was tried, in order of merit, and what may be concluded."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mho.advice.plan import Costs
from mho.costs import Cost, known_cost
from mho.measure.aligned import aligned
from mho.measure.result import DriftResult
from mho.measure.sentence import show_age
from mho.statistics import curves
from mho.statistics.curves import Lifetime
from mho.statistics.enough import Enough
from mho.statistics.intervals import Interval, mean_interval
from mho.store.csv_file import write_csv
from mho.tasks.score import Score
from mho.units import show_quantity

Status = Literal["confirmed", "screened", "does not apply", "not tried", "failed"]
AS_IT_IS = "as it is"


@dataclass(frozen=True, eq=False)
class Tried:
    """One remedy, or several together.

    Attributes:
        name: Names of the remedies, joined.
        parts: Their names; empty for the network as it is.
        tier: Of its dearest part; 0 for the network as it is.
        status: confirmed: measured on chips and samples that had no part in choosing it; screened: only on those that
            did; the rest as they say.
        reason: Why it does not apply, was not tried, or failed.
        result: What was measured; of the confirmation where there was one.
        gain: Score won over the network as it is, mean over ages, over chips and samples; None for itself.
        floor: Score below which the budget is left, on these samples.
        level: Confidence of the intervals of this one.
        costs: What it takes.
        code: Lines of Python that apply it.
        enough: About how much measuring would decide it, where its gain is undecided.
        shell: The command that measures it on chips, where a command can say it.
    """

    name: str
    parts: tuple[str, ...]
    tier: int
    status: Status
    reason: str = ""
    result: DriftResult | None = None
    gain: Interval | None = None
    floor: float = 0.0
    level: float = 0.95
    costs: Costs = field(default_factory=Costs)
    code: str = ""
    enough: Enough | None = None
    shell: str | None = None

    @cached_property
    def cost(self) -> Cost | None:
        """What an inference takes on the hardware that it was measured on; None where that is not known."""
        return None if self.result is None else known_cost(self.result.header)[0]

    @property
    def undecided(self) -> bool:
        """Whether it looks better, and the interval of its gain holds zero: neither known to help nor known not to."""
        return self.gain is not None and self.gain.low <= 0 < self.gain.value

    @property
    def measured(self) -> DriftResult:
        """The result; only where there is one."""
        assert self.result is not None
        return self.result

    def means(self) -> list[Interval]:
        """Mean score at each age with its interval over chips, for these samples; worths (`mho.tasks.Score`)."""
        found = [mean_interval(column, self.level) for column in self.measured.scores.T]
        if not self.measured.score.share:
            return found
        return [Interval(i.value, max(i.low, 0.0), min(i.high, 1.0)) for i in found]

    def shown(self) -> list[str]:
        """`means` as text."""
        return [self.measured.score.bracket(i.value, i.low, i.high) for i in self.means()]

    @property
    def margin(self) -> float:
        """How far the mean lies above the floor at the worst age; negative outside the budget."""
        return min(i.value for i in self.means()) - self.floor

    @property
    def met(self) -> bool:
        """Whether the lower bound is inside the budget at every age."""
        return self.result is not None and min(i.low for i in self.means()) >= self.floor - 1e-12

    @property
    def better(self) -> bool:
        """Whether the interval of its gain lies above zero."""
        return self.gain is not None and self.gain.low > 0

    def lifetime(self) -> Lifetime:
        """Age at which the mean leaves the budget of the digital network as it was given."""
        r = self.measured
        return curves.lifetime(r.ages_s, r.scores, self.floor, confidence=self.level, seed=r.header.seed)


@dataclass(frozen=True, eq=False)
class Advice:
    """What `advise` found.

    Attributes:
        subject: Network, data and hardware in words.
        budget: What may be lost, see `advise`.
        ages_s: Ages asked for.
        digital: Score of the digital network as it was given: (on the samples for choosing, on those reported on).
        samples: Number of samples: (for choosing, reported on).
        chips: Number of chips: (for choosing, reported on).
        confidence: Of all intervals of the confirmation together.
        baseline: The network as it is, on the samples and chips reported on.
        tried: Everything else, in the order of trying.
        notes: How it was done, and what to be wary of.
        command: What was typed.
        seconds: Time it took.
        before: Lines of Python that make what `Tried.code` takes, except `train` and `out`.
        train: The line that makes the training data, or empty.
        complete: Whether these lines run as they stand; else they take the caller's own arguments.
    """

    subject: str
    budget: float
    ages_s: tuple[float, ...]
    digital: tuple[float, float]
    samples: tuple[int, int]
    chips: tuple[int, int]
    confidence: float
    baseline: Tried
    tried: tuple[Tried, ...]
    notes: tuple[str, ...]
    command: str = ""
    seconds: float = 0.0
    before: tuple[str, ...] = ()
    train: str = ""
    complete: bool = False

    def snippet(self, folder: str | Path = ".") -> str:
        """Python that applies what is recommended and measures it as it was confirmed: the same samples, seed and number of
        chips, so the same scores. It prints them and writes rows and report into ``applied`` in `folder`. Empty where
        nothing is recommended. It runs as it stands from any folder where `complete`, else with the caller's own arguments.
        """
        if self.recommended is None:
            return ""
        out = str(Path(folder).resolve() / "applied") if self.complete else "applied"
        lines = [*self.before, *[self.train] * bool(self.train and self.recommended.costs.epochs), f"out = {out!r}", ""]
        lines += [self.recommended.code, "print(result)", f"print(mho.report(result, out, budget={self.budget!r}))"]
        return "\n".join(["import copy"] * ("copy." in self.recommended.code) + lines)

    def shell(self, folder: str | Path) -> str:
        """The command for the same, with the snippet as ``apply.py`` in `folder` where no other can say it; empty where
        nothing is recommended, or only the caller knows network and data.
        """
        if self.recommended is None or not self.complete:
            return ""
        return self.recommended.shell or f"python {shlex.quote(str(Path(folder).resolve() / 'apply.py'))}"

    @property
    def score(self) -> Score:
        """What was measured, and how it is printed."""
        return self.baseline.measured.score

    @property
    def recommended(self) -> Tried | None:
        """What to do; None when nothing is needed, or nothing helps beyond noise.

        Of the confirmed remedies whose gain's interval excludes zero: the cheapest that meets the budget, or the one
        with the best worst age where none does.
        """
        if self.baseline.met or self.baseline.measured.at_chance(self.budget):
            return None
        able = [t for t in self.tried if t.status == "confirmed" and t.better]
        inside = [t for t in able if t.met]
        if inside:
            return min(inside, key=lambda t: (t.tier, len(t.parts), -t.margin))
        return max(able, key=lambda t: t.margin, default=None)

    def ranked(self) -> list[Tried]:
        """Everything that was measured: confirmed before screened, then by the margin at the worst age."""
        measured = [t for t in (self.baseline, *self.tried) if t.result is not None]
        return sorted(measured, key=lambda t: (t.status != "confirmed", -t.margin))

    def sentence(self) -> str:
        """The recommendation in words."""
        score, best = self.score, self.recommended
        if reason := self.baseline.measured.at_chance(self.budget):
            return f"{self.subject}: {reason}."
        limit = score.show_budget(self.budget) + ("" if score.name == "accuracy" else f" {score.label}")
        ages = " and ".join(filter(None, [", ".join(map(show_age, self.ages_s[:-1])), show_age(self.ages_s[-1])]))
        if self.baseline.met:
            return f"{self.subject}: nothing needs to be done. It keeps its {limit} budget after {ages}."
        if best is None:
            return f"{self.subject}: {self._nothing_known()}"
        assert best.gain is not None
        won = score.show_gain(best.gain.value, best.gain.low, best.gain.high)
        takes = f"It takes {best.costs}."
        if best.met:
            return (
                f"{self.subject}: use {best.name}. It keeps the {limit} budget after {ages} and wins {won} over the "
                f"network as it is. {takes}"
            )
        worst = min(best.means(), key=lambda i: i.value)
        short = ""
        if best.margin < 0:
            outside = f"{-100 * best.margin:.1f} points" if score.share else f"{-best.margin:.3g}{score.differs}"
            short = f"; at its worst age it is {outside} outside, at {score.show(worst.value)}"
        return (
            f"{self.subject}: nothing that was tried keeps the {limit} budget for certain. Best is {best.name}: it wins "
            f"{won} over the network as it is{short}. {takes}"
        )

    def _nothing_known(self) -> str:
        """Where nothing is recommended: what is undecided, and what would decide it; else how little can be gained at most."""
        confirmed, score = [t for t in self.tried if t.status == "confirmed" and t.gain is not None], self.score
        open_ = sorted((t for t in confirmed if t.undecided), key=lambda t: -t.gain.value)  # type: ignore[union-attr]
        if open_:
            first = open_[0]
            assert first.gain is not None
            won = score.show_gain(first.gain.value, first.gain.low, first.gain.high)
            told = f", {first.enough} would tell" if first.enough is not None and str(first.enough) else ""
            more = (
                f"; so are {len(open_) - 1} more" if len(open_) > 2 else "; so is one more" if len(open_) == 2 else ""
            )
            return (
                f"undecided. {first.name} won {won} over the network as it is on {self.chips[1]} fresh chips and "
                f"{self.samples[1]:,} samples, which is neither known to help nor known not to{told}{more}."
            )
        if not confirmed:
            return "nothing that was tried is known to help. Nothing looked better where it was tried."
        most = max((t.gain for t in confirmed if t.gain is not None), key=lambda gain: gain.high)
        return (
            f"nothing that was tried is known to help. Of {len(confirmed)} measured again on fresh chips none looks better; "
            f"the best may win {score.show_gain(most.value, most.low, most.high)}."
        )

    def rows(self) -> list[dict[str, Any]]:
        """Tidy rows: one a remedy and age, one for each that was not measured."""
        rows, score, name = [], self.score, self.score.label
        for t in (self.baseline, *self.tried):
            first = {"remedy": t.name, "status": t.status, "reason": t.reason, "recommended": t is self.recommended}
            if t.result is None:
                rows.append(first)
                continue
            if t.enough is not None:
                first |= {"samples_to_tell": t.enough.samples, "chips_to_tell": t.enough.chips}
            life, r = t.lifetime(), t.measured
            shared = {
                "chips": len(r.chips), "samples": r.digital.samples, "floor": score.shown(t.floor), "lifetime": str(life),
                "gain": None if t.gain is None else t.gain.value, "gain_low": None if t.gain is None else t.gain.low,
                "gain_high": None if t.gain is None else t.gain.high, "confidence": t.level,
                "energy_pj": None if t.cost is None else t.cost.energy_pj,
                **t.costs.as_dict(),
            }  # fmt: skip
            for age, i in zip(r.ages_s, t.means(), strict=True):
                rows.append(
                    {
                        **first,
                        "age_s": age,
                        name: score.shown(i.value),
                        f"{name}_low": min(score.shown(i.low), score.shown(i.high)),
                        f"{name}_high": max(score.shown(i.low), score.shown(i.high)),
                        **shared,
                    }
                )
        return rows

    def to_csv(self, path: str | Path) -> Path:
        """Write `rows` as CSV.

        Raises:
            BadInput: The file cannot be written.
        """
        return write_csv(self.rows(), path)

    def __str__(self) -> str:
        unit = ", points" if self.score.share else f",{self.score.differs}" if self.score.differs else ""
        known = any(t.cost for t in self.ranked())
        lines = [["", "remedy", *map(show_age, self.ages_s), "lifetime", f"gain{unit}", *["energy"] * known, "takes"]]
        for t in self.ranked():
            mark = "→" if t is self.recommended else "·" if t.status == "screened" else " "
            won = "" if t.gain is None else self.score.show_gain(t.gain.value, t.gain.low, t.gain.high, unit=False)
            energy = [show_quantity(t.cost.energy_pj * 1e-12, "J") if t.cost else "–"] * known
            takes = "" if t.gain is None else str(t.costs)
            lines.append([mark, t.name, *t.shown(), str(t.lifetime()), won, *energy, takes])
        rest = [f"{t.status}: {t.name} ({t.reason})" for t in self.tried if t.result is None]
        return "\n".join([self.sentence(), "", *aligned(lines), "", *rest, *self.notes])

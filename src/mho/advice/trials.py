"""`Trials`: remedies measured on common chips, alone and together, and the finalists on fresh ones."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mho.advice.asked import Asked
from mho.advice.call import Call
from mho.advice.case import Case
from mho.advice.plan import Plan
from mho.advice.remedy import SLOTS, Remedy
from mho.advice.result import AS_IT_IS, Status, Tried
from mho.errors import BadResults, MhoError, NeverPossible
from mho.measure.gain import mean_differences
from mho.measure.monte_carlo import drift
from mho.measure.result import DriftResult
from mho.measure.test_data import TestData
from mho.progress import Meter, Step
from mho.statistics.crossed import crossed
from mho.statistics.enough import enough
from mho.statistics.intervals import Interval

Parts = tuple[Remedy, ...]


class Trials:
    """See `advise`.

    Args:
        case: What is to be helped.
        reporting: Samples for the confirmation.
        asked: What is to be kept, and how much is spent.
        name: Of the network.
        hardware: The hardware as a Python expression.
        call: How the shell asked for it, or None.
        told: Told how far it is, in trials.
    """

    def __init__(
        self, case: Case, reporting: TestData, asked: Asked, *, name: str, hardware: str, call: Call | None, told: Meter
    ) -> None:
        self.case, self.reporting, self.asked, self.finalists = case, reporting, asked, asked.effort.finalists
        self.level = 1 - (1 - asked.confidence) / self.finalists
        self.name, self.hardware, self.call, self.told = name, hardware, call, told
        self.done, self.planned, self.doing = 0, 0, ""
        self.start, self.screening, self.confirming = time.monotonic(), 0.0, 0.0
        self.digital = [0.0, 0.0]
        self.plans: dict[Parts, Plan] = {}
        self.pool: dict[Parts, Tried] = {}
        self.confirmed: dict[Parts, Tried] = {}
        self.rest: list[Tried] = []

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.start

    def run(self, remedies: Sequence[Remedy]) -> tuple[Tried, list[Tried]]:
        """The network as it is, confirmed, and everything that was tried or not, with the reason."""
        # As it is, every remedy alone, and the finalists with their base on fresh chips; combinations come on top.
        self.planned = 2 + sum(c.applies(self.case) is None for c in remedies) + self.finalists
        self.base = self._screen(())
        stop = bool(self.base.measured.at_chance(self.asked.budget))
        reason = "the digital network is not better than chance"
        if not stop and self.base.met and self._confirm(()).met:
            stop, reason = True, "nothing needs to be done"
        for tier in sorted({c.tier for c in remedies}):
            members = [c for c in remedies if c.tier == tier]
            for c in members:
                why_not = c.applies(self.case)
                if why_not is not None:
                    self._leave(c, "does not apply", why_not)
                elif stop:
                    self._leave(c, "not tried", reason)
                elif self._late():
                    self._leave(c, "not tried", "the time was up")
                elif self._try((c,)):
                    stop, reason = True, "something cheaper keeps the budget"
            if not stop and self._together():
                stop, reason = True, "something cheaper keeps the budget"
        baseline = self._confirm(())
        if not baseline.met and not baseline.measured.at_chance(self.asked.budget):
            self._finals()
        self._widen()
        baseline = self.confirmed[()]
        tried = [self.confirmed.get(parts, t) for parts, t in self.pool.items() if parts]
        return baseline, [*tried, *self.rest]

    def _leave(self, c: Remedy, status: Status, reason: str) -> None:
        self.rest.append(Tried(c.name, (c.name,), c.tier, status, reason))

    def _late(self) -> bool:
        """Whether the rest of the time is needed for the confirmation."""
        if self.asked.max_seconds is None:
            return False
        effort, n, m = self.asked.effort, self.case.choosing.info.samples, self.reporting.info.samples
        passes = (effort.finalists + 1 - len(self.confirmed)) * self.asked.chips * m / (effort.screened * n)
        return self.elapsed() + passes * self.screening > self.asked.max_seconds

    def _try(self, parts: Parts) -> bool:
        """Measure; True when it keeps the budget on fresh chips, too."""
        try:
            tried = self._screen(parts)
        except BadResults:
            raise
        except MhoError as error:
            names = tuple(c.name for c in parts)
            status: Status = "does not apply" if isinstance(error, NeverPossible) else "failed"
            self.rest.append(Tried(" + ".join(names), names, max(c.tier for c in parts), status, error.problem))
            return False
        early = len([p for p in self.confirmed if p]) < self.asked.effort.finalists - 1
        if tried.met and early:
            found = self._confirm(parts)
            return found.met and found.better
        return False

    def _together(self) -> bool:
        """Add promising ones to the best, one at a time, as long as it helps at the worst age."""
        able = [p for p, t in self.pool.items() if len(p) == 1 and t.gain is not None and t.gain.value > 0]
        able.sort(key=lambda p: -self.pool[p].margin)
        best = max(self.pool, key=lambda p: self.pool[p].margin)
        if not best:
            return False
        for (c,) in able:
            parts = tuple(sorted((*best, c), key=lambda one: SLOTS.index(one.slot)))
            if len({one.slot for one in parts}) < len(parts) or parts in self.pool:
                continue
            if self._late():
                return False
            if self._try(parts):
                return True
            if parts in self.pool and self.pool[parts].margin > self.pool[best].margin:
                best = parts
        return False

    def _finals(self) -> None:
        """Measure again, as many as were agreed beforehand: the surest gain, the best at the worst age, the best alone, the
        best of the cheapest, and on; then, while the time lasts, all others that gained. `_widen` counts those.

        Who comes next follows from the screening alone, never from what a confirmation found.
        """
        left = self.asked.effort.finalists - len([p for p in self.confirmed if p])
        able = [p for p, t in self.pool.items() if p and p not in self.confirmed and t.gain and t.gain.value > 0]
        surest = sorted(able, key=lambda p: -self._screened_gain(p).low)
        able.sort(key=lambda p: -self.pool[p].margin)
        single = [p for p in able if len(p) == 1]
        cheapest = min((self.pool[p].tier for p in single), default=0)
        first = [*surest[:1], *able[:1], *single[:1], *[p for p in single if self.pool[p].tier == cheapest][:1]]
        for i, parts in enumerate(dict.fromkeys([*first, *surest])):
            if i < left or self.elapsed() + self.confirming < (self.asked.max_seconds or 0.0):
                self._confirm(parts)

    def _screened_gain(self, parts: Parts) -> Interval:
        found = self.pool[parts].gain
        assert found is not None
        return found

    def _widen(self) -> None:
        """More finalists than were agreed beforehand: there was time for more, or earlier calls that shared the folder
        looked at others. They count."""
        folder = None if self.case.folder is None else self.case.folder / "confirm"
        looked = len([f for f in folder.iterdir() if f.is_dir()]) - 1 if folder is not None and folder.is_dir() else 0
        looked = max(looked, len(self.confirmed) - 1)
        if looked <= self.finalists:
            return
        self.finalists, self.level = looked, 1 - (1 - self.asked.confidence) / looked
        base = self.confirmed[()]
        for parts, tried in self.confirmed.items():
            again = self._gain(parts, tried.measured, base.measured)
            self.confirmed[parts] = replace(tried, **again, level=self.level)

    def _gain(self, parts: Parts, result: DriftResult, base: DriftResult) -> dict[str, Any]:
        """The gain of a confirmed one, and what would decide it where it is undecided."""
        if not parts:
            return {"gain": None}
        table = mean_differences(result, base)
        found = crossed(table, self.level)
        undecided = found.low <= 0 < found.value
        return {"gain": found, "enough": enough(table, self.level) if undecided else None}

    def _plan(self, parts: Parts) -> Plan:
        if parts not in self.plans:
            plan = Plan(self.case.model)
            for i in range(len(parts)):
                before = parts[: i + 1]
                if before not in self.plans:
                    self.plans[before] = parts[i].prepare(plan, self.case)
                plan = self.plans[before]
            self.plans[parts] = plan
        return self.plans[parts]

    def _screen(self, parts: Parts) -> Tried:
        self.doing = f"trying {_name(parts)}"
        plan = self._plan(parts)  # a training takes its time once: it is no part of what confirming will take
        begun = self.elapsed()
        result = self._measure(parts, "screen", self.case.choosing, self.asked.effort.screened, self.case.seed)
        self.screening = max(self.screening, self.elapsed() - begun)  # what is read from the disk says nothing
        if not parts:
            self.digital[0] = result.digital_score
        won = crossed(mean_differences(result, self.base.measured), 0.95) if parts else None
        self.pool[parts] = Tried(
            name=_name(parts),
            parts=tuple(c.name for c in parts),
            tier=max((c.tier for c in parts), default=0),
            status="screened",
            result=result,
            gain=won,
            floor=self.digital[0] - self.asked.budget,
            costs=plan.costs,
            code=plan.code(self.hardware, self.case.ranges, chips=self.asked.chips, seed=self.case.seed + 1),
            shell=None if self.call is None else self.call.shell(plan, chips=self.asked.chips),
        )
        return self.pool[parts]

    def _confirm(self, parts: Parts) -> Tried:
        if parts in self.confirmed:
            return self.confirmed[parts]
        base = None if not parts else self._confirm(())
        self.doing = f"confirming {_name(parts)}"
        begun = self.elapsed()
        result = self._measure(parts, "confirm", self.reporting, self.asked.chips, self.case.seed + 1)
        self.confirming = max(self.confirming, self.elapsed() - begun)
        if not parts:
            self.digital[1] = result.digital_score
        self.confirmed[parts] = replace(
            self.pool[parts],
            status="confirmed",
            result=result,
            **self._gain(parts, result, result if base is None else base.measured),
            floor=self.digital[1] - self.asked.budget,
            level=self.level,
        )
        return self.confirmed[parts]

    def _measure(self, parts: Parts, stage: str, data: TestData, chips: int, seed: int) -> DriftResult:
        self.planned = max(self.planned, self.done + 1)
        self.told(self.done, self.planned, known=self.doing)
        plan, folder = self._plan(parts), None
        if self.case.folder is not None:
            slug = re.sub(r"[^a-z0-9]+", "-", _name(parts).lower()).strip("-")
            # The header of a run knows one hardware; the digest tells apart those that differ in single layers.
            folder = self.case.folder / stage / f"{slug}-{plan.hardware(self.case).digest()[:8]}"
        result = drift(
            plan.network(self.case), data, self.case.times_s, chips=chips, seed=seed, out=folder,
            workers=self.asked.workers, name=self.name, progress=self._within, **plan.settings(),
        )  # fmt: skip
        self.done += 1
        self.told(self.done, max(self.planned, self.done), known=self.doing)
        return result

    def _within(self, step: Step) -> None:
        """A trial tells how far it is."""
        about = f"{self.doing}: {step.known}" if step.known else self.doing
        self.told(self.done + 0.99 * (step.share or 0.0), self.planned, known=about)


def _name(parts: Parts) -> str:
    return " + ".join(c.name for c in parts) or AS_IT_IS

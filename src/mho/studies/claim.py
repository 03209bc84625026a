"""`Claim`: a sentence that stored rows decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from mho.statistics.intervals import Interval
from mho.studies.outcome import NotStored, Results, show_points

Verdict = Literal["holds", "fails", "depends", "open"]


@dataclass(frozen=True)
class Finding:
    """What the rows say: ``depends`` where parts differ or an interval is too wide to tell, ``open`` where rows lack."""

    verdict: Verdict
    evidence: str


@dataclass(frozen=True)
class Claim:
    """A sentence, and how stored rows decide it.

    Attributes:
        sentence: What is claimed.
        check: From all results to the finding, with the numbers and intervals that decide it.
        source: Who claims it; empty: this study.
        published: Their value in words; only one that was read in the source itself.
    """

    sentence: str
    check: Callable[[Results[Any, Any]], Finding]
    source: str = ""
    published: str = ""

    def judge(self, results: Results[Any, Any]) -> Finding:
        """The finding; ``open`` where an arm that it needs is not stored."""
        try:
            return self.check(results)
        except NotStored as error:
            return Finding("open", error.problem)


def above(what: str, found: Interval, threshold: float = 0.0, show: Callable[[Interval], str] = show_points) -> Finding:
    """Whether a value is above a threshold for sure: its whole interval is.

    Args:
        what: What was measured.
        found: Its interval.
        threshold: In the same unit.
        show: Interval to text; by default differences of shares are percentage points, and gains of other scores have their
            unit.
    """
    verdict: Verdict = "holds" if found.low > threshold else "fails" if found.high <= threshold else "depends"
    return Finding(verdict, f"{what} {show(found)}")


def below(what: str, found: Interval, threshold: float = 0.0, show: Callable[[Interval], str] = show_points) -> Finding:
    """Whether a value is below a threshold for sure; arguments as in `above`."""
    verdict: Verdict = "holds" if found.high < threshold else "fails" if found.low >= threshold else "depends"
    return Finding(verdict, f"{what} {show(found)}")


def every(*parts: Finding) -> Finding:
    """All parts together: holds where all hold, fails where all fail, and else depends."""
    verdicts = {part.verdict for part in parts}
    return Finding(verdicts.pop() if len(verdicts) == 1 else "depends", "; ".join(part.evidence for part in parts))


def both(*parts: Finding) -> Finding:
    """All parts as conditions of one claim: holds where all hold, fails where one fails, and else depends."""
    found = every(*parts)
    return replace(found, verdict="fails") if any(part.verdict == "fails" for part in parts) else found

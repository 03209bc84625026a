"""`Objective`: what an adaptive design is to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from mho.errors import MhoError, WrongSetting
from mho.hardware.spec import Spec
from mho.sweeps.costs import COSTS
from mho.sweeps.factor import Factor
from mho.sweeps.sections import HELP

MEASURED = ("score", "loss")


class Objective(Spec):
    """What is to be large or small. In a file: ``score``, or ``{cells: least}``."""

    remedy: ClassVar[str] = HELP
    of: str
    """score (its worth: more is better), loss, a cost, or a factor that is a number."""
    want: Literal["most", "least"] | None = None
    """null: the most of a score, the least of all else."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"of": data}
        if isinstance(data, dict) and len(data) == 1 and "of" not in data:
            ((name, want),) = data.items()
            return {"of": name, "want": want}
        return data

    @property
    def most(self) -> bool:
        """Whether more is better."""
        return (self.want or ("most" if self.of == "score" else "least")) == "most"

    def mistakes(self, factors: Mapping[str, Factor], costs: Sequence[str]) -> list[MhoError]:
        """Why there is no such objective in a sweep; empty where there is.

        Args:
            factors: The sweep's.
            costs: What it notes of each trial.
        """
        if self.of in MEASURED:
            wrong = self.want == ("least" if self.of == "score" else "most")
            found = f"the {self.want} {self.of} is asked for"
            return [WrongSetting(found, "leave it to its own direction", path="design")] if wrong else []
        if self.of in factors:
            factor = factors[self.of]
            numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in factor.tried)
            if numbers and not factor.when:
                return []
            why = "has a condition, so that some points have no level" if numbers else "has levels that are no numbers"
            return [WrongSetting(f"the factor '{self.of}' {why}", "take another objective", path="design")]
        if self.of in costs:
            return []
        if self.of in COSTS.names():
            return [
                WrongSetting(f"the cost '{self.of}' is not noted", f"add costs: [{self.of}] to the file", path="design")
            ]
        known = ", ".join([*MEASURED, *COSTS.names(), *factors])
        return [WrongSetting(f"unknown objective '{self.of}'", f"one of {known}", path="design")]

    def value(
        self, scores: tuple[float, float | None], levels: Mapping[str, Any], costs: Mapping[str, float]
    ) -> float | None:
        """Of a trial; None where it has none.

        Args:
            scores: Its mean worth, and its mean loss.
            levels: Of its factors.
            costs: What was noted of it.
        """
        if self.of in MEASURED:
            return scores[MEASURED.index(self.of)]
        found = levels[self.of] if self.of in levels else costs.get(self.of)
        return None if found is None else float(found)

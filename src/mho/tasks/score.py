"""`Score`: what one number a sample means, and how it is printed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from mho.errors import WrongSetting
from mho.units import share

Form = Literal["share", "value", "error", "perplexity"]
FORMS = ("share", "value", "error", "perplexity")
V = TypeVar("V")


@dataclass(frozen=True)
class Score:
    """The meaning of a named score.

    Statistics (means over samples and chips, intervals, lifetimes, yields) are made of *worths*, of which more is always
    better; what people read is made from a worth at the very end.

    Attributes:
        name: Key among a task's scores.
        form: ``"share"``: in [0, 1], more is better, printed in percent, differences in points. ``"value"``: more is better.
            ``"error"``: less is better; its worth is its negative. ``"perplexity"``: a negative log-likelihood in nats, whose
            worth is its negative, printed as exp of its mean; differences are in nats: 0.01 nat is 1 % of the perplexity.
        label: What people call it; the name by default.
        unit: Unit of a value or an error.

    Raises:
        WrongSetting: An unknown form.
    """

    name: str
    form: Form = "share"
    label: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise WrongSetting(f"form {self.form!r}", f"one of {', '.join(FORMS)}", path="score.form")
        object.__setattr__(self, "label", self.label or self.name)

    @property
    def share(self) -> bool:
        """Whether it lies in [0, 1] and is printed in percent."""
        return self.form == "share"

    def worth(self, value: V) -> V:
        """More is better: the value, or its negative for an error or a perplexity; of a number or an array."""
        return value if self.form in ("share", "value") else -value  # type: ignore[operator,no-any-return]

    def signed(self, values: NDArray[Any]) -> NDArray[Any]:
        """Worths of the values of samples: right and wrong stay booleans, numbers become float64."""
        return values if values.dtype == np.bool_ else self.worth(values.astype(np.float64))

    def shown(self, worth: float) -> float:
        """What people read for a mean worth: a share in [0, 1], a value, an error, a perplexity."""
        if self.form == "perplexity":
            return math.exp(min(-worth, 700.0))
        return worth if self.form in ("share", "value") else -worth

    def show(self, worth: float, digits: int = 1) -> str:
        """``Score("accuracy").show(0.9234) == '92.3 %'``; a dash for NaN. `digits` is of percents."""
        if math.isnan(worth):
            return "–"
        return percent(worth, digits) if self.share else f"{self.shown(worth):.4g}{self._unit}"

    def bracket(self, worth: float, low: float, high: float, digits: int = 1) -> str:
        """A mean with its interval: ``'92.3 % [92.0, 92.6]'``."""
        if self.share:
            return bracket(worth, low, high, digits)
        if math.isinf(low) or math.isinf(high):
            return f"{self.show(worth)} [unknown]"
        ends = sorted((self.shown(low), self.shown(high)))
        return f"{self.show(worth)} [{ends[0]:.4g}, {ends[1]:.4g}]"

    def show_gain(self, gain: float, low: float, high: float, *, unit: bool = True) -> str:
        """A difference of worths with its interval: ``'+1.20 points [+1.00, +1.40]'``."""
        factor, digits = (100, ".2f") if self.share else (1, ".3g")
        behind = (" points" if self.share else self.differs) if unit else ""
        return f"{factor * gain:+{digits}}{behind} [{factor * low:+{digits}}, {factor * high:+{digits}}]"

    def show_budget(self, budget: float) -> str:
        """``Score("accuracy").show_budget(0.01) == '1 %'``; nats for a perplexity, else the score's unit."""
        return f"{100 * budget:.4g} %" if self.share else f"{budget:.4g}{self.differs}"

    def check_budget(self, budget: float | str) -> float:
        """The budget as a number: the worth that may be lost, in [0, 1) for a share (0.01, or "1%", is one point).

        Raises:
            WrongSetting: It is no number, or lies outside.
        """
        way = f"give the {self.label} to lose as a share: 1% or 0.01 is one point"
        if not self.share:
            way = f"give the {self.label} to lose as a number, 0 or more{self.differs}"
        try:
            found = share(budget, "budget")
        except WrongSetting as error:
            raise WrongSetting(error.problem, way, path="budget") from None
        percent = isinstance(budget, str) and budget.strip().endswith("%")
        if not 0 <= found < (1 if self.share else math.inf) or (percent and not self.share):
            raise WrongSetting(f"budget {budget}", way, path="budget")
        return found

    @property
    def _unit(self) -> str:
        return f" {self.unit}" if self.unit else ""

    @property
    def differs(self) -> str:
        """Unit of a difference that is no share, behind a number: '' or ' V'."""
        return " nats" if self.form == "perplexity" else self._unit

    @property
    def axis(self) -> str:
        """Label of an axis."""
        unit = "%" if self.share else self.unit
        return f"{self.label} ({unit})" if unit else self.label

    def on_axis(self, worth: float) -> float:
        """Where a worth stands on that axis: percent for a share, else what people read."""
        return 100 * worth if self.share else self.shown(worth)

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``Score(**score.to_json())`` is the score again."""
        return asdict(self)


ACCURACY = Score("accuracy")
"""Share of right answers."""


def percent(share: float, digits: int = 1) -> str:
    """``percent(0.9234) == '92.3 %'``; a dash for NaN."""
    return "–" if math.isnan(share) else f"{100 * share:.{digits}f} %"


def bracket(value: float, low: float, high: float, digits: int = 1) -> str:
    """``bracket(0.37, 0.22, 0.55, 0) == '37 % [22, 55]'``."""
    if low <= 0 and high >= 1:
        return f"{percent(value, digits)} [unknown]"
    return f"{percent(value, digits)} [{100 * max(low, 0.0):.{digits}f}, {100 * min(high, 1.0):.{digits}f}]"

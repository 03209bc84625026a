"""`Effort`: how much is spent on an advice."""

from __future__ import annotations

from dataclasses import dataclass

from mho.arguments import one_of


@dataclass(frozen=True)
class Effort:
    """How much is spent.

    Attributes:
        name: quick, normal or full.
        screened: Chips on which every remedy is tried.
        confirmed: Fresh chips on which the best are measured again.
        finalists: Most that are measured again.
        epochs: Of training.
        tuned: Images for recalibrations on the chip.
    """

    name: str
    screened: int
    confirmed: int
    finalists: int
    epochs: int
    tuned: int

    @classmethod
    def of(cls, name: str) -> Effort:
        """By name.

        Raises:
            WrongSetting: Unknown.
        """
        return EFFORTS[one_of(name, "effort", EFFORTS)]


EFFORTS = {
    "quick": Effort("quick", 3, 8, 3, 1, 500),
    "normal": Effort("normal", 6, 16, 4, 5, 1000),
    "full": Effort("full", 12, 40, 6, 20, 2000),
}

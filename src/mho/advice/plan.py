"""`Plan`: what would be done for a network, as one thing that can be measured; `Costs`: what that takes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from mho.advice.case import Case
from mho.calibration import calibrate, load_ranges
from mho.convert import to_analog
from mho.hardware import Hardware


@dataclass(frozen=True)
class Costs:
    """What a plan takes, beyond the network as it is.

    Attributes:
        training_s: Seconds of training, on the machine that ran it.
        epochs: Passes over the training data.
        cells: Additional cells, as a share of those there were.
        digital: Share of all multiply-accumulates that move from the arrays to the digital side.
        images: Inputs that each chip sees at each age to be recalibrated.
        labels: Labels are needed.
        on_chip: Something has to be measured on each chip again as it ages (beyond what its compensation does).
        refreshes: Times that each chip is programmed anew until the last age.
        writes: Additional writes of each cell at programming, at most.
    """

    training_s: float = 0.0
    epochs: int = 0
    cells: float = 0.0
    digital: float = 0.0
    images: int = 0
    labels: bool = False
    on_chip: bool = False
    refreshes: int = 0
    writes: int = 0

    def plus(self, **more: Any) -> Costs:
        """With these added; flags are set."""
        added = {k: (getattr(self, k) or v) if isinstance(v, bool) else getattr(self, k) + v for k, v in more.items()}
        return replace(self, **added)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __str__(self) -> str:
        parts = []
        if self.epochs:
            parts.append(f"training: {self.epochs} epoch{'s' * (self.epochs != 1)}, {self.training_s:.0f} s")
        if self.cells:
            parts.append(f"{100 * self.cells:+.3g} % cells")
        if self.digital:
            parts.append(f"{100 * self.digital:.1f} % of the MACs digital")
        if self.images:
            parts.append(f"{self.images} images on each chip at each age")
        elif self.on_chip:
            parts.append("a measurement on each chip at each age")
        if self.refreshes:
            parts.append(f"programmed anew {self.refreshes} times")
        if self.writes:
            parts.append(f"{self.writes} more writes of each cell")
        if self.labels:
            parts.append("labels")
        return ", ".join(parts) or "nothing at run time"


@dataclass(frozen=True, eq=False)
class Plan:
    """What would be done, as one thing that can be measured.

    Attributes:
        model: The digital network, perhaps trained.
        changes: Changes of the hardware, as `Hardware.replace` takes them.
        ranges: Arguments of `mho.calibrate`.
        recalibrate: Recalibrations of the aged chip, in order.
        refresh: Interval of programming anew, seconds, or None.
        costs: What it takes.
        training: Lines of Python that train.
        recipes: Python expressions of the recalibrations.
    """

    model: nn.Module
    changes: dict[str, Any] = field(default_factory=dict)
    ranges: dict[str, Any] = field(default_factory=dict)
    recalibrate: tuple[Any, ...] = ()
    refresh: float | None = None
    costs: Costs = Costs()
    training: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()

    def hardware(self, case: Case) -> Hardware:
        """The hardware with the changes."""
        return case.hw.replace(**self.changes) if self.changes else case.hw

    def network(self, case: Case) -> nn.Module:
        """The network on arrays, calibrated."""
        net = to_analog(self.model, self.hardware(case), example=case.example)
        if case.ranges is not None and not (self.ranges or self.changes or self.training):
            return load_ranges(net, case.ranges)
        return calibrate(net, case.calibration, **self.ranges)

    def with_(self, *, costs: dict[str, Any] | None = None, **more: Any) -> Plan:
        """A copy with some parts replaced and costs added."""
        return replace(self, costs=self.costs.plus(**(costs or {})), **more)

    def settings(self) -> dict[str, Any]:
        """What `mho.drift` is to be told."""
        told: dict[str, Any] = {"recalibrate": self.recalibrate} if self.recalibrate else {}
        return told if self.refresh is None else {**told, "refresh": self.refresh}

    def code(self, hardware: str, file: Path | None = None, *, chips: int, seed: int) -> str:
        """Lines of Python that apply it to `model` and measure `test`, with `x` an input batch, `calibration` batches of
        inputs, and `out` a folder for the rows.

        Args:
            hardware: The hardware as an expression.
            file: Where the converters' ranges are, see `Case`.
            chips: Chips that are measured.
            seed: Root seed of these.
        """
        changed = f".replace(**{self.changes!r})" if self.changes else ""
        if self.training:  # it comes first, on the hardware without the changes
            lines = [f"hw = {hardware}", *self.training, *([f"hw = hw{changed}"] if changed else [])]
        else:
            lines = [f"hw = {hardware}{changed}"]
        lines.append(conversion(None if self.ranges or self.changes or self.training else file, **self.ranges))
        told = f", recalibrate=[{', '.join(self.recipes)}]" if self.recipes else ""
        told += "" if self.refresh is None else f", refresh={self.refresh!r}"
        lines.append(f"result = mho.drift(net, test, times, chips={chips}, seed={seed}{told}, out=out)")
        return "\n".join(lines)


def conversion(file: Path | None, **options: Any) -> str:
    """A line of Python that puts `model` on arrays as `net`, with the ranges of a file or of `calibration`."""
    analog = "mho.to_analog(model, hw, example=x)"
    if file is not None:
        return f"net = mho.calibration.load_ranges({analog}, {str(file)!r})"
    told = "".join(f", {key}={value!r}" for key, value in options.items())
    return f"net = mho.calibrate({analog}, calibration{told})"

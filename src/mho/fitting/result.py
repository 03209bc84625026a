"""`DeviceFit`: the cell that measurements gave, with its intervals and what they cannot tell."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mho.devices.fitted import Fitted
from mho.devices.relaxing import Relaxing
from mho.errors import BadInput
from mho.fitting.choice import Choice
from mho.fitting.goodness import Goodness, OverTime
from mho.fitting.measurements import Measurements
from mho.fitting.resampled import LABELS, Quantity, show
from mho.fitting.stages import Stages
from mho.hardware import Hardware
from mho.statistics.intervals import Interval
from mho.store.files import write_text
from mho.units import show_time

_SHOWN_ODD = 12


@dataclass(frozen=True)
class DeviceFit:
    """What `fit_device` found.

    Attributes:
        cell: The fitted cell.
        measured: The data.
        stages: Each cell's own fit, the choice of laws, the odd cells.
        quantities: Every law with intervals, by the name that it has in the cell.
        levels_told_apart: How many levels 1 % of cells leave toward a neighbour, at the first reading.
        t0: t₀ or t_w, where it was fitted, s.
        stuck: Share of cells stuck low and high, of those whose target shows it.
        goodness: Whether deviations are normal, by law.
        over_time: Trend of what the cells' own laws leave over.
        unknown: What the data cannot tell, in sentences.
        confidence: Of all intervals.
        resamples: Drawings of the cells.
    """

    cell: Fitted | Relaxing
    measured: Measurements
    stages: Stages
    quantities: Mapping[str, Quantity]
    levels_told_apart: Interval
    t0: Interval | None
    stuck: Mapping[str, Interval]
    goodness: Mapping[str, Goodness]
    over_time: OverTime | None
    unknown: tuple[str, ...]
    confidence: float
    resamples: int

    def hardware(self, base: Hardware | str = "pcm", name: str | None = None) -> Hardware:
        """A hardware with this cell and its stuck cells.

        Args:
            base: Everything else: a preset, a YAML file or a hardware.
            name: Of the hardware; by default that of the file of measurements.

        Raises:
            WrongSetting: The cell does not fit the encoding of `base`.
        """
        hw = Hardware.of(base)
        return Hardware.parse({
            **hw.as_dict(), "name": name or Path(self.measured.source).stem or "fitted",
            "sources": [self._origin(), *hw.sources], "cell": self.cell.as_dict(), "layers": {},
            "faults": {"stuck_low": self.stuck["stuck low"].value, "stuck_high": self.stuck["stuck high"].value},
        })  # fmt: skip

    def numbers(self) -> dict[str, Any]:
        """All of it as plain values: laws, intervals, what was tried, odd cells."""
        return {
            "source": self.measured.source,
            "data": self.measured.shown(),
            "notes": list(self.measured.notes),
            "confidence": self.confidence,
            "resamples": self.resamples,
            "temperature_c": self.measured.temperature_c,
            "cell": self.cell.as_dict(),
            "laws": {name: self._law(name) for name in self.quantities},
            "levels_told_apart": _plain(self.levels_told_apart),
            f"{'t0' if isinstance(self.cell, Fitted) else 't_w'}_s": (
                _plain(self.t0) if self.t0 else self.stages.way.onset_s
            ),
            "stuck": {why: _plain(share) for why, share in self.stuck.items()},
            "odd_cells": [
                {"cell": self.measured.cells[o.cell], "why": o.why, "deviations": o.deviations} for o in self.stages.odd
            ],
            "trend_of_residuals_p": self.over_time.p if self.over_time else None,
            "unknown": list(self.unknown),
        }

    def write(self, directory: str | Path, base: Hardware | str = "pcm") -> dict[str, Path]:
        """Write ``device.yaml`` (a hardware, for ``--hardware``), ``cell.yaml`` (the cell alone) and ``fit.json``.

        Returns:
            The paths by name.

        Raises:
            BadInput: The directory cannot be written.
        """
        directory = Path(directory)
        paths = {name: directory / name for name in ("device.yaml", "cell.yaml", "fit.json")}
        hw = self.hardware(base)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            write_text(paths["device.yaml"], f"# {self._origin()}\n# {hw.leaves_out()}\n{hw.to_yaml()}")
            write_text(paths["cell.yaml"], f"# {self._origin()}\n{self.cell.to_yaml()}")
            write_text(paths["fit.json"], json.dumps(self.numbers(), indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            raise BadInput(
                f"cannot be written: {error.strerror}", "give another directory", path=str(directory)
            ) from error
        return paths

    def lines(self) -> list[tuple[str, str, str]]:
        """Every law: its name, its family, and its values with intervals at the ends and the middle of the range."""
        found = []
        for name, quantity in self.quantities.items():
            label, unit = LABELS[name]
            ends = sorted({quantity.at_r[0], quantity.at_r[len(quantity.at_r) // 2], quantity.at_r[-1]})
            values = "; ".join(f"{show(quantity.at(r), unit)} at {r * self.cell.g_max_us:.3g} µS" for r in ends)
            found.append((label, quantity.shape.name, values))
        return found

    def __str__(self) -> str:
        text = [self.measured.shown(), *self.measured.notes]
        text += [f"{label}: {family}: {values}" for label, family, values in self.lines()]
        if isinstance(self.cell, Fitted) and "reading_q" in self.quantities:
            text.append(f"read noise is {self.cell.reading_form}")
        way = self.stages.way
        t0 = f"fitted: {show(self.t0, 's')}" if self.t0 else show_time(way.onset_s)
        text.append(
            f"{way.onset}: {t0}; levels told apart (1 % overlap, first reading): {show(self.levels_told_apart)}"
        )
        text += [f"{why}: {100 * share.value:.2g} % [{100 * share.low:.2g}, {100 * share.high:.2g}]"
                 for why, share in self.stuck.items()]  # fmt: skip
        if self.stages.odd:
            shown = [
                f"{self.measured.cells[o.cell]} ({o.why}, {o.deviations:+.0f} σ)" for o in self.stages.odd[:_SHOWN_ODD]
            ]
            more = f" and {len(self.stages.odd) - _SHOWN_ODD} more" if len(self.stages.odd) > _SHOWN_ODD else ""
            text.append(f"left out of the laws: {', '.join(shown)}{more}")
        text += [f"{LABELS[name][0]}: deviations {good}" for name, good in self.goodness.items()]
        text.append(f"intervals: {100 * self.confidence:g} %, {self.resamples} drawings of whole cells")
        return "\n".join([*text, "what the data cannot tell", *(f"  {sentence}" for sentence in self.unknown)])

    def _origin(self) -> str:
        degrees = "" if self.measured.temperature_c is None else f" at {self.measured.temperature_c:g} °C"
        return f"fitted to {Path(self.measured.source).name}{degrees}: {self.measured.shown()}"

    def _law(self, name: str) -> dict[str, Any]:
        quantity = self.quantities[name]
        label, unit = LABELS[name]
        good = self.goodness.get(name)
        return {
            "label": label, "unit": unit, "family": quantity.shape.name, "law": str(quantity.law or 0),
            "coefficients": [_plain(i) for i in quantity.coefficients], "coefficients_are": (
                "of the exponent" if quantity.shape.link == "log" else "of the law"),
            "curve": [{"g_us": r * self.cell.g_max_us, **_plain(i)} for r, i in zip(quantity.at_r, quantity.curve, strict=True)],
            "tried": _rivals(quantity.choice),
            "goodness": None if good is None else {"beyond_2_sigma": good.beyond_2, "beyond_3_sigma": good.beyond_3, "p": good.p},
        }  # fmt: skip


def _plain(interval: Interval) -> dict[str, float | None]:
    parts = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in parts.items()}


def _rivals(choice: Choice) -> list[dict[str, Any]]:
    best = choice.rivals[0].aicc
    return [
        {"laws": r.name, "delta_aicc": r.aicc - best, "predicted": None if math.isnan(r.predicted) else r.predicted}
        for r in choice.rivals
    ]

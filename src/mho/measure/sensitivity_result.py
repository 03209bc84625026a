"""`SensitivityResult`: what each layer costs, next to what was estimated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from mho.arguments import one_of
from mho.errors import WrongSetting
from mho.measure.aligned import aligned
from mho.measure.linearised import Estimate
from mho.statistics.intervals import Interval, mean_interval
from mho.store import Measurement
from mho.tasks.score import ACCURACY, Score
from mho.units import show_time

Form = Literal["first", "diagonal", "quadratic"]
Rank = Literal["rise", "loss", "first", "diagonal", "quadratic"]


@dataclass(frozen=True)
class LayerSensitivity:
    """What one layer costs.

    Attributes:
        path: What `digital` and `layers` of a hardware description take.
        weights: Number of its weights.
        cells: Cells they take.
        macs: Multiply-accumulates of one example.
        mac_share: Share of the network's; NaN where unknown.
        losses: What it costs of the headline score, on each chip: of an accuracy as a share.
        rises: Rise of the mean loss (for classes the cross-entropy, nats) that it causes, on each chip.
        estimate: The same rise, estimated.
    """

    path: str
    weights: int
    cells: int
    macs: int
    mac_share: float
    losses: tuple[float, ...]
    rises: tuple[float, ...]
    estimate: Estimate | None

    def by(self, rank: Rank) -> float:
        """The number that layers are ranked by: mean over chips."""
        if rank in ("rise", "loss"):
            values = self.rises if rank == "rise" else self.losses
            return float(np.mean(values)) if values else math.nan
        return math.nan if self.estimate is None else float(getattr(self.estimate, rank))


@dataclass(frozen=True)
class Agreement:
    """How an estimate of the rises stands to the measured ones.

    Attributes:
        spearman: Rank correlation; NaN for fewer than three layers.
        slope: Measured rise for one estimated, by least squares through the origin.
        layers: Their number.
        known: Whether layers are told apart by what was measured of them, so that there is an order to agree with.
    """

    spearman: float
    slope: float
    layers: int
    known: bool = True

    def __str__(self) -> str:
        if not self.known:
            return "unknown, the measured rises differ by no more than their noise: measure more chips or samples"
        return f"Spearman {self.spearman:.2f}, slope {self.slope:.2f} over {self.layers} layers"


@dataclass(frozen=True)
class SensitivityResult:
    """What each layer costs.

    Attributes:
        layers: In the order of the network.
        mode: "alone" or "spared".
        age_s: Age of the chips.
        chips: Their number.
        samples: Test samples.
        digital: The digital network.
        full: The network with every layer on the chip.
        confidence: Of the intervals.
        subject: Data and hardware in words.
        score: The headline score.
    """

    layers: tuple[LayerSensitivity, ...]
    mode: str
    age_s: float
    chips: int
    samples: int
    digital: Measurement
    full: tuple[Measurement, ...]
    confidence: float
    subject: str
    score: Score = ACCURACY

    def __getitem__(self, path: str) -> LayerSensitivity:
        for layer in self.layers:
            if layer.path == path:
                return layer
        raise WrongSetting(f"there is no layer '{path}'", f"layers are {', '.join(x.path for x in self.layers)}")

    def ranked(self, by: Rank | None = None) -> list[LayerSensitivity]:
        """Layers, most sensitive first; by the measured rise, or the quadratic estimate where nothing was measured."""
        by = self.rank(by)
        return sorted(self.layers, key=lambda layer: -layer.by(by))

    def rank(self, by: Rank | None = None) -> Rank:
        """What layers are ranked by: `by`, or the default.

        Raises:
            WrongSetting: It was neither measured nor estimated.
        """
        by = by or ("rise" if self.chips else "quadratic")
        one_of(by, "by", get_args(Rank))
        if any(math.isnan(layer.by(by)) for layer in self.layers):
            known = [*(["rise", "loss"] if self.chips else []), *(["first", "diagonal", "quadratic"])]
            raise WrongSetting(f"'{by}' was not found", f"one of {', '.join(known)}, or estimated=True", path="by")
        return by

    def interval(self, path: str, what: Literal["loss", "rise"]) -> Interval:
        """Student's t interval over chips of a layer's cost in score (a share for accuracy), or rise of the loss."""
        layer = self[path]
        return mean_interval(layer.losses if what == "loss" else layer.rises, self.confidence)

    def agreement(self, form: Form = "quadratic") -> Agreement:
        """How well an estimate foretells the measured rises.

        Raises:
            WrongSetting: One of the two is missing.
        """
        if not self.chips:
            raise WrongSetting("nothing was measured", "call with chips >= 1", path="chips")
        estimated = np.array([layer.by(self.rank(form)) for layer in self.layers])
        measured = np.array([layer.by("rise") for layer in self.layers])
        known = _told_apart(np.array([layer.rises for layer in self.layers]), self.confidence)
        return Agreement(_spearman(estimated, measured), _slope(estimated, measured), len(measured), known)

    def rows(self) -> list[dict[str, Any]]:
        """Tidy rows, one a layer, in the order of the network."""
        rows = []
        for layer in self.layers:
            row: dict[str, Any] = {"layer": layer.path, "mode": self.mode, "age_s": self.age_s, "chips": self.chips}
            row |= {"weights": layer.weights, "cells": layer.cells, "macs": layer.macs, "mac_share": layer.mac_share}
            for what in ("loss", "rise") if self.chips else ():
                interval = self.interval(layer.path, what)  # type: ignore[arg-type]
                row |= {what: interval.value, f"{what}_low": interval.low, f"{what}_high": interval.high}
            if layer.estimate is not None:
                row |= {f"estimate_{form}": value for form, value in layer.estimate._asdict().items()}
            rows.append(row)
        return rows

    def __str__(self) -> str:
        """Layers, most sensitive first."""
        level = f"{100 * self.confidence:g} %"
        head = ["layer", "MACs", "cells"]
        unit, rise = (", points" if self.score.share else self.score.differs), ", nats" if self._nats else ""
        head += [f"loss{unit} [{level}]", f"rise{rise} [{level}]"] if self.chips else []
        estimated = self.layers[0].estimate is not None
        head += ["est. rise", "diagonal", "first"] if estimated else []
        lines = [head]
        for layer in self.ranked():
            share = "–" if math.isnan(layer.mac_share) else f"{layer.mac_share:.1%}"
            line = [layer.path, share, f"{layer.cells:,}"]
            if self.chips:
                line += [
                    _show(self.interval(layer.path, "loss"), 100, 2)
                    if self.score.share
                    else _show(self.interval(layer.path, "loss"), 1, 4),
                    _show(self.interval(layer.path, "rise"), 1, 4),
                ]
            if layer.estimate is not None:
                e = layer.estimate
                line += [f"{e.quadratic:.4f}", f"{e.diagonal:.4f}", f"{e.first:+.4f}"]
            lines.append(line)
        what = "only this layer on a chip" if self.mode == "alone" else "every layer on a chip but this one"
        title = f"{self.subject}, {show_time(self.age_s)} old: {what}"
        return "\n".join([title, *aligned(lines, right=True), *self._sums(estimated)])

    @property
    def _nats(self) -> bool:
        """Whether the loss is a cross-entropy."""
        return self.score.form == "perplexity" or self.score.name == "accuracy"

    def _show(self, mean: float) -> str:
        return self.score.show(self.score.worth(mean), 2)

    def _sums(self, estimated: bool) -> list[str]:
        if not self.chips:
            return [f"digital {self._show(self.digital.mean)}; nothing measured"]
        rise = float(np.mean([m.loss for m in self.full])) - self.digital.loss
        mean = float(np.mean([m.mean for m in self.full]))
        parts = sum(layer.by("rise") for layer in self.layers)
        lines = [
            f"digital {self._show(self.digital.mean)}, whole chips {self._show(mean)} (mean of {self.chips}, "
            f"{self.samples} samples); {'cross-entropy' if self._nats else 'loss'} rises by {rise:.4f}, "
            f"the sum over layers is {parts:.4f}"
        ]
        if estimated and len(self.layers) > 1:
            lines += [
                f"{form} estimate against measurement: {self.agreement(form)}" for form in ("quadratic", "diagonal")
            ]
        return lines


def _show(interval: Interval, factor: float, digits: int) -> str:
    text = f"{factor * interval.value:.{digits}f}"
    if math.isinf(interval.low):
        return f"{text} [unknown]"
    return f"{text} [{factor * interval.low:.{digits}f}, {factor * interval.high:.{digits}f}]"


def _told_apart(rises: np.ndarray, confidence: float) -> bool:
    """Whether rises (layers, chips) differ between layers by more than chance: an F test with the chips as blocks.

    F = chips · var(layers' means) / var(what is left after means of layers and chips), with (L - 1) and (L - 1)(C - 1)
    degrees of freedom.
    """
    layers, chips = rises.shape
    if layers < 2 or chips < 2:
        return False
    from scipy.special import fdtrc

    left = rises - rises.mean(1, keepdims=True) - rises.mean(0, keepdims=True) + rises.mean()
    free = (layers - 1) * (chips - 1)
    between, within = chips * float(rises.mean(1).var(ddof=1)), float((left**2).sum()) / free
    return between > 0 and (within == 0 or float(fdtrc(layers - 1, free, between / within)) < 1 - confidence)


def _spearman(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Correlation of the ranks; equal values share the mean of their ranks."""
    if len(a) < 3:
        return math.nan
    x, y = _ranks(np.asarray(a)), _ranks(np.asarray(b))
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / size if size else math.nan


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    return float((x * y).sum() / (x * x).sum()) if x.any() else math.nan

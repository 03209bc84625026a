"""The fewest bits of the converters that keep the score, for the network and by layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mho.arguments import check_mode, network, whole
from mho.calibration import calibrate
from mho.calibration.bit_errors import Converter, Errors, bit_errors, with_bits
from mho.convert import to_analog, to_digital
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.measure.evaluate import measure
from mho.measure.test_data import TestData
from mho.nn import AnalogMatrix
from mho.nn.layer import layer_paths
from mho.nn.matrix import matrices
from mho.progress import Progress, telling
from mho.statistics.intervals import check_confidence
from mho.statistics.paired_answers import most_lost
from mho.tasks import Named, Score
from mho.tasks.batches import batches_of
from mho.tasks.parts import few

Bits = dict[tuple[str, Converter], int]


@dataclass(frozen=True)
class BitsTried:
    """One choice of bits, measured.

    Attributes:
        dac, adc: Mean bits over the layers.
        mean: Mean score, as a worth (`mho.tasks.Score`): of an accuracy the share of right answers.
        lost: What is lost against converters of infinite resolution, on the same samples.
        at_most: One-sided upper bound of the loss.
        accepted: Whether the bound lies inside the budget.
        score: What was measured, and how it is printed.
    """

    dac: float
    adc: float
    mean: float
    lost: float
    at_most: float
    accepted: bool
    score: Score

    def __str__(self) -> str:
        return (
            f"{self.dac:4.3g} {self.adc:6.3g} {self.score.show(self.mean, 2):>9} {_amount(self.lost, self.score):>8} "
            f"{_amount(self.at_most, self.score):>8}  "
            f"{'inside' if self.accepted else 'not shown to be inside'}"
        )


@dataclass(frozen=True)
class SmallestBits:
    """What `smallest_bits` found.

    Attributes:
        dac, adc: Fewest bits for all layers alike; None where not even the most were accepted.
        layers: Fewest bits by layer, as `Hardware.layers` takes them: {"conv1": {"dac.bits": 5, "adc.bits": 6}, …};
            empty where none were looked for or accepted.
        reference: Score with converters of infinite resolution, as a worth.
        samples: Test samples.
        budget: What may be lost.
        confidence: Of both answers together.
        score: What was measured, and how it is printed.
        uniform: What was tried for all layers alike, in order.
        by_layer: What was tried by layer, in order.
    """

    dac: int | None
    adc: int | None
    layers: dict[str, dict[str, int]]
    reference: float
    samples: int
    budget: float
    confidence: float
    score: Score
    uniform: tuple[BitsTried, ...]
    by_layer: tuple[BitsTried, ...] = field(default=())

    def apply(self, net: nn.Module) -> nn.Module:
        """Give the converters of a converted network the bits by layer, or those for all layers; `net`, to be calibrated.

        Raises:
            WrongSetting: No bits were found, or a layer is missing in the network.
        """
        if self.dac is None and not self.layers:
            raise WrongSetting(
                "no number of bits was accepted", "raise 'highest' or the budget, or test on more samples"
            )
        for path, matrix in _matrices(net):
            if self.layers and path not in self.layers:
                raise WrongSetting(
                    "no bits were found for this layer", f"known are {', '.join(self.layers)}", path=path
                )
            found = self.layers.get(path, {"dac.bits": self.dac, "adc.bits": self.adc})
            matrix.hw = with_bits(matrix.hw, found["dac.bits"], found["adc.bits"])
        return net

    def __str__(self) -> str:
        reference = self.score.show(self.reference, 2)
        lines = [
            f"with ideal converters {reference} of {self.samples} test samples; budget {_amount(self.budget, self.score)}"
        ]
        for title, tried in (("all layers alike", self.uniform), ("by layer (mean bits)", self.by_layer)):
            if tried:
                lines += ["", f"{title:<22}  DAC    ADC {self.score.label:>9}     lost  at most"]
            lines += [f"{'':<22} {t}" for t in tried]
        level = (1 + self.confidence) / 2 if self.by_layer else self.confidence
        lines += [
            "",
            f"'at most' holds with {level:.1%} confidence (one-sided, paired answers), "
            f"the last choices inside with {self.confidence:.0%} together",
        ]
        if self.dac is None:
            lines.append("no number of bits was accepted: raise 'highest' or the budget, or test on more samples")
        else:
            lines.append(f"hw = hw.replace(dac__bits={self.dac}, adc__bits={self.adc})")
        if self.layers:
            lines.append("hw = hw.replace(layers={")
            lines += [f"    {path!r}: {bits}," for path, bits in self.layers.items()]
            lines.append("})")
        return "\n".join(lines)


def smallest_bits(
    model: nn.Module,
    hw: Hardware | str,
    calibration: Iterable[Any],
    test: Iterable[Any],
    *,
    budget: float | str = 0.005,
    confidence: float | str = 0.95,
    highest: int = 8,
    lowest: int = 2,
    per_layer: bool = True,
    task: Named | None = None,
    max_batches: int = 2,
    progress: Progress = None,
    **ranges: Any,
) -> SmallestBits:
    """The fewest bits of DACs and ADCs that keep the score of converters of infinite resolution, less a budget.

    The order in which bits are taken away follows from the calibration data alone: from `highest` on, one bit less for
    the converter (of all layers, or of one) where the squared error of the network's output rises least. In this order choices
    are measured on the test data, until the upper bound of the paired loss leaves the budget for the first time. An
    order fixed in advance makes the last accepted choice hold with the confidence of a single test, however many were
    made, provided that fewer bits never do better (Maurer, Hothorn, Lehmacher 1995: fixed sequence). Each of the two
    answers is tested at half of 1 - `confidence`, so that both hold together.

    Cells are ideal and not programmed; the hardware's noise of products counts, the same draws for every choice.

    Args:
        model: A digital network, or a converted one.
        hw: The hardware; the bits of its converters are not looked at.
        calibration: Batches for the ranges and for the order; labels are not looked at.
        test: Batches of (inputs, labels).
        budget: What may be lost: of an accuracy as a fraction, else in its unit. Of right and wrong, N samples show at best
            a loss below z²/(N + z²).
        confidence: Of both answers together.
        highest: Bits to start from.
        lowest: Fewest bits looked at.
        per_layer: Look for bits by layer, too.
        task: What is scored, see `mho.drift`.
        max_batches: Batches of `calibration` looked at.
        progress: True for a bar, or told of each choice that was measured (`mho.progress.Step`; its `result` is it).
        ranges: Options of `calibrate`; method "error" by default.

    Raises:
        WrongSetting: A value outside its range, or a network that already holds a chip.
        BadInput: No batch, or data that does not fit.

    Example:
        >>> found = smallest_bits(model, "pcm", training_batches, test_batches)
        >>> print(found)
    """
    network(model, "model")
    check_mode()
    confidence, max_batches = _check(confidence, lowest, highest), whole(max_batches, "max_batches")
    hw = Hardware.of(hw)
    model = to_digital(model) if matrices(model) else model
    data, batches = TestData.of(test, task=task), list(islice(batches_of(calibration, path="calibration"), max_batches))
    score = data.task.headline
    allowed = score.check_budget(budget)
    if not allowed > 0:
        raise WrongSetting(f"budget = {budget}", "give what may be lost, more than 0", path="budget")
    options = {"method": "error", **ranges}

    example = few(batches[0])

    def answers(dac: int | None, adc: int | None, bits: Bits | None = None) -> NDArray[Any]:
        net = to_analog(model, with_bits(hw, dac, adc), example=example)
        for path, matrix in _matrices(net):
            chosen = (dac, adc) if bits is None else (bits[path, "dac"], bits[path, "adc"])
            matrix.hw = with_bits(matrix.hw, *chosen)
        calibrate(net, batches, max_batches=max_batches, **options)
        return score.signed(measure(net, data, chip=-1, age_s=0.0, address=("bits",)).values)

    reference = answers(None, None)
    net = to_analog(model, with_bits(hw, highest, highest), example=example)
    errors = bit_errors(net, batches, range(lowest, highest + 1), at_output=True, max_batches=max_batches)
    level = (1 + confidence) / 2 if per_layer else confidence

    def walk(order: Iterator[Bits]) -> tuple[Bits | None, list[BitsTried]]:
        accepted, seen = None, []
        for bits in order:
            right = answers(highest, highest, bits)
            lost, at_most = most_lost(reference, right, level)
            means = [np.mean([b for (_, c), b in bits.items() if c == converter]) for converter in ("dac", "adc")]
            mean = float(right.mean())
            tried = BitsTried(float(means[0]), float(means[1]), mean, lost, at_most, at_most <= allowed, score)
            seen.append(tried)
            known = f"DAC {tried.dac:.3g} bits, ADC {tried.adc:.3g} bits: {score.show(tried.mean, 2)}"
            told(len(seen), known=known, result=partial(seen.__getitem__, len(seen) - 1))
            if not tried.accepted:
                break
            accepted = bits
        return accepted, seen

    with telling(progress, "bits", "choices") as told:
        alike, uniform = walk(_descent(errors, lowest, highest, together=True))
        layered, by_layer = walk(_descent(errors, lowest, highest, together=False)) if per_layer else (None, [])
    layers: dict[str, dict[str, int]] = {}
    for (path, converter), b in (layered or {}).items():
        layers.setdefault(path, {})[f"{converter}.bits"] = b
    first = {converter: b for (_, converter), b in (alike or {}).items()}
    return SmallestBits(
        first.get("dac"), first.get("adc"), layers, float(reference.mean()), len(reference), allowed, confidence, score,
        tuple(uniform), tuple(by_layer),
    )  # fmt: skip


def _descent(errors: Errors, lowest: int, highest: int, *, together: bool) -> Iterator[Bits]:
    """Choices with fewer and fewer bits, each time taken where the summed error rises least.

    Together: a bit of all DACs or of all ADCs. Otherwise bits of single converters; a choice follows after every half
    of the layers' number of bits.
    """
    bits: Bits = dict.fromkeys(errors, highest)
    yield dict(bits)
    groups = [[key for key in errors if key[1] == c] for c in ("dac", "adc")] if together else [[key] for key in errors]
    stride = 1 if together else max(1, len({path for path, _ in errors}) // 2)

    def rise(group: list[tuple[str, Converter]]) -> float:
        return sum(errors[key][bits[key] - 1] - errors[key][bits[key]] for key in group)

    taken = 0
    while able := [group for group in groups if bits[group[0]] > lowest]:
        for key in min(able, key=rise):
            bits[key] -= 1
        taken += 1
        if taken % stride == 0:
            yield dict(bits)


def _matrices(net: nn.Module) -> list[tuple[str, AnalogMatrix]]:
    """The matrices with the paths of their layers."""
    paths = layer_paths(net)
    return [(paths[m.path], m) for m in matrices(net)]


def _check(confidence: float | str, lowest: int, highest: int) -> float:
    lowest, highest = whole(lowest, "lowest"), whole(highest, "highest")
    if not 2 <= lowest <= highest <= 16:
        raise WrongSetting(f"bits from {lowest} to {highest}", "give 2 <= lowest <= highest <= 16", path="highest")
    return check_confidence(confidence)


def _amount(lost: float, score: Score) -> str:
    """A loss of a share in percent, else in the score's unit."""
    return f"{lost:.2%}" if score.share else f"{lost:.3g}{score.differs}"

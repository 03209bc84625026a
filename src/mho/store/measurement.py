"""`Measurement`: what one chip did at one age. Plain data."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.errors import BadResults, WrongSetting

DIGITAL = -1
"""The `chip` of the digital network's own measurement."""
_ACCURACY = "accuracy"


@dataclass(frozen=True, eq=False)
class Measurement:
    """What one chip, or the digital network, did with the test data at one age.

    A sample is what the task gives one value: an image, a token of a language model. A measurement of a task with too many
    classes to list (a vocabulary), or none, leaves `predicted` and `correct_by_class` empty; one with an answer that is
    none of the data's classes leaves `predicted` empty.

    Args:
        chip: Number of the chip; -1 is the digital network.
        age_s: Seconds after the end of programming.
        samples: Number of test samples N.
        values: The headline score of each sample, (N,), in the order of the data: booleans (right or wrong) or float32.
        loss: Mean over the samples of what training minimises, for classes the cross-entropy in nats.
        predicted: How often each class was predicted; sums to N.
        correct_by_class: Right answers among the samples of each class; sums to the number of right answers.
        chips: How many chips shared the samples: `chip` and those after it, each sample answered by one of them.
        score: Name of the headline score.
        scores: Means over the samples of the task's other scores.

    Raises:
        BadResults: The parts contradict one another.
    """

    chip: int
    age_s: float
    samples: int
    values: NDArray[Any]
    loss: float
    predicted: tuple[int, ...] = ()
    correct_by_class: tuple[int, ...] = ()
    chips: int = 1
    score: str = _ACCURACY
    scores: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = np.array(self.values)
        if values.dtype != np.bool_:
            values = values.astype(np.bool_ if self.score == _ACCURACY else np.float32)
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "predicted", tuple(map(int, self.predicted)))
        object.__setattr__(self, "correct_by_class", tuple(map(int, self.correct_by_class)))
        right = int(np.count_nonzero(values))
        if values.shape != (self.samples,) or self.samples < 1:
            self._contradiction(f"{self.samples} samples, but values have shape {values.shape}")
        if self.predicted and sum(self.predicted) != self.samples:
            self._contradiction(f"{self.samples} samples, but {sum(self.predicted)} predictions")
        if self.correct_by_class and sum(self.correct_by_class) != right:
            self._contradiction(f"{right} right answers, but {sum(self.correct_by_class)} counted by class")

    def _contradiction(self, found: str) -> None:
        raise BadResults(
            f"the measurement of chip {self.chip} at {self.age_s:g} s contradicts itself: {found}",
            "measure it again",
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measurement) and self.to_json() == other.to_json()

    @cached_property
    def mean(self) -> float:
        """Mean of `values`: for right and wrong the share of right ones."""
        if self.values.dtype == np.bool_:
            return int(np.count_nonzero(self.values)) / self.samples
        return float(self.values.mean(dtype=np.float64))

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each sample was right, (N,).

        Raises:
            WrongSetting: The headline score is not right or wrong.
        """
        if self.values.dtype != np.bool_:
            raise WrongSetting(f"'{self.score}' is not right or wrong", "read values", path="correct")
        return self.values

    @property
    def accuracy(self) -> float:
        """Share of right answers.

        Raises:
            WrongSetting: The headline score is something else.
        """
        if self.score.rpartition(".")[2] != _ACCURACY:
            raise WrongSetting(f"'{self.score}' was measured, not accuracy", "read mean and scores", path="accuracy")
        return self.mean

    def to_json(self) -> dict[str, Any]:
        """Plain values; bits are packed (first sample highest), float32 is little-endian, both in base64."""
        bits = self.values.dtype == np.bool_
        packed = np.packbits(self.values) if bits else self.values.astype("<f4")
        text = base64.b64encode(packed.tobytes()).decode("ascii")
        named = self.score != _ACCURACY
        return {
            "chip": self.chip,
            **({"chips": self.chips} if self.chips > 1 else {}),
            "age_s": float(self.age_s),
            "samples": self.samples,
            **({"score": self.score} if named else {}),
            ("bits" if bits else "values") if named else "correct": text,
            "loss": self.loss if math.isfinite(self.loss) else str(float(self.loss)),
            **({"scores": {name: _plain(mean) for name, mean in self.scores.items()}} if self.scores else {}),
            "predicted": list(self.predicted),
            "correct_by_class": list(self.correct_by_class),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Measurement:
        """The measurement that `to_json` wrote.

        Raises:
            BadResults: A key is missing, a value has the wrong type, or the parts contradict one another.
        """
        try:
            return cls(
                chip=int(data["chip"]),
                age_s=float(data["age_s"]),
                samples=int(data["samples"]),
                values=_values(data),
                loss=float(data["loss"]),
                predicted=tuple(data["predicted"]),
                correct_by_class=tuple(data["correct_by_class"]),
                chips=int(data.get("chips", 1)),
                score=str(data.get("score", _ACCURACY)),
                scores={name: float(mean) for name, mean in data.get("scores", {}).items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, BadResults):
                raise
            raise BadResults(f"not a measurement: {error!r}", "remove the run and measure it again") from error


def _values(data: dict[str, Any]) -> NDArray[Any]:
    samples = int(data["samples"])
    if "values" in data:
        return np.frombuffer(base64.b64decode(data["values"], validate=True), dtype="<f4")
    text = data["correct" if "correct" in data or "score" not in data else "bits"]
    packed = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    if packed.size != -(-samples // 8):
        raise ValueError(f"{packed.size} bytes of bits for {samples} samples")
    return np.unpackbits(packed, count=samples).astype(np.bool_)


def _plain(value: float) -> float | str:
    """JSON has no numbers that are not finite."""
    return value if math.isfinite(value) else str(float(value))

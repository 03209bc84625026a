"""What is recorded: one `Measurement` per chip and age, one `RunHeader` per run. Plain data."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mho.errors import BadResults, WrongSetting

DIGITAL = -1
"""The `chip` of the digital network's own measurement."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What one chip, or the digital network, did with the test data at one age.

    For a language model a sample is a token. A measurement of a task with too many classes to list (a
    vocabulary) leaves `predicted` and `correct_by_class` empty.

    Args:
        chip: Number of the chip; -1 is the digital network.
        age_s: Seconds after the end of programming.
        samples: Number of test samples N.
        correct: Booleans (N,), whether each sample was right, in the order of the data.
        loss: Mean cross-entropy over the samples, in nats.
        predicted: How often each class was predicted; sums to N.
        correct_by_class: Right answers among the samples of each class; sums to the number of right answers.
        chips: How many chips shared the samples: `chip` and those after it, each sample answered by one of them.

    Raises:
        BadResults: The parts contradict one another.
    """

    chip: int
    age_s: float
    samples: int
    correct: NDArray[np.bool_]
    loss: float
    predicted: tuple[int, ...] = ()
    correct_by_class: tuple[int, ...] = ()
    chips: int = 1

    def __post_init__(self) -> None:
        correct = np.array(self.correct, dtype=np.bool_)
        correct.flags.writeable = False
        object.__setattr__(self, "correct", correct)
        object.__setattr__(self, "predicted", tuple(int(n) for n in self.predicted))
        object.__setattr__(self, "correct_by_class", tuple(int(n) for n in self.correct_by_class))
        right = int(np.count_nonzero(correct))
        if correct.shape != (self.samples,) or self.samples < 1:
            self._contradiction(f"{self.samples} samples, but correct has shape {correct.shape}")
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
    def accuracy(self) -> float:
        """Share of right answers."""
        return int(np.count_nonzero(self.correct)) / self.samples

    def to_json(self) -> dict[str, Any]:
        """Plain values; the bits of `correct` are packed (first sample highest) and written in base64."""
        shared = {"chips": self.chips} if self.chips > 1 else {}
        return {
            "chip": self.chip,
            **shared,
            "age_s": float(self.age_s),
            "samples": self.samples,
            "correct": base64.b64encode(np.packbits(self.correct).tobytes()).decode("ascii"),
            "loss": self.loss if math.isfinite(self.loss) else str(float(self.loss)),
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
            samples = int(data["samples"])
            packed = np.frombuffer(base64.b64decode(data["correct"], validate=True), dtype=np.uint8)
            if packed.size != -(-samples // 8):
                raise ValueError(f"{packed.size} bytes of bits for {samples} samples")
            return cls(
                chip=int(data["chip"]),
                age_s=float(data["age_s"]),
                samples=samples,
                correct=np.unpackbits(packed, count=samples).astype(np.bool_),
                loss=float(data["loss"]),
                predicted=tuple(data["predicted"]),
                correct_by_class=tuple(data["correct_by_class"]),
                chips=int(data.get("chips", 1)),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, BadResults):
                raise
            raise BadResults(f"not a measurement: {error!r}", "remove the run and measure it again") from error


@dataclass(frozen=True)
class DataInfo:
    """The test data of a run.

    Args:
        name: Name of the data set.
        samples: Number of test samples.
        digest: Hash of inputs and labels.
        classes: Names of the classes, in the order of the labels; empty where they are too many to list.
        label_counts: Samples of each class.
    """

    name: str
    samples: int
    digest: str
    classes: tuple[str, ...] = ()
    label_counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(str(name) for name in self.classes))
        object.__setattr__(self, "label_counts", tuple(int(n) for n in self.label_counts))
        if len(self.classes) != len(self.label_counts):
            raise WrongSetting(
                f"{len(self.classes)} classes, but {len(self.label_counts)} label counts",
                "give one count per class",
                path="data.label_counts",
            )


@dataclass(frozen=True)
class RunHeader:
    """What a run measures, and everything that decides its numbers.

    Args:
        model: Name of the network.
        data: The test data.
        hardware: The description of the chip, as plain values.
        hardware_digest: Its hash.
        seed: Root of all random streams.
        times_s: Ages in seconds, strictly increasing.
        definitions: The meaning of every σ, one sentence each.
        confidence: Confidence level of the intervals, e.g. 0.95.
        target_half_width: Half-width of the interval at which the run stops, in percentage points; None:
            run `max_chips`.
        max_chips: Number of chips at which the run stops.
        placement: One dict per weight: path, weight, placed ("analog"/"digital"), reason, shape, macs,
            mac_share, arrays, utilisation.
        versions: Versions of the software.
        command: What was typed to start the run.
        model_digest: Hash of the weights.
        format: Version of this format.
        chips_per_pass: How many chips share a pass over the data (`mho.measure.shared`); a row is a pass.
        recalibrations: What each chip went through at each age before it was measured, in order, one record each.
        refresh_s: Seconds after which chips are programmed anew, again and again; None: never.

    Raises:
        WrongSetting: The ages do not increase, or the confidence does not lie between 0 and 1.
    """

    model: str
    data: DataInfo
    hardware: dict[str, Any]
    hardware_digest: str
    seed: int
    times_s: tuple[float, ...]
    definitions: tuple[str, ...] = ()
    confidence: float = 0.95
    target_half_width: float | None = None
    max_chips: int = 1
    placement: tuple[dict[str, Any], ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
    model_digest: str = ""
    format: int = 1
    chips_per_pass: int = 1
    recalibrations: tuple[str, ...] = ()
    refresh_s: float | None = None

    def __post_init__(self) -> None:
        times = tuple(float(t) for t in self.times_s)
        object.__setattr__(self, "times_s", times)
        object.__setattr__(self, "definitions", tuple(str(text) for text in self.definitions))
        object.__setattr__(self, "placement", tuple(dict(row) for row in self.placement))
        object.__setattr__(self, "recalibrations", tuple(str(text) for text in self.recalibrations))
        if not times or any(not math.isfinite(t) or t < 0 for t in times) or list(times) != sorted(set(times)):
            raise WrongSetting(f"ages {times} s", "give at least one age; ages increase and are >= 0", path="times_s")
        if not 0 < self.confidence < 1:
            raise WrongSetting(
                f"confidence {self.confidence}", "give a value between 0 and 1, as 0.95", path="confidence"
            )

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the numbers: two runs that agree in these can be continued as one."""
        return {key: value for key, value in self.to_json().items() if key not in _NOT_DECIDING}

    def digest(self) -> str:
        """Short hash (12 hexadecimal digits of SHA-256) of `deciding`."""
        text = json.dumps(self.deciding(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """Plain values: strings, numbers, lists, dicts."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=_plain))
        for key, usual in _USUAL.items():
            if plain[key] == usual:
                del plain[key]
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunHeader:
        """The header that `to_json` wrote.

        Raises:
            BadResults: A key is missing or unknown, or a value is impossible.
        """
        try:
            if data["format"] != 1:
                raise BadResults(f"format {data['format']} is not known to this version", "use a newer mho")
            return cls(**{**data, "data": DataInfo(**data["data"])})
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, BadResults):
                raise
            raise BadResults(f"not the header of a run: {error}", "remove the run and measure it again") from error


_USUAL = {"chips_per_pass": 1, "recalibrations": [], "refresh_s": None}
"""Not written where a run has what runs without them have always meant."""
_NOT_DECIDING = {"target_half_width", "max_chips", "confidence", "command", "versions", "placement", "definitions"}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)

"""`RunHeader`: what a run measures and what decides its numbers. Plain data."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from mho.errors import BadResults, WrongSetting
from mho.store.digest import digest_of_plain
from mho.store.files import readable
from mho.tasks.score import ACCURACY, Score


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
        object.__setattr__(self, "name", readable(self.name))
        object.__setattr__(self, "classes", tuple(readable(str(name)) for name in self.classes))
        object.__setattr__(self, "label_counts", tuple(map(int, self.label_counts)))
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
        model_digest: Hash of the weights and calibrated ranges.
        format: Version of this format.
        chips_per_pass: How many chips share a pass over the data (`mho.measure.shared`); a row is a pass.
        recalibrations: What each chip went through at each age before it was measured, in order, one record each.
        refresh_s: Seconds after which chips are programmed anew, again and again; None: never.
        constant: Mean headline score of the best constant answer to these samples; None where it is not known, or follows
            from the label counts.
        task: What was scored, as `mho.tasks.Task.record` has it; empty for `mho.tasks.classes.Classes`.

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
    task: dict[str, Any] = field(default_factory=dict)
    constant: float | None = None

    def __post_init__(self) -> None:
        times = tuple(map(float, self.times_s))
        object.__setattr__(self, "times_s", times)
        object.__setattr__(self, "model", readable(self.model))
        object.__setattr__(self, "command", readable(self.command))
        object.__setattr__(self, "definitions", tuple(map(str, self.definitions)))
        object.__setattr__(self, "placement", tuple(map(dict, self.placement)))
        object.__setattr__(self, "recalibrations", tuple(map(str, self.recalibrations)))
        if not times or times[0] < 0 or not all(map(math.isfinite, times)) or list(times) != sorted(set(times)):
            raise WrongSetting(f"ages {times} s", "give at least one age; ages increase and are >= 0", path="times_s")
        if not 0 < self.confidence < 1:
            raise WrongSetting(
                f"confidence {self.confidence}", "give a value between 0 and 1, as 0.95", path="confidence"
            )

    def deciding(self) -> dict[str, Any]:
        """The fields that decide the numbers: two runs that agree in these, but for the ages, can be continued as one."""
        plain = self.to_json()
        for key in _NOT_DECIDING:
            plain.pop(key, None)
        return plain

    def digest(self) -> str:
        """Short hash (12 hexadecimal digits of SHA-256) of `deciding`."""
        return digest_of_plain(self.deciding())

    @property
    def score(self) -> Score:
        """The headline score."""
        return Score(**self.task["headline"]) if self.task else ACCURACY

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


_USUAL = {"chips_per_pass": 1, "recalibrations": [], "refresh_s": None, "task": {}, "constant": None}
"""Not written where a run has what runs without them have always meant."""
_NOT_DECIDING = {
    "constant",
    "target_half_width",
    "max_chips",
    "confidence",
    "command",
    "versions",
    "placement",
    "definitions",
}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)

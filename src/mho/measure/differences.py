"""What differs in the settings of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mho.store.header import RunHeader
from mho.store.measurement import Measurement
from mho.units import show_time

_MINOR = {"hardware_digest", "max_chips", "target_half_width", "confidence", "sources"}
"""Keys that follow from others, or only say how far a run went."""
_SKIPPED = {"command", "placement", "definitions", "format", "data.classes", "data.label_counts"}


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same in all runs.

    Attributes:
        key: Its name; settings of the hardware as ``--set`` has them.
        values: Its value in each run, as text; a dash where a run has no such setting.
        minor: Whether it follows from others, or decides no number.
    """

    key: str
    values: tuple[str, ...]
    minor: bool = False


def differences(headers: Sequence[RunHeader], digitals: Sequence[Measurement]) -> list[Difference]:
    """The settings that differ, first those that decide numbers, in the order of the headers.

    One hash is stored of a network's weights and calibrated ranges. Where it differs although the digital networks, which
    use no ranges, have the very same answers and loss on the same data, the ranges are named alone.

    Args:
        headers: Of the runs.
        digitals: Their digital networks, in the same order.
    """
    same = len({(h.data.digest, m.loss, m.values.tobytes()) for h, m in zip(headers, digitals, strict=True)}) == 1
    hashed = (
        "calibrated ranges (hash; the digital networks are alike)" if same else "weights or calibrated ranges (hash)"
    )
    flat = [{hashed if key == "model_digest" else key: v for key, v in _flat(h).items()} for h in headers]
    found = []
    for key in dict.fromkeys(key for values in flat for key in values):
        values = tuple(_shown(key, one.get(key)) for one in flat)
        if len(set(values)) > 1:
            found.append(Difference(key, values, key in _MINOR or key.startswith("versions.")))
    return sorted(found, key=lambda d: d.minor)


def _flat(header: RunHeader) -> dict[str, Any]:
    plain = header.to_json()
    hardware = plain.pop("hardware")
    found: dict[str, Any] = {}
    _walk(plain, "", found)
    found["hardware"] = hardware.pop("name", None)
    _walk(hardware, "", found)
    return {key: value for key, value in found.items() if key not in _SKIPPED}


def _walk(value: Any, key: str, found: dict[str, Any]) -> None:
    if isinstance(value, dict) and value and key not in _SKIPPED:
        for name, part in value.items():
            _walk(part, f"{key}.{name}" if key else str(name), found)
    else:
        found[key] = value


def _shown(key: str, value: Any) -> str:
    if value is None or value in ([], {}, ""):
        return "–"
    if key == "times_s":
        return ", ".join(show_time(t) for t in value)
    if key == "refresh_s":
        return show_time(value)
    text = (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
    return text if len(text) <= 160 else f"{text[:110]} … {text[-46:]}"

"""`label`: the name of a hardware with every setting that differs from the preset of that name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mho.errors import MhoError

if TYPE_CHECKING:
    from mho.hardware.description import Hardware

NAMES = ("version", "name", "sources", "beyond")
"""Settings that change no number."""


def label(hw: Hardware) -> str:
    """``"pcm, adc.bits=4"``: the name, and what was changed in the preset that it names; else the name alone.

    Layers on other hardware are counted, not listed.
    """
    if hw.name not in type(hw).presets():
        return hw.name
    changed = differences(type(hw).preset(hw.name).as_dict(), hw.as_dict(), without=(*NAMES, "layers"))
    parts = [hw.name, *(f"{key}={_short(value)}" for key, value in changed)]
    if hw.layers:
        parts.append(f"{len(hw.layers)} layer{'s' * (len(hw.layers) > 1)} on other hardware")
    return ", ".join(parts)


def label_of(described: Mapping[str, Any]) -> str:
    """`label` of a description as plain values; the name alone where it is not one that this version can read."""
    from mho.hardware.description import Hardware

    try:
        return label(Hardware.parse(dict(described)))
    except MhoError:
        return str(described.get("name") or "")


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "", *, without: tuple[str, ...] = ()
) -> list[tuple[str, Any]]:
    """Dotted keys whose values differ, with the new ones; a part of another kind as a whole.

    Args:
        before: One description as plain values.
        after: Another.
        prefix: Of the keys.
        without: Keys of the first level that do not count.
    """
    found: list[tuple[str, Any]] = []
    for key, value in after.items():
        old = before.get(key)
        if old == value or (not prefix and key in without):
            continue
        same = isinstance(old, Mapping) and isinstance(value, Mapping) and old.get("kind") == value.get("kind")
        found += differences(old, value, f"{prefix}{key}.") if same else [(f"{prefix}{key}", value)]  # type: ignore[arg-type]
    return found


def _short(value: Any) -> str:
    """A value in a few letters: a part by its kind, a variation by what its σ means."""
    if isinstance(value, Mapping):
        if "relative_to" in value:
            return f"{value['sigma']:g} of {value['relative_to']} per {value['redraw']}"
        return str(value.get("kind") or dict(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_short, value))}]"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)

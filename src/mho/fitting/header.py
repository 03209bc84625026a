"""What the head of a column says: which quantity stands in it, and in which unit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mho.errors import MhoError
from mho.units import microsiemens, seconds

ROLES: dict[str, tuple[str, ...]] = {
    "target": ("target", "g_target", "target_g", "gt", "g_t", "target_conductance", "conductance_target", "setpoint",
               "programmed_to", "goal"),
    "conductance": ("conductance", "g", "g_read", "read_conductance", "conductance_read", "measured", "g_measured",
                    "measured_conductance", "conductance_measured", "value"),
    "time": ("time", "t", "age", "delay", "elapsed", "elapsed_time", "time_after_programming", "t_read", "read_time"),
    "cell": ("cell", "cell_id", "device", "device_id", "id", "cell_number", "device_number"),
    "read": ("read", "read_number", "read_id", "repeat", "repetition", "n_read", "read_index"),
    "temperature": ("temperature", "temp", "t_c", "temperature_c"),
    "row": ("row", "wl", "wordline"),
    "column": ("column", "col", "bl", "bitline"),
}  # fmt: skip
"""Names of columns, in small letters with underscores between words."""
_UNIT_OF = {"target": "conductance", "conductance": "conductance", "time": "time", "temperature": "temperature"}
_BRACKETS = re.compile(r"^(?P<name>.*?)\s*(?:\[(?P<a>[^\]]*)\]|\((?P<b>[^)]*)\)|/\s*(?P<c>[A-Za-zµμ°]+))\s*$")
_DEGREES = ("c", "°c", "degc", "deg_c", "celsius", "k", "kelvin")


@dataclass(frozen=True)
class Head:
    """The head of a column.

    Attributes:
        text: As it stands in the file.
        role: Key of `ROLES`; empty for a column that nothing is known of, ``wide`` for readings at one time.
        unit: As written, or none.
        time_s: Of a wide column, seconds.
    """

    text: str
    role: str
    unit: str | None = None
    time_s: float | None = None


def head(text: str) -> Head:
    """What a head says: ``G_target [uS]``, ``time (h)``, ``g_us``, ``cell``; of wide form ``20 s``, ``g(1 day) [uS]``."""
    match = _BRACKETS.match(text.strip())
    name, unit = text.strip(), None
    if match:
        name, unit = match["name"], (match["a"] or match["b"] or match["c"] or "").strip()
    plain = _plain(name)
    if match and (role := _role(plain)):
        if role in _UNIT_OF and unit and _is_unit(unit, _UNIT_OF[role]):
            return Head(text, role, unit)
        if role not in _UNIT_OF:
            return Head(text, role)
    if role := _role(_plain(text)):
        return Head(text, role)
    front, _, last = _plain(text).rpartition("_in_" if "_in_" in _plain(text) else "_")
    if front and (role := _role(front)) and role in _UNIT_OF and _is_unit(last, _UNIT_OF[role]):
        return Head(text, role, last)
    return _wide(text)


def _wide(text: str) -> Head:
    """A head that is a time: ``20 s``, ``t=20s``, ``g(20 s)``, ``G @ 1 h [nS]``."""
    unit, rest = None, text.strip()
    match = _BRACKETS.match(rest)
    if match and _is_unit((match["a"] or match["b"] or "").strip(), "conductance") and match["name"].strip():
        unit, rest = (match["a"] or match["b"]).strip(), match["name"].strip()
    rest = re.sub(r"^\s*(?:g|conductance|t|time)?\s*[@=_(:]\s*(?:t\s*=\s*)?", "", rest, flags=re.IGNORECASE).rstrip(
        " )"
    )
    if re.match(r"[-+.0-9]", rest) and re.search(r"[A-Za-zµμ]$", rest):
        try:
            return Head(text, "wide", unit, seconds(rest))
        except MhoError:
            pass
    return Head(text, "", unit)


def factor(unit: str, quantity: str) -> float:
    """How many µS, s or °C one such unit is.

    Raises:
        WrongSetting: It is no unit of that quantity.
    """
    if quantity == "conductance":
        tidy = unit.strip()
        return microsiemens(f"1 {tidy[:-1]}S" if tidy.lower().endswith("s") and len(tidy) < 3 else f"1 {tidy}")
    return seconds(f"1 {unit.strip()}") if quantity == "time" else 1.0


def _is_unit(text: str, quantity: str) -> bool:
    if quantity == "temperature":
        return text.strip().lower() in _DEGREES
    try:
        factor(text, quantity)
    except MhoError:
        return False
    return True


def _plain(text: str) -> str:
    return re.sub(r"[^0-9a-zµμ°]+", "_", text.strip().lower()).strip("_")


def _role(plain: str) -> str:
    return next((role for role, names in ROLES.items() if plain in names), "")

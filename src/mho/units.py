"""Times, shares and conductances from strings, and back.

Inside `mho` a time is a float in seconds and a conductance a float in microsiemens (µS); names carry the unit
(``t_s``, ``g_max_us``). A month has 30 days, a year 365.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from mho.errors import WrongSetting

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3,
    "s": 1.0, "sec": 1.0, "second": 1.0,
    "min": _MINUTE, "minute": _MINUTE,
    "h": _HOUR, "hour": _HOUR,
    "d": _DAY, "day": _DAY,
    "w": 7 * _DAY, "week": 7 * _DAY,
    "mo": 30 * _DAY, "month": 30 * _DAY,
    "y": 365 * _DAY, "yr": 365 * _DAY, "year": 365 * _DAY,
}  # fmt: skip
_MICROSIEMENS = {"ns": 1e-3, "us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1e3, "s": 1e6}
_EXAMPLE = {"time": "day"}
_SHOWN = (("year", 365 * _DAY), ("month", 30 * _DAY), ("day", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", 1.0))


def _split(text: str, what: str, units: dict[str, float], path: str | None = None) -> tuple[float, str]:
    match = re.fullmatch(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-zµμ]+)\s*", text)
    if not match:
        raise WrongSetting(
            f"'{text}' is not a {what}",
            f"write a number and a unit, one of {', '.join(units)}, as in '1 {_EXAMPLE.get(what, 'µS')}'",
            path=path,
        )
    try:
        return float(match[1]), match[2]
    except ValueError:
        raise WrongSetting(f"'{match[1]}' in '{text}' is not a number", "write it as in '1.5e3 s'", path=path) from None


def _plain(text: str) -> bool:
    """Whether a text is a number without a unit."""
    return re.fullmatch(r"\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*", text, re.ASCII) is not None


def _number(value: Any, problem: str, remedy: str, path: str | None) -> float:
    """A number of any library; no truth value, no text."""
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise WrongSetting(problem, remedy, path=path) from None


def seconds(time: str | float, path: str | None = None) -> float:
    """Seconds after the end of programming.

    Args:
        time: A number of seconds (a text of one, too), or a string such as ``"1 h"``, ``"1 day"``, ``"6 months"``, ``"1y"``.
        path: What to call it in messages.

    Raises:
        WrongSetting: Unknown unit, not a number, or a time before programming.
    """
    value = _seconds(time, path)
    if value < 0:
        raise WrongSetting(
            f"time {time!r} lies before programming",
            "ages count from the end of programming: give a time >= 0",
            path=path,
        )
    return value


def _seconds(time: str | float, path: str | None) -> float:
    if isinstance(time, str) and not _plain(time):
        value, unit = _split(time, "time", _SECONDS, path)
        factor = _SECONDS.get(unit, _SECONDS.get(unit.removesuffix("s"), 0.0))
        if not factor:
            raise WrongSetting(
                f"unknown unit of time '{unit}' in '{time}'", f"use one of {', '.join(_SECONDS)}", path=path
            )
        value *= factor
    else:
        remedy = "give a number of seconds, or a text such as '1 day'"
        value = _number(float(time) if isinstance(time, str) else time, f"{time!r} is not a time", remedy, path)
    if not math.isfinite(value):
        raise WrongSetting(f"time {time!r} is not finite", "give a finite time, as in '1 year'", path=path)
    return value


def ages(times: str | float | Iterable[str | float], path: str = "times") -> tuple[float, ...]:
    """Ages in seconds, increasing, each once.

    Args:
        times: One time or several as `seconds` takes them, in a sequence or in a text separated by commas: ``"1h,1d,1y"``.
        path: What to call them in messages.

    Raises:
        WrongSetting: No time, or one that `seconds` refuses.
    """
    if isinstance(times, str):
        many: list[Any] = [part for part in times.split(",") if part.strip()]
    elif isinstance(times, (Mapping, bytes)) or not isinstance(times, Iterable) or getattr(times, "ndim", 1) == 0:
        many = [times]
    else:
        many = list(times)
    if not many:
        raise WrongSetting("no age is asked for", f"give {path}, as in {path}=['1 h', '1 day']", path=path)
    return tuple(sorted({seconds(time, path) for time in many}))


def duration(time: str | float | None, path: str) -> float | None:
    """A time longer than nothing, in seconds, as `seconds` takes it; None is none.

    Raises:
        WrongSetting: It is no time, or not longer than 0 s.
    """
    if time is None:
        return None
    found = _seconds(time, path)
    if not found > 0:
        raise WrongSetting(
            f"{path} = {time!r}", "give a time longer than 0 s, as in '10 min', or leave it out", path=path
        )
    return found


def share(value: str | float, path: str) -> float:
    """A share as a number: ``share("1%", "budget") == share("0.01", "budget") == share(0.01, "budget") == 0.01``.

    Args:
        value: A number, or a text of one, with a percent sign or without.
        path: What to call it in messages.

    Raises:
        WrongSetting: It is none, or not finite.
    """
    number, factor = value, 1.0
    if isinstance(value, str):
        text = value.strip()
        factor = 100.0 if text.endswith("%") else 1.0
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            raise WrongSetting(f"{value!r} is not a share", "write it as 1% or 0.01", path=path) from None
    found = _number(number, f"{value!r} is not a share", "write it as 1% or 0.01", path) / factor
    if not math.isfinite(found):
        raise WrongSetting(f"the share {value!r} is not finite", "write it as 1% or 0.01", path=path)
    return found


def microsiemens(conductance: str | float) -> float:
    """Conductance in µS, from a number of µS or a string such as ``"25 µS"``, ``"25 uS"`` or ``"0.1 mS"``."""
    if not isinstance(conductance, str):
        return _number(conductance, f"{conductance!r} is not a conductance", "write it as in '25 µS'", None)
    value, unit = _split(conductance, "conductance", {"µS": 1.0, "nS": 1.0, "mS": 1.0, "S": 1.0})
    factor = _MICROSIEMENS.get(unit[:-1].lower() + "s") if unit.endswith("S") else None
    if factor is None:
        raise WrongSetting(
            f"unknown unit of conductance '{unit}' in '{conductance}'", "use one of nS, µS (or uS), mS, S"
        )
    return value * factor


def show_time(t_s: float) -> str:
    """The age as people write it: ``show_time(86400.0) == '1 day'``."""
    for name, unit in _SHOWN:
        if t_s >= unit * 0.9995:
            number = t_s / unit
            text = f"{number:.3g}"
            plural = "s" if len(name) > 2 and name != "min" and text != "1" else ""
            return f"{text} {name}{plural}"
    return f"{t_s:.3g} s"


_PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
    (1e-15, "f"),
)


def show_quantity(value: float, unit: str) -> str:
    """A physical quantity with the prefix that fits: ``show_quantity(1.5e-9, "J") == '1.5 nJ'``."""
    size, prefix = next((each for each in _PREFIXES if abs(value) >= each[0] * 0.9995), (1.0, ""))
    number = value / size
    text = f"{number:.3g}" if abs(number) < 999.5 else f"{number:,.0f}"
    return f"{text} {prefix}{unit}".rstrip()

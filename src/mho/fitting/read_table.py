"""`read_measurements`: a table in long or wide form, from a file or from columns in memory."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mho.errors import BadInput, MhoError, WrongSetting
from mho.fitting.header import Head, factor, head
from mho.fitting.measurements import Measurements, gathered
from mho.units import microsiemens, seconds

_FORMS = (
    "long: a line a reading with the columns cell, target [uS], time [s], conductance [uS]; "
    "wide: a line a cell with the columns cell, target [uS] and one for each time, as '20 s [uS]'"
)
_MISSING = {"", "nan", "na", "n/a", "none", "null", "-"}


def read_measurements(
    source: str | Path | Mapping[str, Sequence[Any]],
    *,
    conductance_unit: str | None = None,
    time_unit: str | None = None,
    temperature: float | None = None,
    skip_invalid: bool = False,
    after_s: float | None = None,
) -> Measurements:
    """Read measurements, in long form (a line a reading) or wide form (a line a cell, a column a time).

    Units stand in the heads of the columns (``g [uS]``, ``time (h)``, ``target_us``), with each value (``25 uS``), or are
    given as options. A table of columns (a dict, a data frame) is read like a file.

    Args:
        source: CSV file with commas, semicolons or tabs, lines after ``#`` being comments; or columns by name.
        conductance_unit: Of target and conductance, where their heads have none.
        time_unit: Of the time, where its head has none.
        temperature: Which readings are taken, °C, where there are several temperatures.
        skip_invalid: Leave out readings that are missing, negative or no numbers, instead of refusing them.
        after_s: Time between programming and the time 0 of the table, s; by default times count from programming.

    Raises:
        BadInput: The file cannot be read, or what stands in it cannot be fitted; the message says where.
        WrongSetting: An unknown unit.
    """
    path = str(source) if isinstance(source, (str, Path)) else "measurements"
    heads, rows = _from_file(Path(source)) if isinstance(source, (str, Path)) else _from_columns(source)
    table = _Table(path, [head(text) for text in heads], rows, skip_invalid)
    table.check(conductance_unit, time_unit)
    long = table.wide_as_long() if any(h.role == "wide" for h in table.heads) else table
    return long.measurements(conductance_unit, time_unit, temperature, after_s)


def _from_file(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read it ({error.strerror})", "give the path of a CSV file", path=str(path)) from None
    except UnicodeDecodeError:
        raise BadInput("is no text in UTF-8", "save it as CSV in UTF-8", path=str(path)) from None
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")]
    if len(lines) < 2:
        raise BadInput("has no readings", _FORMS, path=str(path))
    comma = max(",;\t", key=lines[0][1].count)
    parsed = [(n, [cell.strip() for cell in next(csv.reader([line], delimiter=comma))]) for n, line in lines]
    width = len(parsed[0][1])
    if odd := [(n, cells) for n, cells in parsed if len(cells) != width]:
        raise BadInput(
            f"line {odd[0][0]} has {len(odd[0][1])} fields, the head {width}", "give every line as many", path=str(path)
        )
    return parsed[0][1], parsed[1:]


def _from_columns(source: Any) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        columns = {str(name): np.asarray(source[name]).tolist() for name in source}
    except (TypeError, KeyError, ValueError):
        raise WrongSetting(
            f"measurements are a {type(source).__name__}", "give a CSV file, or columns by name", path="source"
        ) from None
    if len({len(c) for c in columns.values()}) != 1 or not all(len(c) for c in columns.values()):
        raise BadInput("the columns are empty or differ in length", _FORMS, path="measurements")
    texts = [["" if value is None else str(value).strip() for value in column] for column in columns.values()]
    return list(columns), [(n, list(cells)) for n, cells in enumerate(zip(*texts, strict=True), 1)]


class _Table:
    """Lines under heads whose meaning is known."""

    def __init__(self, path: str, heads: list[Head], rows: list[tuple[int, list[str]]], skip: bool) -> None:
        self.path, self.heads, self.rows, self.skip = path, heads, rows, skip
        self.skipped: dict[str, int] = {}

    def check(self, conductance_unit: str | None, time_unit: str | None) -> None:
        roles = [h.role for h in self.heads if h.role not in ("", "wide")]
        for role in roles:
            if roles.count(role) > 1:
                named = [h.text for h in self.heads if h.role == role]
                raise BadInput(
                    f"several columns are the {role}: {', '.join(named)}", "rename or drop all but one", path=self.path
                )
        wide = [h for h in self.heads if h.role == "wide"]
        needed = ["target"] if wide else ["target", "conductance", "time"]
        missing = [name for name in needed if name not in roles]
        if "cell" not in roles and not {"row", "column"} <= set(roles) and not wide:
            missing.append("cell")
        if missing:
            unknown = [h.text for h in self.heads if not h.role]
            beside = f"; not known: {', '.join(unknown)}" if unknown else ""
            raise BadInput(f"no column {' and no column '.join(missing)}{beside}", _FORMS, path=self.path)
        if wide and "conductance" in roles:
            raise BadInput("both a column of conductances and columns of times", _FORMS, path=self.path)
        for unit, quantity in ((conductance_unit, "conductance"), (time_unit, "time")):
            if unit is not None:
                factor(unit, quantity)

    def wide_as_long(self) -> _Table:
        """The same, a line a reading."""
        kept = [i for i, h in enumerate(self.heads) if h.role not in ("wide", "")]
        wide = [i for i, h in enumerate(self.heads) if h.role == "wide"]
        named = "cell" in [h.role for h in self.heads] or {"row", "column"} <= {h.role for h in self.heads}
        units = {self.heads[i].unit for i in wide}
        if len(units) > 1:
            raise BadInput(
                f"readings in several units: {', '.join(sorted(map(str, units)))}", "give all the same", path=self.path
            )
        heads = [self.heads[i] for i in kept] + [Head("time", "time", "s"), Head("reading", "conductance", units.pop())]
        rows = []
        if not named:
            heads.append(Head("cell", "cell"))
        for n, cells in self.rows:
            for i in wide:
                if cells[i].lower() in ("", "-"):
                    continue  # not read at that time
                rows.append(
                    (n, [*(cells[k] for k in kept), str(self.heads[i].time_s), cells[i]] + ([] if named else [str(n)]))
                )
        if not rows:
            raise BadInput("has no readings", _FORMS, path=self.path)
        return _Table(self.path, heads, rows, self.skip)

    def measurements(
        self, conductance_unit: str | None, time_unit: str | None, temperature: float | None, after_s: float | None
    ) -> Measurements:
        at = {h.role: i for i, h in enumerate(self.heads) if h.role}
        units = {"target": conductance_unit, "conductance": conductance_unit, "time": time_unit}
        numbers = {role: self._numbers(at[role], role, units[role]) for role in ("target", "conductance", "time")}
        good = np.all([np.isfinite(v) for v in numbers.values()], axis=0)
        notes = [f"{count} reading{'s' * (count > 1)} left out: {what}" for what, count in self.skipped.items()]
        degrees = None
        if "temperature" in at:
            good, degrees = self._at_temperature(at["temperature"], good, temperature)
        elif temperature is not None:
            raise WrongSetting("there is no column of temperatures", "leave temperature out", path="temperature")
        unused = [h.text for h in self.heads if not h.role]
        if unused:
            notes.append(f"columns that are not used: {', '.join(unused)}")
        time = numbers["time"] + (after_s or 0.0)
        good &= self._after_programming(time, good, after_s)
        if not good.any():
            raise BadInput("has no valid reading", _FORMS, path=self.path)
        names = ["cell"] if "cell" in at else ["row", "column"]
        cells = ["-".join(cells[at[name]] for name in names) for _, cells in self.rows]
        return gathered(
            [c for c, ok in zip(cells, good, strict=True) if ok], numbers["target"][good], time[good],
            numbers["conductance"][good], source=self.path, notes=tuple(notes), temperature_c=degrees, repeats="read" in at,
        )  # fmt: skip

    def _numbers(self, column: int, role: str, given: str | None) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Values in µS or s; NaN where a reading is left out."""
        title, quantity = self.heads[column], "time" if role == "time" else "conductance"
        unit = title.unit or given
        scale = None if unit is None else factor(unit, quantity)
        found, bare, own = np.full(len(self.rows), np.nan), 0, 0
        for i, (n, cells) in enumerate(self.rows):
            text = cells[column]
            if text.lower() in _MISSING:
                self._refuse(n, f"no {role} ('{text}')")
                continue
            try:
                found[i] = float(text) * (scale or 1.0)
                bare += 1
            except ValueError:
                try:
                    found[i] = seconds(text) if quantity == "time" else microsiemens(text)
                    own += 1
                except MhoError:
                    if re.match(r"[-+]?\d+,\d+\b(?!,)", text):
                        raise BadInput(
                            f"line {n}: {role} '{text}' has a decimal comma",
                            "write decimal points, as in 2.5",
                            path=self.path,
                        ) from None
                    self._refuse(n, f"{role} '{text}' is no number")
                    continue
            if not math.isfinite(found[i]):
                self._refuse(n, f"{role} '{text}' is not finite")
                found[i] = np.nan
            elif role == "conductance" and found[i] < 0:
                self._refuse(n, f"negative {role} '{text}'")
                found[i] = np.nan
        if bare and own:
            raise BadInput(
                f"the {role} has a unit in {own} lines and none in {bare}",
                "give all a unit, or the column",
                path=self.path,
            )
        if own and title.unit:
            raise BadInput(f"'{title.text}' has a unit in its head and with its values", "give it once", path=self.path)
        if bare and scale is None:
            example = "'time [s]', or time_unit='s' (--time-unit s)" if quantity == "time" else (
                f"'{title.text} [uS]', or conductance_unit='uS' (--conductance-unit uS)"
            )  # fmt: skip
            raise BadInput(
                f"the column '{title.text}' has no unit", f"write it in its head, as in {example}", path=self.path
            )
        return found

    def _refuse(self, line: int, what: str) -> None:
        if not self.skip:
            raise BadInput(
                f"line {line}: {what}",
                "leave the reading out, or all such: skip_invalid=True (--skip-invalid)",
                path=self.path,
            )
        kind = what.split(" '")[0].split(" (")[0]
        self.skipped[kind] = self.skipped.get(kind, 0) + 1

    def _after_programming(self, time: Any, good: Any, after_s: float | None) -> Any:
        wrong = np.flatnonzero(good & (time <= 0 if after_s is None else time < after_s))
        if wrong.size:
            line, value = self.rows[wrong[0]][0], time[wrong[0]] - (after_s or 0.0)
            where = "before programming" if value < 0 else "at programming itself"
            raise BadInput(
                f"line {line}: the time {value:g} s lies {where}",
                "give times after programming; if they count from the first reading, say how long after programming that was: "
                "first_read='20 s' (--first-read '20 s')" if value == 0 else "give times after programming",
                path=self.path,
            )  # fmt: skip
        return good

    def _at_temperature(self, column: int, good: Any, wanted: float | None) -> tuple[Any, float | None]:
        head_ = self.heads[column]
        shift = -273.15 if (head_.unit or "").lower() in ("k", "kelvin") else 0.0
        try:
            values = np.array([float(cells[column]) + shift if cells[column] else np.nan for _, cells in self.rows])
        except ValueError:
            raise BadInput(f"'{head_.text}' holds no numbers", "give temperatures in °C", path=self.path) from None
        there = np.unique(values[good & np.isfinite(values)])
        if wanted is None and len(there) > 1:
            raise BadInput(
                f"readings at {len(there)} temperatures: {', '.join(f'{t:g}' for t in there)} °C",
                f"fit each by itself: temperature={there[0]:g} (--temperature {there[0]:g}); no cell here knows a temperature",
                path=self.path,
            )  # fmt: skip
        if wanted is None:
            return good, float(there[0]) if len(there) else None
        if not len(there) or np.abs(there - wanted).min() > 0.01:
            raise BadInput(
                f"no reading at {wanted:g} °C", f"there are {', '.join(f'{t:g}' for t in there)} °C", path=self.path
            )
        return good & (np.abs(values - wanted) < 0.01), wanted

"""A directory that holds one run: `run.json` (header, digital network) and `rows.jsonl` (chips × ages).

The rows of a chip are written with one write, flush and fsync, so `kill -9` loses at most the chip in
progress. Each line ends in a CRC-32 of its content, so that damage is noticed and not averaged.

A run grows: the header says which ages are asked for now, and rows of other ages stay in the file for the day on which they
are asked for again.
"""

from __future__ import annotations

import json
import os
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mho.errors import BadInput, BadResults, MhoError
from mho.store.files import probe, replaced, write_text
from mho.store.header import RunHeader
from mho.store.measurement import Measurement

RUN, _ROWS = "run.json", "rows.jsonl"


class StoreWarning(RuntimeWarning):
    """Stored results were cut off, or continue under other software versions."""


class RunStore:
    """One run in one directory.

    Args:
        directory: Where the run lives; made by `create_or_resume`.

    Example:
        >>> store = RunStore("out")                           # doctest: +SKIP
        >>> done = store.create_or_resume(header, digital)    # doctest: +SKIP
        >>> store.append(7, measurements)                     # doctest: +SKIP
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self._header: RunHeader | None = None
        self._ages: dict[int, set[float]] = {}
        self._bytes = 0

    def check_writable(self) -> None:
        """Make the directory and try to write in it, before any work is done. Changes no stored results.

        Raises:
            BadInput: It cannot be written.
        """
        try:
            probe(self.directory)
            (self.directory / _ROWS).open("ab").close()
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> BadInput:
        return BadInput(
            f"cannot write results: {error.strerror or error}", "give another --out", path=str(self.directory)
        )

    def create_or_resume(self, header: RunHeader, digital: Measurement) -> list[Measurement]:
        """Begin a run, or continue the one that is here; what it has measured at the ages of the header.

        The header may ask for other ages, more chips, another confidence or a smaller interval than the stored one, and
        replaces it. A line that was cut off at the end of the file is removed, with a `StoreWarning`.

        Raises:
            BadInput: The directory cannot be written.
            BadResults: It holds another run, or the run is damaged.
        """
        run, rows = self.directory / RUN, self.directory / _ROWS
        self.check_writable()
        found = run.exists()
        if not found and rows.stat().st_size:
            raise BadResults(
                f"it has rows, but no {RUN} that says what they are",
                "remove it, or give another --out",
                path=str(rows),
            )
        if not found:
            try:
                _write_header(run, header, digital)
            except OSError as error:
                raise self._cannot_write(error) from error
        kept: list[Measurement] = []
        if found:
            kept = self._resume(header, digital)
        self._header, self._ages = header, {}
        for m in kept:
            self._ages.setdefault(m.chip, set()).add(m.age_s)
        self._bytes = rows.stat().st_size
        return [m for m in kept if m.age_s in header.times_s]

    def _resume(self, header: RunHeader, digital: Measurement) -> list[Measurement]:
        run, rows = self.directory / RUN, self.directory / _ROWS
        stored, stored_digital = _read_header(run)
        _refuse_another_run(stored, header, self.directory)
        _refuse_other_weights(stored_digital, digital, self.directory)
        parsed = _read_rows(rows, stored)
        try:
            if parsed.torn:
                _warn(rows, f"a line was cut off after {parsed.torn} bytes; it is removed")
                with rows.open("r+b") as file:
                    file.truncate(parsed.good_bytes)
                    os.fsync(file.fileno())
            if stored.versions != header.versions:
                warnings.warn(
                    f"{self.directory}: continued with {header.versions}, begun with {stored.versions}",
                    StoreWarning,
                    stacklevel=3,
                )
            _write_header(run, header, stored_digital)
        except OSError as error:
            raise self._cannot_write(error) from error
        return parsed.measurements

    def append(self, chip: int, measurements: Sequence[Measurement]) -> None:
        """Write the ages of one chip that are missing; when this returns they are on the disk.

        Raises:
            BadInput: The rows are not one chip at every age of the run that is not there yet, or the disk is full.
            BadResults: Another process writes into this run.
        """
        if self._header is None:
            raise BadInput("the run has not begun", "call create_or_resume first", path=str(self.directory))
        ages: tuple[float, ...] = ()
        block, others = b"", False
        for m in measurements:
            text = json.dumps(m.to_json(), separators=(",", ":"))
            block += f'{text[:-1]},"crc32":{zlib.crc32(text.encode())}}}\n'.encode()
            ages, others = (*ages, m.age_s), others or m.chip != chip
        there = self._ages.get(chip, set())
        if others or not ages or ages != tuple(age for age in self._header.times_s if age not in there):
            raise BadInput(
                f"chip {chip} at ages {ages} s does not continue a run over {self._header.times_s} s",
                "append each chip once, with every age that is missing, in order",
                path=str(self.directory),
            )
        rows = self.directory / _ROWS
        try:
            with rows.open("ab") as file:
                if file.tell() != self._bytes:
                    raise BadResults(
                        "another process has written into this run",
                        "run one at a time, or give another --out",
                        path=str(rows),
                    )
                file.write(block)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise BadInput(
                f"cannot write results: {error.strerror}",
                "make room and start the same command again",
                path=str(rows),
            ) from error
        self._bytes += len(block)
        self._ages.setdefault(chip, set()).update(ages)


def load(directory: str | Path) -> tuple[RunHeader, Measurement, list[Measurement]]:
    """Header, digital network and the measurements of all complete chips. Writes nothing.

    Raises:
        BadInput: There is no run here.
        BadResults: The run is damaged; the message names file and line.
    """
    if not isinstance(directory, (str, Path)):
        raise BadInput(f"{directory!r} is no path", f"give the directory that holds {RUN}", path="directory")
    run, rows = Path(directory) / RUN, Path(directory) / _ROWS
    if not run.is_file():
        raise BadInput("there is no run here", f"give the directory that holds {RUN}", path=str(directory))
    header, digital = _read_header(run)
    parsed = _read_rows(rows, header) if rows.exists() else _Rows([], 0, 0)
    at: dict[int, dict[float, Measurement]] = {}
    for m in parsed.measurements:
        at.setdefault(m.chip, {})[m.age_s] = m
    whole = {chip: some for chip, some in at.items() if set(header.times_s) <= set(some)}
    if torn := [chip for chip in at if chip not in whole] or parsed.torn:
        which = "a chip" if isinstance(torn, int) else f"chip{'s' * (len(torn) > 1)} {', '.join(map(str, torn))}"
        _warn(
            rows, f"{which} was cut off before all ages were measured; it is left out, and the same command measures it"
        )
    return header, digital, [some[age] for some in whole.values() for age in header.times_s]


@dataclass(frozen=True)
class _Rows:
    measurements: list[Measurement]
    good_bytes: int
    torn: int  # bytes of a line without an end


def _read_rows(path: Path, header: RunHeader) -> _Rows:
    content = path.read_bytes()
    *lines, torn = content.split(b"\n")
    kept: dict[tuple[int, float], Measurement] = {}
    for number, line in enumerate(lines, start=1):
        measurement = _parse(line, path, number)
        key = measurement.chip, measurement.age_s
        if key in kept:
            raise _damage(path, number, f"chip {measurement.chip} at {measurement.age_s:g} s is there twice")
        if measurement.samples != header.data.samples:
            raise _damage(path, number, f"{measurement.samples} samples in a run over {header.data.samples}")
        if measurement.score != header.score.name:
            raise _damage(path, number, f"a measurement of {measurement.score} in a run of {header.score.name}")
        kept[key] = measurement
    return _Rows(list(kept.values()), len(content) - len(torn), len(torn))


def _parse(line: bytes, path: Path, number: int) -> Measurement:
    try:
        data: dict[str, Any] = json.loads(line)
        crc = data.pop("crc32")
        if crc != zlib.crc32(json.dumps(data, separators=(",", ":")).encode()):
            raise ValueError("its checksum does not fit its content")
        return Measurement.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = error.problem if isinstance(error, MhoError) else str(error)
        raise _damage(path, number, found) from error


def _damage(path: Path, number: int, found: str) -> BadResults:
    return BadResults(
        f"line {number} is damaged: {found}",
        f"restore the file, or keep its first {number - 1} lines and resume; nothing was changed",
        path=f"{path}:{number}",
    )


def _warn(path: Path, found: str) -> None:
    warnings.warn(f"{path}: {found}; all that is whole is intact", StoreWarning, stacklevel=4)


def _read_header(path: Path) -> tuple[RunHeader, Measurement]:
    try:
        data = json.loads(path.read_bytes())
        return RunHeader.from_json(data["header"]), Measurement.from_json(data["digital"])
    except (ValueError, KeyError, TypeError) as error:
        found = error.problem if isinstance(error, MhoError) else f"it is damaged: {error}"
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadResults(
            found, "restore the file, or remove the run and measure again", path=f"{path}{line}"
        ) from error


def _write_header(path: Path, header: RunHeader, digital: Measurement) -> None:
    data = {"digest": header.digest(), "header": header.to_json(), "digital": digital.to_json()}
    with replaced(path) as part:
        write_text(part, json.dumps(data, indent=1, ensure_ascii=False))


def _refuse_another_run(stored: RunHeader, header: RunHeader, directory: Path) -> None:
    old, new = stored.deciding(), header.deciding()
    for ages in (old, new):
        del ages["times_s"]  # what is measured at one age does not depend on the others
    if old == new:
        return
    differing = "; ".join(_differences(old, new, ""))
    a, b = old.get("data", {}), new.get("data", {})
    if a.get("digest") != b.get("digest") and all(a.get(k) == b.get(k) for k in ("samples", "label_counts")):
        differing += (
            " (as many samples of each class, but other ones, in another order, or in batches of another size: give them "
            "unshuffled, in the batches of the first run)"
        )
    raise BadResults(
        f"it holds another run: {differing}",
        "give another --out, or remove this directory",
        path=str(directory),
    )


def _differences(old: Any, new: Any, key: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(k for k in new if k not in old)]
        return [
            text
            for k in keys
            if old.get(k) != new.get(k)
            for text in _differences(old.get(k), new.get(k), f"{key}.{k}" if key else str(k))
        ]
    return [f"{key} was {_short(old)} and is {_short(new)}"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _refuse_other_weights(stored: Measurement, digital: Measurement, directory: Path) -> None:
    """Weights may change under one name. Another thread count may change one answer in a thousand."""
    if stored.samples != digital.samples or stored.values.dtype != digital.values.dtype:
        changed = stored.samples
    elif stored.values.dtype == np.bool_:
        changed = int(np.count_nonzero(stored.values != digital.values))
    else:
        near = 0.01 * float(stored.values.std(dtype=np.float64))
        changed = int(np.count_nonzero(~np.isclose(stored.values, digital.values, rtol=1e-3, atol=near)))
    if changed > max(1, stored.samples // 1000):
        raise BadResults(
            f"the digital network now answers otherwise: "
            f"{stored.score} was {stored.mean:.4f} and is {digital.mean:.4f}",
            "its weights or the data have changed: give another --out, or remove this directory",
            path=str(directory),
        )

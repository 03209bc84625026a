"""A directory that holds one run: `run.json` (header, digital network) and `rows.jsonl` (chips × ages).

The rows of a chip are written with one write, flush and fsync, so `kill -9` loses at most the chip in
progress. Each line ends in a CRC-32 of its content, so that damage is noticed and not averaged.
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
from mho.store.files import probe, replaced
from mho.store.header import RunHeader
from mho.store.measurement import Measurement

_RUN, _ROWS = "run.json", "rows.jsonl"


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
        self._chips: set[int] = set()
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
        """Begin a run, or continue the one that is here; the measurements of its complete chips.

        The header may ask for more chips, another confidence or a smaller interval than the stored one, and
        replaces it. A chip that was cut off at the end of the file is removed, with a `StoreWarning`.

        Raises:
            BadInput: The directory cannot be written.
            BadResults: It holds another run, or the run is damaged.
        """
        run, rows = self.directory / _RUN, self.directory / _ROWS
        self.check_writable()
        found = run.exists()
        if not found and rows.stat().st_size:
            raise BadResults(
                f"it has rows, but no {_RUN} that says what they are",
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
        self._header, self._chips = header, {m.chip for m in kept}
        self._bytes = rows.stat().st_size
        return kept

    def _resume(self, header: RunHeader, digital: Measurement) -> list[Measurement]:
        run, rows = self.directory / _RUN, self.directory / _ROWS
        stored, stored_digital = _read_header(run)
        _refuse_another_run(stored, header, self.directory)
        _refuse_other_weights(stored_digital, digital, self.directory)
        parsed = _read_rows(rows, stored)
        try:
            if parsed.dropped:
                _warn(parsed, rows, "removed")
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
        """Write all ages of one chip; when this returns they are on the disk.

        Raises:
            BadInput: The rows are not one chip at every age of the run, the chip is there already, or the
                disk is full.
            BadResults: Another process writes into this run.
        """
        if self._header is None:
            raise BadInput("the run has not begun", "call create_or_resume first", path=str(self.directory))
        ages: tuple[float, ...] = ()
        block, others = b"", chip in self._chips
        for m in measurements:
            text = json.dumps(m.to_json(), separators=(",", ":"))
            block += f'{text[:-1]},"crc32":{zlib.crc32(text.encode())}}}\n'.encode()
            ages, others = (*ages, m.age_s), others or m.chip != chip
        if others or ages != self._header.times_s:
            raise BadInput(
                f"chip {chip} at ages {ages} s does not continue a run over {self._header.times_s} s",
                "append each chip once, with every age, in order",
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
        self._chips.add(chip)


def load(directory: str | Path) -> tuple[RunHeader, Measurement, list[Measurement]]:
    """Header, digital network and the measurements of all complete chips. Writes nothing.

    Raises:
        BadInput: There is no run here.
        BadResults: The run is damaged; the message names file and line.
    """
    run, rows = Path(directory) / _RUN, Path(directory) / _ROWS
    if not run.is_file():
        raise BadInput("there is no run here", f"give the directory that holds {_RUN}", path=str(directory))
    header, digital = _read_header(run)
    parsed = _read_rows(rows, header) if rows.exists() else _Rows([], 0, "")
    if parsed.dropped:
        _warn(parsed, rows, "left out")
    return header, digital, parsed.measurements


@dataclass(frozen=True)
class _Rows:
    measurements: list[Measurement]
    good_bytes: int
    dropped: str


def _read_rows(path: Path, header: RunHeader) -> _Rows:
    content = path.read_bytes()
    *lines, torn = content.split(b"\n")
    ages = header.times_s
    kept: list[Measurement] = []
    pending: list[Measurement] = []
    seen: set[int] = set()
    good = position = 0
    for number, line in enumerate(lines, start=1):
        measurement = _parse(line, path, number)
        chip, expected = (pending[0].chip if pending else measurement.chip), ages[len(pending)]
        if measurement.chip != chip or measurement.age_s != expected or chip in seen:
            raise _damage(
                path,
                number,
                f"chip {measurement.chip} at {measurement.age_s:g} s is not chip {chip} at {expected:g} s"
                if chip not in seen
                else f"chip {chip} is there twice",
            )
        if measurement.samples != header.data.samples:
            raise _damage(path, number, f"{measurement.samples} samples in a run over {header.data.samples}")
        if measurement.score != header.score.name:
            raise _damage(path, number, f"a measurement of {measurement.score} in a run of {header.score.name}")
        pending.append(measurement)
        position += len(line) + 1
        if len(pending) == len(ages):
            kept += pending
            seen.add(chip)
            pending, good = [], position
    dropped = ""
    if pending or torn:
        which = f"chip {pending[0].chip}" if pending else "a chip"
        dropped = f"{which} was cut off ({len(pending)} of {len(ages)} ages complete, {len(torn)} bytes of a line)"
    return _Rows(kept, good, dropped)


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


def _warn(rows: _Rows, path: Path, done: str) -> None:
    warnings.warn(f"{path}: {rows.dropped}; it is {done}, all chips before it are intact", StoreWarning, stacklevel=4)


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
        part.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")


def _refuse_another_run(stored: RunHeader, header: RunHeader, directory: Path) -> None:
    if stored.digest() == header.digest():
        return
    old, new = stored.deciding(), header.deciding()
    differing = "; ".join(_differences(old, new, ""))
    raise BadResults(
        f"it holds another run, {stored.digest()} and not {header.digest()}: {differing}",
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

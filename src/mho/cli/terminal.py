"""What the terminal gets: any text on any terminal, and what the library logs."""

from __future__ import annotations

import codecs
import io
import logging
import sys
import unicodedata
from typing import Any

from rich.console import Console as RichConsole

_SPELLED = {
    "×": "x", "·": "*", "±": "+-", "−": "-", "–": "-", "—": "-", "→": "->", "…": "...", "≤": "<=", "≥": ">=", "≈": "~",
    "√": "sqrt", "Δ": "delta ", "β": "beta", "γ": "gamma", "η": "eta", "σ": "sigma", "ν": "nu", "µ": "u", "μ": "u",
    "‘": "'", "’": "'", "“": '"', "”": '"', "•": "*", "━": "-", "─": "-", "│": "|", "∞": "inf", "█": "#",
}  # fmt: skip


class Console(RichConsole):
    """Prints what it is given: ``:one:`` in a name or message is no emoji."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)


def prepare() -> None:
    """Make standard output and error take every character, and show the log of `mho` on standard error, a line each."""
    codecs.register_error("mho.spelled", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="mho.spelled")
    log = logging.getLogger("mho")
    if not any(isinstance(handler, _Lines) for handler in log.handlers):
        log.addHandler(_Lines())
    log.setLevel(logging.INFO)


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    """Spell a character that a terminal's encoding lacks; bytes of a file name that are no text stay what they are."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _SPELLED.get(character, plain or "?"), error.start + 1


class _Lines(logging.Handler):
    """Prints to whatever standard error is at the time: a progress bar stays below the line."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)

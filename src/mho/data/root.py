"""Where data sets lie. The same folder holds the published weights, so `mho.models` finds it too."""

from __future__ import annotations

from pathlib import Path

from mho.data.known import KNOWN
from mho.models.root import VARIABLE, Missing, data_root, folder, user_folder
from mho.models.root import data_file as _file
from mho.models.root import missing as _missing

__all__ = ["VARIABLE", "Missing", "data_file", "data_root", "folder", "missing", "user_folder"]


def data_file(*parts: str, name: str) -> Path:
    """A file of the data set `name`, below `data_root`.

    Raises:
        Missing: It is not there; the message says how to get it.
    """
    return _file(*parts, name=name, by_hand=KNOWN[name].otherwise)


def missing(what: str, *, name: str) -> Missing:
    """The error for something of the data set `name` that is not there."""
    return _missing(what, name=name, by_hand=KNOWN[name].otherwise)

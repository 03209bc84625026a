"""The folder of data sets and trained weights: what `MHO_DATA` names, else a folder of the user."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mho.errors import BadInput

VARIABLE = "MHO_DATA"


class Missing(BadInput):
    """A data set, or a file of it, is not in the folder."""


def user_folder() -> Path:
    """Where a user's data lie when nothing else is said.

    ``$XDG_DATA_HOME/mho`` where that variable holds an absolute path; else ``~/.local/share/mho`` on Linux,
    ``~/Library/Application Support/mho`` on macOS, ``%LOCALAPPDATA%\\mho`` on Windows.
    """
    given = os.environ.get("XDG_DATA_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / "mho"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "mho"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "mho"
    return Path.home() / ".local" / "share" / "mho"


def folder() -> Path:
    """The folder that is meant, whether it is there or not."""
    value = os.environ.get(VARIABLE)
    return Path(value).expanduser() if value else user_folder()


def data_root() -> Path:
    """The folder that the environment variable `MHO_DATA` names; where it is not set, `user_folder`.

    Raises:
        BadInput: `MHO_DATA` names no folder.
    """
    place = folder()
    if os.environ.get(VARIABLE) and not place.is_dir():
        raise BadInput(
            f"{VARIABLE} names '{place}', which is no folder",
            f"set it to the folder with the data sets, or leave it unset: 'mho data fetch' then fills {user_folder()}",
        )
    return place


def data_file(*parts: str, name: str, by_hand: str = "") -> Path:
    """A file below `data_root`.

    Args:
        parts: Its path there.
        name: The data set or network that it belongs to, for messages.
        by_hand: What to do where it cannot be fetched.

    Raises:
        Missing: It is not there.
    """
    file = data_root().joinpath(*parts)
    if not file.is_file():
        raise missing("/".join(parts), name=name, by_hand=by_hand)
    return file


def missing(what: str, *, name: str, by_hand: str = "") -> Missing:
    """The error for something that is not in `data_root`.

    Args:
        what: The file, or what is looked for.
        name: The data set or network that it belongs to.
        by_hand: What to do where it cannot be fetched.
    """
    why = f"which {VARIABLE} names" if os.environ.get(VARIABLE) else f"where data lie while {VARIABLE} is not set"
    return Missing(
        f"'{what}' is missing from {folder()}, {why}",
        f"{by_hand or f'mho data fetch {name}'} (more of it: mho data list), or point {VARIABLE} at the folder that has it",
        path=name,
    )

"""Arrays from numpy's files, read without running code from them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mho.errors import BadInput


def read_numpy(file: Path, *keys: str) -> list[np.ndarray[Any, Any]]:
    """The array of a .npy file, or those of some keys of a .npz file.

    Raises:
        BadInput: The file is damaged, holds Python objects, or has no such keys.
    """
    try:
        with file.open("rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            return [stored[key] for key in keys] if keys else [np.asarray(stored)]
    except (OSError, ValueError, EOFError, KeyError, IndexError, zipfile.BadZipFile, zlib.error) as error:
        wanted = f" with {', '.join(map(repr, keys))}" if keys else ""
        raise BadInput(
            f"is no numpy file of plain arrays{wanted} ({error})", "replace it by a whole one", path=str(file)
        ) from error

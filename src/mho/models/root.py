"""The folder of data sets and trained weights, which `MHO_DATA` names."""

from __future__ import annotations

import os
from pathlib import Path

from mho.errors import BadInput

VARIABLE = "MHO_DATA"


def data_root() -> Path:
    """The folder that the environment variable `MHO_DATA` names.

    Raises:
        BadInput: It is not set, or names no folder.
    """
    value = os.environ.get(VARIABLE)
    if not value:
        raise BadInput(
            f"the environment variable {VARIABLE} is not set",
            f"set it to the folder with the data sets and trained weights: export {VARIABLE}=/path/to/data",
        )
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise BadInput(f"{VARIABLE} names '{value}', which is no folder", "set it to the folder with the data sets")
    return folder


def data_file(*parts: str) -> Path:
    """A file below `data_root`.

    Raises:
        BadInput: It is not there.
    """
    file = data_root().joinpath(*parts)
    if not file.is_file():
        raise BadInput(
            f"'{'/'.join(parts)}' is missing from the folder that {VARIABLE} names",
            f"add it, or point {VARIABLE} at a complete folder",
            path=str(file),
        )
    return file

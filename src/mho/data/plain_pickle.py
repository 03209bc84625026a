"""Pickles of plain values and arrays, read without running code from the file."""

from __future__ import annotations

import codecs
import io
import pickle
import warnings
from typing import Any

import numpy as np
from numpy._core import multiarray

from mho.errors import BadInput

# What pickles of numpy arrays name, under the module's old and new name; `_codecs.encode` writes bytes in protocol 2.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy._core.multiarray", "_reconstruct"): multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"names '{module}.{name}'") from None


def read_pickle(content: bytes, *, path: str) -> dict[str, Any]:
    """A dict of numbers, texts, lists and arrays, as Python 2 or 3 pickled it (protocols up to 4); its keys as text.

    Raises:
        BadInput: The file is damaged, holds something else, or names objects that would run code.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of how it wrote its types in 2009.
            found = _Plain(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # Damaged pickles raise whatever the damaged place leads to.
        raise BadInput(
            f"is no pickle of plain values and arrays ({error})",
            "fetch it again; code in such a file is never run",
            path=path,
        ) from error
    if not isinstance(found, dict):
        raise BadInput(f"holds a {type(found).__name__}, not a dict", "fetch it again", path=path)
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in found.items()}

"""Optional dependencies, asked for by name at the moment they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from mho.errors import MissingExtra


def require(module: str, *, extra: str, for_what: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: Module to import, for example ``"sklearn.datasets"``.
        extra: Name of the extra that brings it, for example ``"demo"``.
        for_what: What needs it, for the message.

    Raises:
        MissingExtra: When it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{for_what} needs '{module}', which is not installed", f"pip install 'mho[{extra}]'"
        ) from error

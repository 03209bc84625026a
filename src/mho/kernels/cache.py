"""Where compiled kernels are kept: files named by what they were made of and by what is in them.

A name is ``kernels-STAMP-COMPILER-CHECKSUM.so``. A file whose content has another checksum (cut off, overwritten) is never
loaded: to load it could kill the process. Files come by renaming, so that processes that compile at once do no harm.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

_log = logging.getLogger("mho")


def folder() -> Path:
    """``$XDG_CACHE_HOME/mho``, else ``~/.cache/mho``.

    Raises:
        OSError: The user has no home.
    """
    asked = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(asked) if asked else Path.home() / ".cache") / "mho"
    except RuntimeError as error:
        raise OSError(str(error)) from error


def kept(stamp: str, compiler: str | None) -> list[Path]:
    """The whole libraries of a stamp; damaged ones are removed.

    Args:
        stamp: From `build.stamp`.
        compiler: From `build.version`; None for any.
    """
    try:
        found = sorted(folder().glob(f"kernels-{stamp}-{compiler or '*'}-*.so"))
        return [path for path in found if _whole(path)]
    except OSError:
        return []


def keep(library: Path, stamp: str, compiler: str) -> Path:
    """Move a library from a folder in the cache to its name there.

    Returns:
        Its path.
    """
    return library.replace(folder() / f"kernels-{stamp}-{compiler}-{_checksum(library)}.so")


def _whole(path: Path) -> bool:
    try:
        if path.stem.endswith(_checksum(path)):
            return True
        path.unlink()
    except OSError:
        return False
    _log.warning("%s was damaged and has been removed", path)
    return False


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]

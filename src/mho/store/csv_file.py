"""`write_csv`: rows as a file that any program opens."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mho.errors import BadInput
from mho.store.files import readable, replaced


def write_csv(rows: Sequence[dict[str, Any]], path: str | Path) -> Path:
    """Write rows as CSV, UTF-8, with one header line; keys that a row lacks stay empty.

    Args:
        rows: One dict a line.
        path: The file, replaced as a whole.

    Raises:
        BadInput: No path, or a file that cannot be written.
    """
    if not isinstance(path, (str, Path)):
        raise BadInput(f"{path!r} is no path", "give that of a file", path="path")
    path = Path(path)
    try:
        with replaced(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)))
            writer.writeheader()
            writer.writerows({k: readable(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another path", path=str(path)) from error
    return path

"""`write_csv`: rows as a file that any program opens."""

from __future__ import annotations

import csv
import io
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
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
    writer.writeheader()
    writer.writerows(rows)
    try:
        with replaced(path) as part:
            part.write_bytes(readable(text.getvalue()).encode())  # bytes: lines end as CSV has them on every system
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", "give another path", path=str(path)) from error
    return path

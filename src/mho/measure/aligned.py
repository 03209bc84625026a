"""`aligned`: cells of text in columns."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """Lines of text whose columns stand below each other, two spaces apart.

    Args:
        lines: Cells, as many in each line.
        right: All columns but the first are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = [str.ljust, *[str.rjust if right else str.ljust] * (len(widths) - 1)]
    cells = ([pad(cell, width) for pad, cell, width in zip(sides, line, widths, strict=True)] for line in lines)
    return ["  ".join(padded).rstrip() for padded in cells]

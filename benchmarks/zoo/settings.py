"""What every architecture is measured on."""

from __future__ import annotations

HARDWARE, AGE = "pcm", "1 month"
LARGEST = 4_000_000
"""Parameters above which no chip is programmed: the rows are to be made within minutes."""

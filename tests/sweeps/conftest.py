"""The network of these tests is found by its name, as a user's own is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def base():
    """A sweep of milliseconds; a test adds factors."""
    return {
        "network": "tiny_sweep:net",
        "data": "tiny_sweep:data",
        "hardware": "pcm",
        "ages": "1 h, 1 year",
        "chips": 2,
    }

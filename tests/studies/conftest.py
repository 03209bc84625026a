"""Stored runs that nobody measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mho.store import DataInfo, Measurement, RunHeader, RunStore

AGES = (60.0, 3600.0, 86400.0, 2592000.0, 31536000.0)


def _store(folder: Path, lost: float, seed: int, chips: int = 8) -> None:
    """Chips at five ages that are right for 90 % of 200 samples, less `lost` at each age."""
    info = DataInfo("made up", 200, "0" * 12, ("a", "b"), (100, 100))
    header = RunHeader(
        model="m", data=info, hardware={"name": "h"}, hardware_digest="0" * 12, seed=0, times_s=AGES, max_chips=chips
    )
    generator = np.random.default_rng(seed)

    def rows(chip: int):
        for i, age in enumerate(AGES):
            correct = generator.random(200) < 0.9 - lost * (i + 1)
            yield Measurement(chip, age, 200, correct, 1.0)

    made = RunStore(folder)
    made.create_or_resume(header, Measurement(-1, 0.0, 200, np.ones(200, bool), 0.1))
    for chip in range(chips):
        made.append(chip, list(rows(chip)))


@pytest.fixture
def store():
    """Writes a run: folder, accuracy lost from age to age, seed."""
    return _store

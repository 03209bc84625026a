"""A disk that fills up while a sweep runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import tiny_sweep
import yaml
from test_engine import here

from mho.sweeps import SweepResult


def test_what_is_measured_stays_nothing_counts_as_failed_and_the_same_command_ends_the_sweep(commands, base, tmp_path):
    file, out = tmp_path / "sweep.yaml", tmp_path / "out"
    given = {**base, "ages": [f"{n} h" for n in range(1, 31)], "factors": {"hardware.adc.bits": [2, 3, 4, 5, 6, 8]}}
    file.write_text(yaml.safe_dump(given))
    path = str(Path(tiny_sweep.__file__).parent)
    how = {"env": {"PYTHONPATH": os.pathsep.join([path, *sys.path]), "PYTHONDONTWRITEBYTECODE": "1"}}
    command = ["sweep", file, "--out", out, "--no-report"]
    full = commands.run(*command, **how, file_limit=150_000)  # bytes: a stand-in for a disk
    assert full.returncode == 2 and "sweep.sqlite" in full.stderr and "make room" in full.stderr, full.stderr
    assert "Traceback" not in full.stderr
    counts = SweepResult(out).counts()
    assert counts["done"] and counts["open"] + counts["running"] and not counts["failed"], counts
    before = SweepResult(out).rows
    assert commands.run(*command, **how).returncode == 0
    result = SweepResult(out)
    assert result.counts() == {"open": 0, "running": 0, "done": 6, "failed": 0}
    assert all(row in result.rows for row in before) and result.rows == here(given, tmp_path / "roomy").rows

"""A study of the user's, found by its entry point, runs and draws through the command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mho import registry
from mho.cli.app import app


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The study, as an installed package."""
    site = tmp_path / "site"
    info = site / "own-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[mho.studies]\ncoarse = own_study:CoarseConverters\n")
    shutil.copy(Path(__file__).with_name("own_study.py"), site)
    monkeypatch.syspath_prepend(site)
    registry.plugged.cache_clear()
    yield
    registry.plugged.cache_clear()


def _mho(*words):
    done = CliRunner().invoke(app, ["study", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_study_of_ones_own(installed, tmp_path):
    out = tmp_path / "out"
    listed = _mho("list")
    assert "coarse" in listed and "drift" in listed and "How many bits" in listed
    _mho("run", "coarse", "--scale", "smoke", "--out", out)
    measured = {file: file.stat().st_mtime_ns for file in out.glob("bits-*/*")}
    assert {file.parent.name for file in measured} == {"bits-8", "bits-5", "bits-3"}
    _mho("run", "coarse", "--scale", "smoke", "--out", out)
    assert measured == {file: file.stat().st_mtime_ns for file in out.glob("bits-*/*")}
    summary, svg = (out / "summary.md").read_text(), (out / "figures" / "bits.svg").read_text()
    assert "**Holds**: after a day, 8 bits against 3 +" in summary and "Smoke scale" in summary
    assert all(f">{name} bits<" in svg for name in (8, 5, 3))
    assert (out / "table.md").read_text().count("\n") == 5
    shutil.rmtree(out / "figures")
    (out / "summary.md").unlink()
    _mho("draw", "coarse", "--out", out)
    assert (out / "summary.md").read_text() == summary and (out / "figures" / "bits.svg").read_text() == svg

"""docs/sweep.md does what it says."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import mho
from mho.cli.app import app
from mho.errors import WrongSetting
from mho.sweeps import Plan
from mho.sweeps.designs import DESIGNS
from mho.sweeps.plan import SECTIONS
from mho.sweeps.sections import Calibration, Pretraining, Training

PAGE = (Path(__file__).parents[2] / "docs" / "sweep.md").read_text(encoding="utf-8")


def test_the_example_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.yaml").write_text(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
    done = CliRunner().invoke(app, ["sweep", "sweep.yaml", "--out", "sweep", "--csv", "rows.csv"])
    assert done.exit_code == 0, done.output
    assert "6 points (grid)" in done.output and "6 of 6 trials are done" in done.output
    assert "1 training serves 6 trials" in done.output
    assert "After 1 year, " in done.output and done.output.rstrip().endswith("report: sweep/report.html")
    assert Path("sweep/report.html").stat().st_size > 100_000
    said = re.search(r"```python\n(found = .*?)```", PAGE, re.DOTALL)[1]
    exec(said, {"mho": mho, "result": mho.sweeps.SweepResult("sweep")})
    assert Path("report/effects.csv").read_text().startswith("effect,age_s,acts,p,p_holm")
    query = re.search(r'read_sql\("(.*?)", sqlite3.connect\("(.*?)"\)', PAGE)
    with sqlite3.connect(query[2]) as base:
        cursor = base.execute(query[1])
        columns, rows = [part[0] for part in cursor.description], cursor.fetchall()
    assert columns == ["trial", "point", "seed", "hardware.dac.bits", "hardware.noise.output", "chip", "age_s", "samples",
                       "score", "loss", "scores"]  # fmt: skip
    assert len(rows) == 6 * (1 + 3 * 3) == len(Path("rows.csv").read_text().splitlines()) - 1
    scores = {(row[3], row[4]): row[8] for row in rows if row[5] >= 0}
    assert min(scores[8, 0.01], scores[4, 0.01]) > 0.6 > scores[2, 0.3]


def test_only_a_look_runs_and_writes_nothing(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(yaml.safe_dump({**base, "factors": {"hardware.dac.bits": [2, 4]}}))
    done = CliRunner().invoke(app, ["sweep", "a.yaml", "--plan"])
    assert done.exit_code == 0 and "acts: answers of a programmed chip differ" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_a_broken_file_and_a_dead_factor_end_in_one_message(base, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("network: [")
    done = CliRunner().invoke(app, ["sweep", str(file), "--out", str(tmp_path / "out")])
    assert str(file) in str(done.exception) and "not valid YAML" in str(done.exception)
    with pytest.raises(WrongSetting, match=r"hardware.name: it has no effect"):
        mho.sweep({**base, "factors": {"hardware.name": ["a", "b"]}}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_page_names_every_key_section_and_design():
    keys = re.search(r"## The file\n(.*?)\n## ", PAGE, re.DOTALL)[1]
    assert set(re.findall(r"(?:`|kind: )([a-z_]+)[`:,]", keys)) >= {*Plan.model_fields, *DESIGNS.names()}
    assert all(section in PAGE for section in SECTIONS)
    ours = {*Training.model_fields} - {*Pretraining.model_fields}
    assert all(f"`{name}" in keys for name in (*ours, "data")) and "data" in Calibration.model_fields

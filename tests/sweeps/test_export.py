"""A sweep in other programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_engine import here
from typer.testing import CliRunner

from mho.cli.app import app
from mho.errors import BadInput, MissingExtra, WrongSetting
from mho.sweeps import SweepResult, export
from mho.sweeps.export import runs
from mho.sweeps.ledger import Job, Ledger

FACTORS = {"hardware.dac.bits": [3, 8], "network.bad": [0, 1]}


@pytest.fixture
def swept(base, tmp_path):
    """Four trials, of which two have failed."""
    return here({**base, "factors": FACTORS, "costs": ["cells"]}, tmp_path / "swept")


def test_a_run_has_the_trials_configuration_and_means_over_chips_by_age(swept):
    found = list(runs(swept))
    assert [run.config["hardware.dac.bits"] for run in found] == [3, 8] and found[0].key != found[1].key
    rows = [row for row in swept.rows if row["trial"] == 0 and row["chip"] >= 0 and row["age_s"] == 3600.0]
    age, numbers = found[0].ages[0]
    assert age == 3600.0 and numbers["score"] == sum(row["score"] for row in rows) / 2
    assert numbers["score.chip1"] == rows[1]["score"] and numbers["loss"] > 0
    assert found[0].once["cells"] == 304 and found[0].once["digital.score"] == swept.rows[0]["score"]
    assert found[0].config["seed"] == 0 and found[0].config["versions"].startswith("mho ")


def test_wandb_runs_lie_there_offline_and_are_written_once(swept, tmp_path):
    pytest.importorskip("wandb", reason="pip install 'mho[wandb]'")
    # In a process of its own: wandb leaves a service running with its parent.
    code = "import sys; from mho.cli.app import app; sys.argv = ['mho', 'export', sys.argv[1], '--to', 'wandb']; app()"
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "WANDB_MODE": "offline", "HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(swept.folder)]
    for many in (2, 0):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0 and f"{many} runs in" in done.stdout and "wandb sync" in done.stdout, done.stderr
        assert len(list((swept.folder / "wandb").glob("offline-run-*/run-*.wandb"))) == 2


def test_mlflow_runs_have_params_and_metrics_by_age_and_are_written_once(swept, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="pip install 'mho[mlflow]'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "2 runs in the experiment 'swept'" in export(swept.folder, "mlflow")
    assert "0 runs in" in export(swept.folder, "mlflow")
    client = mlflow.MlflowClient((swept.folder / "mlflow").absolute().as_uri())
    experiment = client.get_experiment_by_name("swept").experiment_id
    found = {run.data.params["hardware.dac.bits"]: run for run in client.search_runs([experiment])}
    assert set(found) == {"3", "8"} and found["3"].info.status == "FINISHED"
    history = client.get_metric_history(found["3"].info.run_id, "score")
    ages = next(runs(swept)).ages
    assert [(m.step, m.value) for m in history] == [(int(age), numbers["score"]) for age, numbers in ages]
    assert found["8"].data.metrics["cells"] == 304


def test_files_by_the_command(swept, tmp_path):
    done = CliRunner().invoke(app, ["export", str(swept.folder), "--to", "csv"])
    assert done.exit_code == 0 and "rows.csv" in done.output
    assert len(Path(swept.folder / "rows.csv").read_text().splitlines()) == 1 + len(swept.rows)
    other = export(swept.folder, "csv", tmp_path / "other.csv")
    assert Path(other).read_text() == Path(swept.folder / "rows.csv").read_text()


def test_what_cannot_be_exported_is_said(swept, tmp_path, monkeypatch):
    with pytest.raises(WrongSetting, match="unknown export 'excel'.*csv, parquet, wandb, mlflow"):
        export(swept.folder, "excel")
    with pytest.raises(BadInput, match="there is no sweep here"):
        export(tmp_path / "nothing", "csv")
    with pytest.raises(BadInput, match="cannot be written"):
        export(swept.folder, "csv", "/proc/rows.csv")
    plan = SweepResult(swept.folder).plan
    empty = Ledger.create(tmp_path / "empty", {"plan": plan.as_dict()}, [Job("0", "trial", {})], [], list(plan.factors))
    with pytest.raises(BadInput, match="no trial is measured yet"):
        export(empty.folder, "wandb")
    for package in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtra, match=rf"pip install 'mho\[{package}\]'"):
            export(swept.folder, package)

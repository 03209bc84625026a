from __future__ import annotations

import csv

import pytest
import torch
import typer
from typer.testing import CliRunner

from mho.cli.advise import advise
from mho.data import load
from mho.models import digits_cnn
from mho.training import train

app = typer.Typer()
app.command()(advise)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_file(train(digits_cnn(), load("digits?split=train"), epochs=6).state_dict(), path)
    return str(path)


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_it_measures_reports_and_resumes(weights, tmp_path):
    arguments = [
        "digits_cnn", "--weights", weights, "--data", "digits?n=300", "--calibration", "digits?split=train&n=200",
        "--effort", "quick", "--times", "1d,1y", "--chips", "3", "--budget", "2%", "--set", "cell.programming_noise=3.0",
        "--remedies", "norm recalibration; all layers in two pairs", "--out", tmp_path,
    ]  # fmt: skip
    first = call(*arguments)
    assert first.exit_code == 0, first.output
    assert (tmp_path / "advice.html").exists() and "norm recalibration" in first.stdout and "takes" in first.stdout
    kept = {path: path.read_bytes() for path in tmp_path.rglob("rows.jsonl")}
    again = call(*arguments)
    table = [line for line in first.stdout.splitlines() if " % [" in line]
    assert table and table == [line for line in again.stdout.splitlines() if " % [" in line]
    assert kept == {path: path.read_bytes() for path in tmp_path.rglob("rows.jsonl")}
    with (tmp_path / "advice.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"as it is", "norm recalibration", "all layers in two pairs"} <= {row["remedy"] for row in rows}


def test_the_remedies_are_listed():
    listed = call("x", "--data", "digits", "--remedies", "list").stdout
    assert "norm recalibration" in listed and "hardware-aware distillation" in listed


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["digits_cnn", "--data", "digits"], "random network"),
        (["digits_cnn", "--data", "digits", "--remedies", "magic"], "unknown remedy"),
        (["digits_cnn", "--data", "digits", "--effort", "none"], "effort"),
    ],
)
def test_mistakes_are_named(arguments, named, weights, tmp_path):
    trained = [] if named == "random network" else ["--weights", weights]
    done = call(*arguments, *trained, "--out", tmp_path)
    assert done.exit_code != 0 and named in str(done.exception)


RECOMMENDED = {
    "norm recalibration": "mho drift",
    "all layers in two pairs": "mho drift",
    "refresh": "mho drift",
    "ranges at the 0.9999 quantile": "python",
    "hardware-aware distillation": "python",
}


@pytest.mark.parametrize("remedy", RECOMMENDED)
def test_what_is_printed_runs_as_it_stands(remedy, weights, tmp_path, monkeypatch):
    """The snippet in another process, and the command beside it, measure what the advice says."""
    import shlex
    import subprocess
    import sys

    from mho.advice.given import Given
    from mho.advice.result import Advice
    from mho.cli.app import app as commands

    told = {}
    monkeypatch.setattr(Advice, "recommended", property(lambda self: told.setdefault("advice", self).tried[0]))
    given = Given(
        "digits_cnn", "digits?n=100", "pcm", weights=weights, calibration="digits?split=train&n=100",
        train="digits?split=train&n=200", changes=("cell.programming_noise=2.0",), times=("1d", "1y"),
    )  # fmt: skip
    done = call(
        given.model, "--weights", weights, "--data", given.data, "--calibration", given.calibration, "--train", given.train,
        "--effort", "quick", "--times", "1d,1y", "--chips", "2", "--budget", "0%", "--set", "cell.programming_noise=2.0",
        "--remedies", remedy, "--out", tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    snippet, command = (tmp_path / "apply.py").read_text(), told["advice"].shell(tmp_path)
    assert snippet.strip() in done.stdout and command in done.stdout and command.startswith(RECOMMENDED[remedy])
    page = (tmp_path / "advice.html").read_text()
    assert "From the shell" in page and "apply.py" in page
    short = snippet.replace("mho.drift(net, test, times", "mho.drift(net, test, times, chips=1")
    ran = subprocess.run([sys.executable, "-c", short], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr
    lines = [line for line in ran.stdout.splitlines() if line.startswith(("1 day", "1 year"))]
    assert len(lines) == 2
    if command.startswith("mho"):
        monkeypatch.chdir(tmp_path)
        words = shlex.split(command)[1:]
        drifted = CliRunner().invoke(commands, [*words, "--chips", "1"], catch_exceptions=False)
        assert drifted.exit_code == 0
        assert [line for line in drifted.stdout.splitlines() if line.startswith(("1 day", "1 year"))] == lines

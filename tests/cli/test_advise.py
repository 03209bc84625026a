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

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
    "norm recalibration": ("python", ["--train", "digits?split=train&n=200"]),
    "ranges at the 0.9999 quantile": (
        "python",
        ["--holdout", "30%", "--seed", "3", "--calibration", "digits?split=train&n=100"],
    ),
    "hardware-aware distillation": ("python", ["--train", "digits?split=train&n=200", "--calibration", "own:images"]),
    "all layers in two pairs": ("mho drift", ["--validation", "digits?split=train&n=100"]),
    "refresh": (
        "mho drift",
        ["--validation", "digits?split=train&n=100", "--calibration", "own:images", "--seed", "2"],
    ),
}
OWN = """
from pathlib import Path

from mho.data import load
from mho.models import digits_cnn as net

Path("network.safetensors").stat()


def images():
    return list(load("digits?split=train&n=600"))
"""


@pytest.mark.parametrize("remedy", RECOMMENDED)
def test_what_is_printed_measures_what_was_confirmed(
    commands, remedy, weights, tmp_path, tmp_path_factory, monkeypatch
):
    """``apply.py``, called from another folder, and the command beside it: the same samples, chips and scores."""
    import shlex
    import shutil
    import sys

    import numpy as np

    from mho.advice.result import Advice
    from mho.advice.trials import Trials
    from mho.cli.app import app
    from mho.measure import DriftResult

    told, (named, options) = {}, RECOMMENDED[remedy]
    monkeypatch.setattr(Advice, "recommended", property(lambda self: told.setdefault("advice", self).tried[0]))
    # Confirmed whether it won or not: few chips and samples leave that to chance.
    monkeypatch.setattr(Trials, "_finals", lambda self: [self._confirm(parts) for parts in self.pool if parts])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    shutil.copy(weights, "network.safetensors")
    (tmp_path / "own.py").write_text(OWN)
    done = call(
        "own:net", "--weights", "network.safetensors", "--data", "digits?n=300", *options, "--effort", "quick",
        "--times", "1d,1y", "--chips", "2", "--budget", "0%", "--set", "cell.programming_noise=4.0", "--remedies", remedy,
        "--out", "adv",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    advice, file = told["advice"], tmp_path / "adv" / "apply.py"
    snippet, command = file.read_text(), advice.shell("adv")
    assert snippet.strip() in done.stdout and command in done.stdout and command.startswith(named)
    assert ("train = load" in snippet) == (remedy == "hardware-aware distillation")
    page = (tmp_path / "adv" / "advice.html").read_text()
    assert "From the shell" in page and "apply.py" in page
    confirmed = advice.tried[0].measured
    assert advice.tried[0].status == "confirmed"

    def check(folder):
        again = DriftResult.load(folder)
        assert np.array_equal(again.scores, confirmed.scores) and again.ages_s == confirmed.ages_s
        assert again.header.data.digest == confirmed.header.data.digest and again.header.seed == confirmed.header.seed
        assert (folder / "report.html").exists()

    words = shlex.split(command) if named == "python" else ["python", str(file)]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    ran = commands.run(*words[2:], script=words[1], cwd=elsewhere)
    assert ran.returncode == 0, ran.stderr
    assert len([line for line in ran.stdout.splitlines() if line.startswith(("1 day", "1 year"))]) == 2
    assert not list(elsewhere.iterdir())
    check(tmp_path / "adv" / "applied")
    if named == "mho drift":
        drifted = CliRunner().invoke(app, shlex.split(command)[1:], catch_exceptions=False)
        assert drifted.exit_code == 0
        check(tmp_path / "applied")

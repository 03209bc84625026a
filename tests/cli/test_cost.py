from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mho.cli.cost import cost
from mho.errors import MhoError


def call(*arguments):
    app = typer.Typer()
    app.command()(cost)
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


def test_it_prints_the_table_and_writes_the_page(tmp_path):
    done = call("digits_cnn", "--example", "1x8x8", "--hardware", "isaac", "--set", "array.rows=64", "--out", tmp_path / "out",
                "--schedule", "pipelined", "--node", 22)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "isaac, array.rows=64" in done.output and "not counted:" in done.output and "cost.html" in done.output
    stored = json.loads((tmp_path / "out" / "cost.json").read_text())
    assert stored["technology"] == "isaac" and stored["node_nm"] == 22 and stored["schedule"] == "pipelined"
    text = (tmp_path / "out" / "cost.html").read_text()
    assert "digits_cnn" in text and "Where the energy goes" in text and "<svg" in text and "not counted" in text
    assert (tmp_path / "out" / "cost.csv").exists() and (tmp_path / "out" / "figures" / "energy.svg").exists()


def test_data_are_measured(tmp_path):
    file = tmp_path / "some.npz"
    np.savez(file, x=np.random.default_rng(0).random((40, 1, 8, 8), np.float32), y=np.arange(40) % 10)
    done = call("digits_cnn", "--data", file, "--technology", "generic", "--batches", 1)
    assert done.exit_code == 0 and "as measured on 40 inputs" in done.output


@pytest.mark.parametrize("arguments, problem", [
    ((), "what the network is given is unclear"), (("--example", "1x8x8", "--data", "digits"), "unclear"),
    (("--example", "8 by 8"), "is no shape"), (("--example", "1x8x8", "--technology", "tubes"), "unknown technology 'tubes'"),
    (("--example", "1x8x8", "--arrays", 0), "arrays = 0"), (("--example", "1x8x8", "--replication", "many"), "'many'"),
    (("--example", "1x8x8", "--node", 2), "technology node of 2"), (("--example", "4"), "does not run on the example"),
    (("--example", "99999999999x9999x9999"), "no memory holds"), (("--example", "1" + 30 * "0"), "no memory holds"),
])  # fmt: skip
def test_bad_input_is_refused_by_name(arguments, problem):
    done = call("digits_cnn", *arguments)
    assert isinstance(done.exception, MhoError) and problem in str(done.exception)

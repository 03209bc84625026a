"""`mho perturb`: its table, its rows, and what it says where there is nothing to average."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from mho.cli.perturb import perturb
from mho.errors import MhoError
from mho.models import digits_cnn


def call(*arguments):
    app = typer.Typer()
    app.command()(perturb)
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A random network, and data that it knows by heart; and labels that it gets wrong."""
    folder = tmp_path_factory.mktemp("perturb")
    torch.manual_seed(0)
    net = digits_cnn().eval()
    x = torch.randn(100, 1, 8, 8)
    with torch.no_grad():
        net[-1].bias.sub_(net(x).mean(dim=0))
        torch.save(net.state_dict(), folder / "net.pt")
        y = net(x).argmax(dim=1).numpy()
    np.savez(folder / "right.npz", x=x.numpy(), y=y)
    np.savez(folder / "wrong.npz", x=x.numpy(), y=(y + 1) % 10)
    return folder


def test_it_prints_every_size_and_writes_every_draw(given, tmp_path):
    done = call("digits_cnn", "--weights", given / "net.pt", "--data", given / "right.npz", "--etas", "0.05,3", "--draws", 3,
                "--reference", "max", "--out", tmp_path / "rows.csv", "--scope", "0.weight", "--scope", "*.bias")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "gaussian noise on 0.weight, *.bias, η as a share of the tensor's largest value" in done.output
    assert "above chance" in done.output and "A_avg" in done.output and "10 points are lost at η" in done.output
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["eta"] for row in rows] == ["0.0"] + 3 * ["0.05"] + 3 * ["3.0"]
    assert float(rows[0]["score"]) == 1 and float(rows[-1]["score"]) < 1


def test_a_network_at_chance_is_told_so_and_one_draw_has_no_interval(given):
    args = ("digits_cnn", "--weights", given / "net.pt", "--etas", "0.1", "--draws", 1)
    wrong = call(*args, "--data", given / "wrong.npz")
    assert wrong.exit_code == 0 and "no better than chance" in wrong.output and "above chance" not in wrong.output
    right = call(*args, "--data", given / "right.npz")
    assert "[unknown]" in right.output


def test_norms_recalibrated_under_each_draw_forget_the_noise_on_their_statistics(given, tmp_path):
    args = ("digits_cnn", "--weights", given / "net.pt", "--data", given / "right.npz", "--etas", "0.3", "--draws", 4,
            "--scope", "statistics", "--reference", "max", "--out", tmp_path / "rows.csv")  # fmt: skip

    def scores(*more):
        done = call(*args, *more)
        assert done.exit_code == 0, done.output
        with (tmp_path / "rows.csv").open(newline="") as file:
            return {row["score"] for row in [*csv.DictReader(file)][1:]}

    assert len(scores()) > 1 and len(scores("--recalibrate", given / "right.npz")) == 1


@pytest.mark.parametrize("arguments, problem", [
    (("--etas", "0.1,some"), "'some' is no size"), (("--etas", "-1"), "-1"), (("--etas", ""), "--etas"),
    (("--scope", "weight"), "one of weights"), (("--reference", "mean"), "mean"), (("--draws", 0), "draws"),
    (("--out", "/"), "--out"),
])  # fmt: skip
def test_bad_input_is_refused_by_name(given, arguments, problem):
    done = call("digits_cnn", "--weights", given / "net.pt", "--data", given / "right.npz", *arguments)
    assert isinstance(done.exception, MhoError) and problem in f"{done.exception} {done.exception.path}"


def test_sizes_go_with_the_reference(given):
    args = ("digits_cnn", "--weights", given / "net.pt", "--data", given / "right.npz", "--draws", 2)
    assert "over η = 0.01, 0.05, 0.1, 0.2, 0.3, 0.4;" in call(*args).output
    assert "over η = 0.00125, 0.00625, 0.0125, 0.025, 0.0375, 0.05;" in call(*args, "--reference", "range").output


def test_clamped_variances_give_numbers(given):
    args = ("digits_cnn", "--weights", given / "net.pt", "--data", given / "right.npz", "--etas", "3", "--draws", 3,
            "--scope", "*.running_var", "--reference", "max")  # fmt: skip
    assert "not finite" in call(*args).output and "not finite" not in call(*args, "--clamp").output


def test_a_narrow_terminal_loses_nothing(given, monkeypatch):
    args = ("digits_cnn", "--weights", given / "net.pt", "--data", given / "right.npz", "--etas", "0.125", "--draws", 2)
    app = typer.Typer()
    app.command()(perturb)
    lines = CliRunner().invoke(app, [str(a) for a in args], env={"COLUMNS": "40"}).output
    assert "0.125" in lines and "…" not in lines

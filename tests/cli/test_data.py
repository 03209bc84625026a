"""`mho data` where nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mho.cli.app import app
from mho.data.root import data_root, user_folder
from mho.errors import BadInput

run = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("MHO_DATA", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    return tmp_path


def test_where_is_one_line_that_a_script_can_use(home, monkeypatch):
    done = run.invoke(app, ["data", "where"])
    assert done.stdout == f"{home}/.local/share/mho\n" and "MHO_DATA is not set" in done.stderr
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "a b"))
    assert run.invoke(app, ["data", "where"]).stdout == f"{home}/a b/mho\n"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")  # The specification says to ignore it.
    assert user_folder() == home / ".local" / "share" / "mho"
    monkeypatch.setenv("MHO_DATA", "~/mine")
    done = run.invoke(app, ["data", "where"])
    assert done.stdout == f"{home}/mine\n" and "named by MHO_DATA; it is not there yet" in done.stderr


@pytest.mark.parametrize(
    ("platform", "folder"), [("darwin", "Library/Application Support/mho"), ("win32", "AppData/Local/mho")]
)
def test_other_systems_have_their_own_folders(home, monkeypatch, platform, folder):
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    assert user_folder() == home / folder


def test_the_list_names_address_licence_size_and_source():
    text = run.invoke(app, ["data", "list"]).stdout
    for part in (
        "cifar10  60,000 photographs", "163 MB", "https://www.cs.toronto.edu/~kriz/cifar.html", "licence: MIT",
        "torchvision, datasets/mnist.py", "fashion-mnist", "cifar10_resnet56", "BSD-2-Clause", "kws", "not fetched",
    ):  # fmt: skip
        assert part in text


def test_nothing_here_is_said_and_no_failure(home):
    done = run.invoke(app, ["data", "check"])
    assert done.exit_code == 0 and "mho data list" in done.stdout


def test_a_folder_that_is_not_there_is_named(home, monkeypatch):
    monkeypatch.setenv("MHO_DATA", str(home / "nowhere"))
    with pytest.raises(BadInput, match="nowhere', which is no folder -> .*mho data fetch"):
        data_root()
    monkeypatch.delenv("MHO_DATA")
    assert data_root() == Path(home) / ".local" / "share" / "mho"

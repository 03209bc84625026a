"""What the terminal gets where it knows ASCII only, and what it is told of the kernels."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mho
from mho.cli.terminal import Console
from mho.kernels.cpu_library import library

RUN = [sys.executable, "-c", "from mho.cli import main; main()"]
PLAIN = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "120"}


def call(*arguments, **environment):
    env = {**os.environ, **environment}
    return subprocess.run([*RUN, *arguments], env=env, capture_output=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], "demo"),
        (["drift", "--help"], "--hardware"),
        (["hardware", "list"], "512 x 512"),
        (["hardware", "show", "pcm", "--keys"], "drift exponent"),
        (["hardware", "check", "mine.yaml"], "describes 'mine σ'"),  # click writes UTF-8 where it is told ASCII
        (["info"], "kernels"),
        (["study", "list"], "drift"),
        (["advise", "x", "--data", "digits", "--remedies", "list"], "norm recalibration"),
    ],
)
def test_a_terminal_of_ascii_gets_every_answer(arguments, shown, tmp_path, monkeypatch):
    library()
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("preset: pcm\nname: mine σ\n", encoding="utf-8")
    done = call(*arguments, **PLAIN)
    assert done.returncode == 0 and not done.stderr, done.stderr.decode()
    assert shown in done.stdout.decode()
    assert done.stdout.isascii() or arguments[1] in ("show", "check")


def test_so_does_a_terminal_of_another_encoding(monkeypatch, tmp_path):
    text = call("hardware", "list", PYTHONIOENCODING="cp1252").stdout.decode("cp1252")
    assert "512 × 512" in text
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("preset: pcm\nname: é 中 σ\n", encoding="utf-8")
    assert "'é ? sigma'" in call("hardware", "check", "mine.yaml", PYTHONIOENCODING="latin-1").stdout.decode("latin-1")


def test_mistakes_are_spelled_too():
    done = call("hardware", "show", "ñ→", **PLAIN)
    assert done.returncode == 2 and b"way out" in done.stderr and b"Traceback" not in done.stderr


def test_which_version_it_is():
    assert call("--version").stdout.decode().split() == ["mho", mho.__version__]


@pytest.mark.skipif(library() is None, reason="no C++ compiler here")
def test_compiling_is_shown_once_and_info_says_from_where(tmp_path):
    first, second = (call("info", XDG_CACHE_HOME=str(tmp_path)) for _ in range(2))
    lines = first.stderr.decode().splitlines()
    assert (
        len(lines) == 2 and lines[0].startswith("compiling kernels once") and re.search(r"done in [\d.]+ s", lines[1])
    )
    assert not second.stderr
    for done in (first, second):
        (made,) = tmp_path.glob("mho/*.so")
        assert str(made) in re.sub(r"\s+", "", done.stdout.decode())


def test_info_says_why_the_plain_kernels_run(tmp_path):
    done = call("info", XDG_CACHE_HOME=str(tmp_path), CXX="/nowhere/c++", COLUMNS="200")
    reason = "CXX='/nowhere/c++' names no program"
    assert reason in done.stdout.decode() and "reference (plain torch)" in done.stdout.decode()
    assert len(done.stderr.decode().splitlines()) == 1 and reason in done.stderr.decode()


def test_names_are_no_emoji(capsys):
    Console().print("own:one: returned nothing", markup=False)
    assert capsys.readouterr().out == "own:one: returned nothing\n"

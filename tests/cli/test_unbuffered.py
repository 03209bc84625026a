"""Commands as a container runs them: nothing is buffered, and nobody looks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mho.kernels.cpu_library import library

RUN = [sys.executable, "-c", "from mho.cli import main; main()"]
COMMANDS = {
    "--help": "drift", "info": "kernels", "hardware list": "hwa-standard", "hardware show pcm": "g_max_us",
    "drift --help": "--hardware",
}  # fmt: skip


@pytest.mark.parametrize("arguments", COMMANDS)
def test_commands_answer_when_nothing_is_buffered(arguments):
    library()  # the first on a machine to ask for it says that it compiles
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "COLUMNS": "200", "TERM": "dumb"}
    done = subprocess.run([*RUN, *arguments.split()], env=env, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert COMMANDS[arguments] in done.stdout.decode() and not done.stderr

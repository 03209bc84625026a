"""`mho` as it is typed, without the seconds in which a fresh interpreter imports torch: a process that has them forks for each.

What a command does is its own: process, arguments, environment, folder, standard streams, signals, exit status. What is
settled when an interpreter starts (encodings, buffering) is settled for all commands of one `Commands`, by its environment.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import runpy
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTED = (
    "mho.advice", "mho.cli.app", "mho.convert", "mho.data.digits", "mho.measure", "mho.reports", "mho.sweeps.worker",
    "mho.training", "sklearn.datasets",
)  # fmt: skip
"""What commands import when they are called."""
_NUMBER = 12  # bytes of a number that is passed on


class Command:
    """A command that runs.

    Attributes:
        stdout: What it has printed, once it has ended; likewise `stderr`.
        pid: Of its process.
        returncode: None while it runs; of one that a signal ended, that signal's number less than zero.
    """

    def __init__(self, words, link, said):
        self.words, self._link, self._said, self.returncode = words, link, said, None
        self.stdout = self.stderr = ""
        self.pid = int(link.recv(_NUMBER))

    def poll(self):
        """Its exit status, if it has ended."""
        try:
            return self.wait(0.001)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout=300.0):
        """Its exit status, for which it has so many seconds."""
        if self.returncode is None:
            self._link.settimeout(timeout)
            try:
                self.returncode = os.waitstatus_to_exitcode(int(self._link.recv(_NUMBER)))
            except TimeoutError:
                raise subprocess.TimeoutExpired(self.words, timeout) from None
            self._link.close()
            self.stdout, self.stderr = (_read(file) for file in self._said)
        return self.returncode

    def send_signal(self, number):
        """Send it a signal."""
        os.kill(self.pid, number)


def _read(file):
    with file:
        file.seek(0)
        return file.read().decode()


class Commands:
    """Starts commands.

    Args:
        environment: Of the interpreter, besides the present one.
    """

    def __init__(self, **environment):
        self._channel, its = socket.socketpair()
        self._environment = environment
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(its.fileno())], pass_fds=[its.fileno()],
            env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        its.close()

    def start(self, *words, cwd=None, env=None, stdout=None, script=None, file_limit=None):
        """Start ``mho WORDS``.

        Args:
            words: Arguments.
            cwd: Folder.
            env: Added to the environment; modules are found along its PYTHONPATH, too.
            stdout: A descriptor for what it prints.
            script: Run as ``python SCRIPT WORDS`` instead.
            file_limit: Bytes that a file may have.
        """
        (link, its), said = socket.socketpair(), [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        told = {
            "words": [str(word) for word in words], "folder": str(cwd or Path.cwd()),
            "environment": {**os.environ, **self._environment, **(env or {})},
            "script": script and str(script), "file_limit": file_limit,
        }  # fmt: skip
        streams = [said[0].fileno() if stdout is None else stdout, said[1].fileno(), its.fileno()]
        socket.send_fds(self._channel, [json.dumps(told).encode() + b"\n"], streams)
        its.close()
        return Command(["mho", *told["words"]], link, said)

    def run(self, *words, **options):
        """``mho WORDS`` to its end."""
        command = self.start(*words, **options)
        command.wait()
        return command

    def close(self):
        """End the process that forks."""
        self._channel.close()
        self.process.wait()


def _asked(channel):
    """What a command is to be, and its descriptors; ends this process where nobody will ask any more."""
    text, streams, *_ = socket.recv_fds(channel, 1 << 16, 3)
    while text and not text.endswith(b"\n"):
        text += channel.recv(1 << 16)
    if not text:
        os._exit(0)
    return json.loads(text), streams


def _fork(channel):
    """A process for each command that is asked for; returns in that process."""
    while True:
        told, streams = _asked(channel)
        if os.fork():  # a process between waits for the command, so that this one need not
            for stream in streams:
                os.close(stream)
            continue
        out, errors, link = streams
        channel.close()
        if command := os.fork():
            os.write(link, b"%*d" % (_NUMBER, command))
            os.write(link, b"%*d" % (_NUMBER, os.waitpid(command, 0)[1]))
            os._exit(0)
        os.dup2(out, 1)
        os.dup2(errors, 2)
        for stream in streams:
            os.close(stream)
        return told


def _as_started(word):
    """A word as an interpreter of this locale is handed it."""
    return os.fsdecode(word.encode("utf-8", "surrogateescape"))


def _anew(stream, number):
    """A standard stream on what its descriptor is now: the one that was imported with may think that it can seek."""
    return open(number, "w", encoding=stream.encoding, errors=stream.errors, buffering=1, closefd=False)


def _main():
    for name in IMPORTED:
        importlib.import_module(name)
    told = _fork(socket.socket(fileno=int(sys.argv[1])))
    sys.stdout, sys.stderr = (_anew(stream, number) for number, stream in enumerate((sys.stdout, sys.stderr), 1))
    os.environ.clear()
    os.environ.update({name: _as_started(value) for name, value in told["environment"].items()})
    os.chdir(told["folder"].encode())
    if told["file_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (told["file_limit"],) * 2)
    sys.argv = [_as_started(word) for word in (told["script"] or "mho", *told["words"])]
    sys.path[:1] = ["", *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    if told["script"]:
        sys.path[0] = str(Path(sys.argv[0]).parent)
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        importlib.import_module("mho.cli").main()


if __name__ == "__main__":
    _main()

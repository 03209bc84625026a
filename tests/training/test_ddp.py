from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = str(Path(__file__).parent / "resumable.py")
_spec = importlib.util.spec_from_file_location("resumable", SCRIPT)
resumable = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(resumable)


def _run(to, *arguments):
    """What each of two processes ends with, and the exit status; they share no pipe."""
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        SCRIPT,
        "--to",
        str(to),
    ]
    with to.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--set", "devices=2", "--set", "batch=16", *arguments], stdout=log, stderr=log, env=environment,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(timeout=240)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
    return [torch.load(file, weights_only=True) for file in sorted(to.glob("*.pt"))], status


def test_two_processes_are_one_with_twice_the_batch(tmp_path):
    """203 samples: the last step is a smaller one, of which the first process gets one sample more."""
    line = resumable.run(None, kind="digital")
    ends, status = _run(tmp_path / "two", "--kind", "digital", "--out", str(tmp_path / "run"))
    assert status == 0 and len(ends) == 2, (tmp_path / "two.log").read_text()[:4000]
    for end in ends:
        torch.testing.assert_close(dict(resumable.run.net.state_dict()), dict(end["net"]), rtol=1e-5, atol=1e-6)
        assert " 21 all epochs done" in line and " 21 all epochs done" in end["line"]
    assert ends[0]["line"] == ends[1]["line"]
    # Threads of the group that outlive it now and then abort the interpreter as it ends.
    assert not [name for end in ends for name in end["threads"] if "gloo" in name]
    stored = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state"]
    assert stored["step"] == 21 and str([row["loss"] for row in stored["history"]]) in ends[0]["line"]


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on_to_the_same_weights(tmp_path):
    """With batch norms, whose running statistics each process takes from its own samples."""
    whole, status = _run(tmp_path / "whole", "--out", str(tmp_path / "a"))
    assert status == 0 and whole[0]["line"] == whole[1]["line"], (tmp_path / "whole.log").read_text()[:4000]
    killed, status = _run(tmp_path / "killed", "--out", str(tmp_path / "b"), "--die-at", "10")
    assert status != 0 and not killed
    assert torch.load(tmp_path / "b" / "last.ckpt", weights_only=True)["state"]["step"] in (8, 9)
    ends, status = _run(tmp_path / "ends", "--out", str(tmp_path / "b"))
    assert [end["line"] for end in ends] == [end["line"] for end in whole], (tmp_path / "ends.log").read_text()[:4000]

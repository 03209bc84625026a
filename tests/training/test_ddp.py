from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("pytorch_lightning")
SCRIPT = str(Path(__file__).parent / "resumable.py")
_spec = importlib.util.spec_from_file_location("resumable", SCRIPT)
resumable = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(resumable)


def _run(*arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--kind", "digital", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**environment, "MASTER_PORT": str(port)}, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=240)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
    assert process.returncode == 0, err[-2000:]
    return out


def test_two_processes_are_one_with_twice_the_batch(tmp_path):
    """203 samples: the last step is a smaller one, of which the first process gets one sample more."""
    resumable.run(None, kind="digital")
    out = _run(
        "--set", "batch=16", "--set", "devices=2", "--save-to", str(tmp_path / "two.pt"), "--out", str(tmp_path / "run")
    )
    one, two = resumable.run.net.state_dict(), torch.load(tmp_path / "two.pt", weights_only=True)
    torch.testing.assert_close(dict(one), dict(two), rtol=1e-5, atol=1e-6)
    lines = out.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1] and " 21 all epochs done" in lines[0]
    stored = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert stored["state"]["step"] == 21 and str([row["loss"] for row in stored["state"]["history"]]) in lines[0]

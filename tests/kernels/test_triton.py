"""The Triton kernels, in a process where their interpreter is chosen before torch's compiler loads triton."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

CASES = Path(__file__).parent / "triton_in_interpreter.py"


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("triton") is None, reason="triton is not installed (pip install 'mho[gpu]'): its kernels do not run"
)
def test_the_triton_kernels_are_the_reference():
    env = {**os.environ, "TRITON_INTERPRET": "0" if torch.cuda.is_available() else "1"}
    options = ["-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(CASES), *options], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "[100%]" in done.stdout

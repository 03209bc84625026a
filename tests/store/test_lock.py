from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, BadResults
from mho.store.lock import alone, check_free

HOLD = "import sys, time; from mho.store.lock import alone\nwith alone(sys.argv[1]): print('held', flush=True); time.sleep(600)"
BATCHES = [(torch.ones(4, 3), torch.tensor([0, 1, 0, 1]))]


def _held(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_one_writer_a_folder_and_a_killed_one_holds_nothing(tmp_path):
    torch.manual_seed(0)
    model, out = nn.Linear(3, 2), tmp_path / "out"
    net, seen = mho.calibrate(mho.to_analog(model, "pcm"), BATCHES), []
    calls = [
        lambda: mho.drift(net, BATCHES, "1 h", chips=2, out=out, progress=seen.append),
        lambda: mho.advise(model, "pcm", BATCHES, out=out, progress=seen.append),
        lambda: mho.fit(model, BATCHES, out=out, progress=seen.append),
    ]
    process = _held(out)
    try:
        for call in calls:
            with pytest.raises(BadResults, match=r"another process.*is writing into this folder -> wait until it ends"):
                call()
        assert not seen, "refused before any work"
        assert [path.name for path in out.iterdir()] == [".lock"]
    finally:
        process.kill()
        process.communicate()
    assert len(calls[0]().measurements) == 2
    assert seen and calls[0]().measurements[0].loss > 0, "and this process lets go of it"


def test_a_call_within_a_call(tmp_path):
    with alone(tmp_path), pytest.raises(BadResults, match="another call in this one"), alone(tmp_path):
        pass
    assert check_free(tmp_path) == tmp_path and check_free(None) is None and check_free(tmp_path / "new") is not None
    with pytest.raises(KeyError), alone(tmp_path):
        raise KeyError
    with alone(tmp_path), alone(None):
        assert not (tmp_path / "new").exists()


def test_where_it_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot write"), alone(tmp_path / "file" / "run"):
        pass


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    import errno

    import filelock

    def acquire(self):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(filelock.BaseFileLock, "acquire", acquire)
    with alone(tmp_path):
        (tmp_path / "rows").touch()
    assert check_free(tmp_path) == tmp_path

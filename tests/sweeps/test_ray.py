"""Sweeps on a real Ray cluster on this machine; on none, what is said."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny_sweep
import yaml
from test_engine import here

from mho.errors import MissingExtra, WrongSetting
from mho.sweeps import SweepResult, sweep
from mho.sweeps.ledger import Ledger

FACTORS = {"training.lr": [0.05, 0.1], "hardware.dac.bits": [3, 8]}
COMMAND = [sys.executable, "-c", "from mho.cli import main; main()", "sweep"]
TOLD = {"data": "tiny_sweep:data?n=90", "epochs": 2, "batch": 30, "lr": 0.1}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of a head with two cores, in a process group of its own that is ended as a whole."""
    pytest.importorskip("ray", reason="pip install 'mho[ray]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_DISABLE_IMPORT_WARNING": "1"}
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--head", "--block",
               f"--port={port}", "--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000",
               "--disable-usage-stats", f"--temp-dir={tmp_path_factory.mktemp('ray', numbered=True)}"]  # fmt: skip
    log = tmp_path_factory.mktemp("log") / "ray.txt"
    with log.open("w") as file:
        head = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while "Ray runtime started" not in log.read_text():
            assert head.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        try:
            head.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait()


def ran(given, folder, address, *more):
    """What the command says of a sweep on the cluster, in a process of its own."""
    folder.mkdir()
    file = folder / "sweep.yaml"
    file.write_text(yaml.safe_dump(given, sort_keys=False))
    path = os.pathsep.join([str(Path(tiny_sweep.__file__).parent), *sys.path])
    command = [*COMMAND, str(file), "--out", str(folder / "out"), "--engine", "ray", "--address", address, *more]
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=400, check=False
    )


@pytest.mark.cluster
def test_results_are_those_of_local_workers_to_the_digit(cluster, base, tmp_path):
    given = {**base, "network": "tiny_sweep:random", "pretraining": TOLD, "training": TOLD, "factors": FACTORS}
    done = ran({**given, "costs": ["cells"]}, tmp_path / "ray", cluster, "--workers", "2")
    assert done.returncode == 0 and "4 of 4 trials are done" in done.stdout, done.stdout + done.stderr
    result, straight = SweepResult(tmp_path / "ray" / "out"), here({**given, "costs": ["cells"]}, tmp_path / "here")
    assert result.rows == straight.rows and len(result.rows) == 4 * 5
    owners = Ledger(result.folder).rows("SELECT DISTINCT owner FROM jobs")
    assert len(owners) == 1 and not any((result.folder / "owners").iterdir())  # the process that writes, for all nodes
    assert "5 trainings serve 4 trials" in done.stdout  # a pretraining, and a training for each lr and hardware
    names = [sorted(p.name for p in (folder / "pieces").iterdir()) for folder in (result.folder, straight.folder)]
    assert names[0] == names[1]


@pytest.mark.cluster
def test_a_trial_that_dies_or_takes_too_long_is_recorded_and_the_sweep_goes_on(cluster, base, tmp_path):
    given = {**base, "factors": {"network.bad": [0, 1, 4, 2, 3]}}
    done = ran(given, tmp_path / "ray", cluster, "--time-limit", "25s")
    assert done.returncode == 0, done.stdout + done.stderr
    result = SweepResult(tmp_path / "ray" / "out")
    errors = {trial["factors"]["network.bad"]: trial["error"] for trial in result.trials}
    assert errors[0] is None and errors[4] is None and errors[1] == "RuntimeError: planted: this trial dies"
    assert "its process is gone" in errors[2] and errors[3] == "not done within 25 s, the limit"


@pytest.mark.cluster
def test_points_are_chosen_as_they_are_by_a_local_worker(cluster, base, tmp_path):
    pytest.importorskip("optuna", reason="pip install 'mho[sweep]'")
    given = {
        **base,
        "factors": {"hardware.adc.bits": [2, 3, 4, 5, 6, 8], "hardware.noise.output": {"log": [0.01, 0.5]}},
    }
    given["design"] = {"kind": "bayesian", "trials": 5, "start": 3}
    done = ran(given, tmp_path / "ray", cluster)
    assert done.returncode == 0, done.stdout + done.stderr
    assert SweepResult(tmp_path / "ray" / "out").rows == here(given, tmp_path / "here").rows


@pytest.mark.cluster
def test_more_workers_than_cores_and_no_cluster_are_told(cluster, base, tmp_path):
    given = {**base, "factors": {"hardware.dac.bits": [3, 8]}}
    done = ran(given, tmp_path / "many", cluster, "--workers", "5")
    assert done.returncode == 2 and "5 workers on a cluster of 2 cores" in done.stderr
    for number, address in enumerate(("127.0.0.1:1", "nowhere")):
        done = ran(given, tmp_path / str(number), address)
        assert done.returncode == 2 and "there is no Ray cluster" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"engine": "slurm"}, "unknown engine 'slurm'.*local, ray"), ({"address": "host:1"}, "an address is Ray's"),
        ({"engine": "ray", "memory_limit": "4 GB"}, "Ray watches over memory itself"),
        ({"engine": "ray", "pruning": {}}, "pruning is not done on Ray"),
    ],
)  # fmt: skip
def test_what_an_engine_cannot_do_is_refused_before_any_work(base, tmp_path, more, told):
    given = {**base, "training": TOLD, "factors": {"training.lr": [0.1, 0.2]}}
    given |= {key: more.pop(key) for key in ("pruning",) if key in more}
    with pytest.raises(WrongSetting, match=told):
        sweep(given, tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()


def test_without_ray_the_extra_is_named(base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mho\[ray\]'"):
        sweep({**base, "factors": {"hardware.dac.bits": [3, 8]}}, tmp_path / "out", engine="ray")

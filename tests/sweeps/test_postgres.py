"""Ledgers in a real PostgreSQL server, which these tests start; without one, what is said."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import tiny_sweep
import yaml
from test_engine import HERE, here

from mho.errors import BadInput, BadResults, MissingExtra, WrongSetting
from mho.sweeps import SweepResult, preview, sweep
from mho.sweeps.engine import Worker
from mho.sweeps.front import front
from mho.sweeps.ledger import Job, Ledger
from mho.sweeps.postgres import Address
from mho.sweeps.run import _begin
from mho.sweeps.worker import work

ROW = {"chip": 0, "age_s": 1.0, "samples": 4, "score": 0.1 + 0.2, "loss": float("nan"), "scores": {"f1": 0.25}}
TOLD = {"data": "tiny_sweep:data?n=90", "epochs": 2, "batch": 30, "lr": 0.1}
PASSWORD = "geheim%23/9"  # as it stands in a URL


class Server:
    """A server of a temporary folder, started as the user postgres where this is root."""

    def __init__(self, folder):
        self.folder, self.programs = Path(folder), _programs()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._told("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "postgres", "-N")
        self.start()

    def _told(self, program, *words):
        user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        command = [self.programs / program, *map(str, words)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, timeout=100, **user)

    def start(self):
        with (self.folder / "data" / "pg_hba.conf").open("w") as file:
            file.write(
                "local all all trust\nhost all member 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
            )
        options = f"-k {self.folder} -p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._told("pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log", "-o", options, "start")

    def stop(self):
        self._told("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop")

    def url(self, sweep, user="postgres", database="postgres"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}#{sweep}"

    def do(self, *commands):
        import psycopg

        with psycopg.connect(self.url("x").partition("#")[0], autocommit=True) as connection:
            for command in commands:
                connection.execute(command)


def _programs():
    found = [Path(p).parent for p in [shutil.which("initdb")] if p] + sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((Path(place).resolve() for place in found if (place / "pg_ctl").exists()), None)


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("psycopg", reason="pip install 'mho[postgres]'", exc_type=ImportError)
    if _programs() is None:
        pytest.skip("apt-get install postgresql")
    if os.geteuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        pytest.skip("a server does not run as root, and there is no user postgres")
    with tempfile.TemporaryDirectory(prefix="mho-pg-", dir="/tmp") as folder:  # a socket's path has to be short
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", pwd.getpwnam("postgres").pw_gid)
        made = Server(folder)
        yield made
        made.stop()


def made(server, name, jobs=None):
    jobs = jobs or [
        Job("abc", "training", {"seed": 0}),
        Job("0", "trial", {"seed": 0}, "abc"),
        Job("1", "trial", {"seed": 1}),
    ]
    trials = [{"trial": i, "point": i, "seed": 2**40, "digest": f"d{i}", "factors": json.dumps({"a.b": level, "it's": True})}
              for i, level in enumerate((1e-05, ["x", 2]))]  # fmt: skip
    return Ledger.create(Path("none"), {"plan": {}}, jobs, trials, ["a.b", "it's"], url=server.url(name))


@pytest.mark.cluster
def test_claims_rows_and_owners(server):
    ledger = made(server, "unit")
    other = Ledger(Path("none"), server.url("unit"))
    assert [ledger.claim("one").name, other.claim("two").name, ledger.claim("one")] == ["1", "abc", None]
    job = Job("1", "trial", {"seed": 1})
    with pytest.raises(Exception, match="duplicate key"):
        ledger.finish(job, "one", seconds=1.0, versions="", rows=[ROW, ROW])
    assert other.rows("SELECT * FROM rows") == [] and other.counts()["running"] == 1
    ledger.finish(job, "one", seconds=1.0, versions="v", rows=[ROW])
    assert other.rows("SELECT * FROM results") == [
        {"trial": 1, "point": 1, "seed": 2**40, "a.b": '["x",2]', "it's": 1, "chip": 0, "age_s": 1.0, "samples": 4,
         "score": 0.1 + 0.2, "loss": None, "scores": '{"f1": 0.25}'}
    ]  # fmt: skip
    with other.base.owning("two"):
        assert ledger.base.alive("two") and ledger.base.present() == 1 and ledger.recover() == 0
        with pytest.raises(BadInput, match="another worker is called 'two'"), ledger.base.owning("two"):
            pass
        other.close()  # as where its process ends
        end = time.monotonic() + 60
        while ledger.base.alive("two"):
            assert time.monotonic() < end
        assert ledger.recover() == 1
    assert ledger.note_epoch(Job("abc", "training", {}), 1, 0.5) == (0.5, [])
    assert ledger.claim("three").name == "abc" and ledger.piece("abc") is None
    ledger.keep_piece("abc", b"\x00\xff")
    ledger.fail("three", "no \x00 good", name="abc")
    assert ledger.piece("abc") == b"\x00\xff" and ledger.counts()["failed"] == 1
    assert ledger.rows("SELECT error FROM jobs WHERE job = '0'")[0]["error"].startswith("its training failed: no ")
    assert ledger.retry() == 2 and made(server, "unit").counts()["done"] == 1  # who comes second takes what is there


@pytest.mark.cluster
def test_results_are_those_of_a_folder_to_the_digit_and_the_url_is_all_that_a_report_needs(
    commands, server, base, tmp_path
):
    factors = {"training.lr": [0.05, 0.1], "hardware.dac.bits": [3, 8]}
    given = {
        **base,
        "network": "tiny_sweep:random",
        "pretraining": TOLD,
        "training": TOLD,
        "factors": factors,
        "costs": "cells",
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    url, command = server.url("digits"), ["sweep", tmp_path / "sweep.yaml", "--no-report", "--ledger"]
    one = commands.start(*command, url, "--out", "a", cwd=tmp_path, env=HERE)
    two = commands.start(*command, url, "--out", "b", cwd=tmp_path, env=HERE)  # as on another machine: no common folder
    assert (one.wait(), two.wait()) == (0, 0), one.stderr + two.stderr
    straight, result = here(given, tmp_path / "here"), SweepResult(url)
    assert result.rows == straight.rows and len(result.rows) == 4 * 5 and list(result.rows[0]) == list(straight.rows[0])
    mine, theirs = (
        [{k: v for k, v in t.items() if k not in ("seconds", "shared")} for t in r.trials] for r in (result, straight)
    )
    assert mine == theirs and not (tmp_path / "a" / "sweep.sqlite").exists()
    done = commands.run("report", url, "--out", "page", cwd=tmp_path, env=HERE)
    assert done.returncode == 0 and "mho report" in (tmp_path / "page" / "report.html").read_text(), done.stderr
    done = commands.run("export", url, "--to", "csv", "--out", "rows.csv", cwd=tmp_path)
    assert (
        done.returncode == 0 and (tmp_path / "rows.csv").read_text() == straight.to_csv(tmp_path / "s.csv").read_text()
    )
    with pytest.raises(BadResults, match="another sweep: chips is 2 there.*name another sweep"):
        sweep({**given, "chips": 3}, tmp_path / "c", ledger=url)


@pytest.mark.cluster
def test_points_that_are_chosen_are_those_of_a_folder(server, base, tmp_path):
    pytest.importorskip("optuna", reason="pip install 'mho[sweep]'")
    design = {"kind": "multi_objective", "objectives": ["score", "loss"], "trials": 6, "start": 3}
    given = {**base, "chips": 3, "design": design,
             "factors": {"hardware.dac.bits": [2, 3, 4, 8], "hardware.noise.output": {"log": [0.01, 0.5]}}}  # fmt: skip
    alone, url = here(given, tmp_path / "here"), server.url("chosen")
    _begin(tmp_path, preview(given), url).close()
    work(tmp_path, "here", url)
    assert SweepResult(url).rows == alone.rows and len(alone.rows) == 6 * 7
    assert front(SweepResult(url).ledger, alone.plan) == front(alone.ledger, alone.plan)


@pytest.mark.cluster
def test_kill_9_and_a_server_that_goes_lose_the_trials_in_flight(commands, server, base, tmp_path):
    factors = {"hardware.dac.bits": [2, 3, 4, 5], "hardware.noise.output": [0.0, 0.1]}
    given = {**base, "network": "tiny_sweep:net?slow=0.05", "chips": 1, "factors": factors}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    url = server.url("killed")
    command = ["sweep", tmp_path / "sweep.yaml", "--no-report", "--ledger", url, "--out", tmp_path / "out"]

    def until(many, process):
        end = time.monotonic() + 180
        while not _begun(url) or Ledger(Path("none"), url).counts()["done"] < many:
            assert process.poll() is None and time.monotonic() < end, process.stderr
            time.sleep(0.05)

    one = commands.start(*command, env=HERE)
    until(2, one)
    one.send_signal(signal.SIGKILL)
    one.wait()
    two = commands.start(*command, env=HERE)
    until(4, two)
    server.stop()
    assert two.wait() == 2 and "the same command goes on" in two.stderr and "Traceback" not in two.stderr, two.stderr
    server.start()
    three = commands.run(*command, env=HERE)
    assert three.returncode == 0 and "8 of 8 trials are done" in three.stdout, three.stderr
    result = SweepResult(url)
    assert result.counts() == {"open": 0, "running": 0, "done": 8, "failed": 0}
    assert result.rows == here(given, tmp_path / "alone").rows


def _begun(url):
    return Ledger.exists(Path("none"), url)


@pytest.mark.cluster
def test_what_goes_wrong_is_told_and_no_password_with_it(server, tmp_path):
    from psycopg import sql

    secret = PASSWORD.replace("%23", "#")
    server.do(
        sql.SQL("CREATE ROLE member LOGIN PASSWORD {}").format(sql.Literal(secret)),
        "CREATE SCHEMA mho_taken CREATE TABLE meta (x int)",
    )
    member, told = f"member:{PASSWORD.replace('/', '%2F')}", []

    def says(url, what, kind=BadInput):
        with pytest.raises(kind, match=what) as error:
            Ledger.exists(Path("none"), url)
            made_at(url)
        told.append(str(error.value))

    def made_at(url):
        return Ledger.create(Path("none"), {"plan": {}}, [], [], [], url=url)

    says(server.url("free", member), "may not do that.*permission denied for database")
    says(server.url("free", "member:geheim9"), "password authentication failed")
    says(server.url("free", member, "nowhere"), "does not exist|may not")
    says(server.url("taken"), "'mho_taken' holds other tables.*#NAME", BadResults)
    says(f"postgresql://{member}@127.0.0.1:1/postgres#free", "server cannot be used: .*refused")
    assert not [text for text in told if "geheim" in text]
    assert Address(server.url("free", member)).shown == server.url("free", "member")
    with pytest.raises(BadInput, match="no sweep of that name"):
        SweepResult(server.url("nothing"))
    server.do("GRANT CREATE ON DATABASE postgres TO member")
    assert made_at(server.url("free", member)).counts()["done"] == 0
    with pytest.raises(BadInput, match="too long for the name of a column"):
        Ledger.create(Path("none"), {}, [], [], ["x" * 64], url=server.url("long"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://user:geheim@host/db", "unknown ledger 'mysql://' -> give postgresql://"),
        ("postgresql://user:ge#heim@host/db", "cannot be read"), ("postgresql://host", "cannot be read"),
        ("postgresql://user:geheim@host:port/db", "cannot be read"), ("postgresql://host/db#My Sweep", "cannot be read"),
        ("postgresql://user:12/geheim@host/db", "cannot be read"), ("postgresql://user:g@heim@host/db", "cannot be read"),
        ("postgresql://user:%geheim@host/db", "cannot be read"), ("postgresql://user:ge heim@host/db", "cannot be read"),
        ("postgresql://user:%00geheim@host/db", "cannot be read"), ("postgresql://user:[geheim@host/db", "cannot be read"),
    ],
)  # fmt: skip
def test_urls_that_are_none_are_refused_before_any_work(base, tmp_path, url, told):
    with pytest.raises(WrongSetting, match=told) as error:
        sweep({**base, "factors": {"hardware.dac.bits": [2, 4]}}, tmp_path / "out", ledger=url)
    assert "heim" not in str(error.value) and not (tmp_path / "out").exists()


def test_who_stops_a_sweep_is_told_where_it_is_kept_and_no_password(monkeypatch):
    from mho.cli import interruption

    for url in (
        "postgresql://u:geheim@127.0.0.1:1/d?passw%6Frd=geheim&sslmode=disable#mine",
        "postgresql://u:g@heim@h/d",
    ):
        monkeypatch.setattr(sys, "argv", ["mho", "sweep", "a b.yaml", "--ledger", url, f"--ledger={url}"])
        monkeypatch.setattr(interruption, "_kept", [])
        interruption.keeps("finished trials", url)
        monkeypatch.setattr(Ledger, "exists", lambda *_: True)
        monkeypatch.setattr(Ledger, "__init__", lambda *_: None)
        monkeypatch.setattr(Ledger, "counts", lambda _: {"done": 3})
        said = interruption.message()
        assert (
            "kept: finished trials in " in said
            and "(3 trials)\nthe same command goes on from there: mho sweep 'a b.yaml'" in said
        )
        assert "heim" not in said
    assert interruption.command().endswith("--ledger '…' '--ledger=…'")
    monkeypatch.setattr(
        sys, "argv", ["mho", "--ledger=postgresql://u:geheim@127.0.0.1:1/d?passw%6Frd=geheim&sslmode=disable#mine"]
    )
    assert interruption.command() == "mho '--ledger=postgresql://u@127.0.0.1:1/d?sslmode=disable#mine'"


def test_workers_are_told_the_url_where_nobody_sees_it(tmp_path, monkeypatch):
    from mho.sweeps import engine

    started = []
    monkeypatch.setattr(engine.subprocess, "Popen", lambda command, env, **_: started.append((command, env)))
    for url in ("postgresql://u:geheim@h/d", None):
        Worker(tmp_path, url=url).said.close()
    (command, environment), (_, other) = started
    assert (
        environment[engine.LEDGER].endswith("geheim@h/d")
        and "geheim" not in str(command)
        and engine.LEDGER not in other
    )


def test_without_psycopg_the_extra_is_named(base, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"a ledger by URL needs 'psycopg'.*pip install 'mho\[postgres\]'"):
        sweep({**base, "factors": {"hardware.dac.bits": [2, 4]}}, tmp_path / "out", ledger="postgresql://127.0.0.1:1/d")
    assert tiny_sweep.ITEMS and not (tmp_path / "out" / "sweep.sqlite").exists()

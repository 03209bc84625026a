from __future__ import annotations

import shutil
import sqlite3
import threading
import time

import pytest

from mho.errors import BadInput, BadResults, MissingExtra
from mho.store.lock import take
from mho.sweeps import Plan, SweepResult
from mho.sweeps.ledger import FILE, Job, Ledger
from mho.sweeps.owner import FOLDER, alive, owner, present

JOBS = [
    Job("abc", "training", {"seed": 0}), Job("0", "trial", {"seed": 0}, "abc"), Job("1", "trial", {"seed": 1}, "abc"),
    Job("2", "trial", {"seed": 2}),
]  # fmt: skip
ROW = {"chip": 0, "age_s": 1.0, "samples": 4, "score": 0.5, "loss": 1.0, "scores": {"f1": 0.25}}


@pytest.fixture
def ledger(tmp_path):
    trials = [{"trial": i, "point": i, "seed": 0, "digest": f"d{i}", "factors": f'{{"a.b": {i}}}'} for i in range(3)]
    return Ledger.create(tmp_path, {"plan": {}}, JOBS, trials, ["a.b"])


def test_ready_trials_first_then_trainings_then_what_needs_them(ledger):
    other = Ledger(ledger.folder)
    assert [ledger.claim("one").name, other.claim("two").name, ledger.claim("one")] == ["2", "abc", None]
    ledger.finish(JOBS[0], "two", seconds=1.0, versions="")
    assert [ledger.claim("one").name, other.claim("two").name, ledger.claim("one")] == ["0", "1", None]


def test_rows_are_there_with_the_state_or_not_at_all(ledger):
    job = ledger.claim("one")
    with pytest.raises(sqlite3.IntegrityError):
        ledger.finish(job, "one", seconds=1.0, versions="", rows=[ROW, ROW])
    assert ledger.rows("SELECT * FROM rows") == [] and ledger.counts()["running"] == 1
    ledger.finish(job, "one", seconds=1.0, versions="v", rows=[ROW])
    found = ledger.rows("SELECT * FROM results")
    assert [dict(row) for row in found] == [
        {
            "trial": 2,
            "point": 2,
            "seed": 0,
            "a.b": 2,
            **{k: v for k, v in ROW.items() if k != "scores"},
            "scores": '{"f1": 0.25}',
        }
    ]


def test_a_claim_of_a_process_that_is_no_more_is_taken_over_and_its_result_does_not_count(ledger):
    with owner(ledger.folder, "one"):
        job = ledger.claim("one")
        assert alive(ledger.folder, "one") and ledger.recover() == 0
    assert not alive(ledger.folder, "one") and ledger.recover() == 1
    assert ledger.claim("two") == job
    ledger.finish(job, "one", seconds=1.0, versions="", rows=[ROW])
    assert ledger.counts()["done"] == 0 and ledger.rows("SELECT * FROM rows") == []
    ledger.finish(job, "two", seconds=1.0, versions="", rows=[ROW])
    assert ledger.counts()["done"] == 1


def test_a_job_over_which_processes_die_is_given_up(ledger):
    for _ in range(3):
        assert ledger.counts()["failed"] == 0
        assert ledger.claim("gone").name == "2"
        ledger.recover()
    assert ledger.rows("SELECT error FROM jobs WHERE job = '2'")[0]["error"] == "3 processes died over it"


def test_what_needs_a_training_that_failed_fails_with_its_error_and_can_be_tried_again(ledger):
    ledger.claim("one")
    assert ledger.claim("one").name == "abc"
    ledger.fail("one", "the loss is nan", name="abc")
    errors = [row["error"] for row in ledger.rows("SELECT error FROM jobs ORDER BY place")]
    assert errors == ["the loss is nan", *["its training failed: the loss is nan"] * 2, None]
    assert ledger.retry() == 3 and ledger.claim("two").name == "abc"


def test_a_point_that_cannot_be_built_is_not_tried_again_and_keeps_its_reason(ledger):
    column = {"trial": 3, "point": 3, "seed": 0, "digest": "none 3", "factors": '{"a.b": 9}'}
    ledger.extend([Job("3", "trial", {})], [column], 3, "these levels do not go together")
    assert ledger.retry() == 0 and ledger.counts()["failed"] == 1
    assert ledger.rows("SELECT error FROM jobs WHERE job = '3'")[0]["error"] == "these levels do not go together"


def test_who_looks_for_workers_does_not_end_one_that_begins(tmp_path):
    """`present` holds the lock of a file for a moment: the worker whose file it is waits until it has it."""
    path = tmp_path / FOLDER / "new"
    path.parent.mkdir()
    held = threading.Event()

    def look():  # a lock is of the thread that took it
        lock = take(path)
        held.set()
        time.sleep(0.1)
        lock.release()

    threading.Thread(target=look).start()
    assert held.wait(10)
    with owner(tmp_path, "new"):
        assert alive(tmp_path, "new") and present(tmp_path) == 1
        with pytest.raises(BadInput, match="another worker is called 'new'"), owner(tmp_path, "new"):
            pass
    assert present(tmp_path) == 0


def test_a_damaged_ledger_is_refused_with_its_path(ledger, tmp_path):
    ledger.close()
    with pytest.raises(BadInput, match="there is no sweep here"):
        SweepResult(tmp_path / "nothing")
    other = tmp_path / "other"
    other.mkdir()
    (other / FILE).write_bytes(b"this is no database, but it is long enough to be read as one" * 20)
    with pytest.raises(BadResults, match=r"sweep.sqlite: it is damaged \(file is not a database\)"):
        Ledger(other)
    shutil.copy(ledger.base.path, other / FILE)
    content = bytearray((other / FILE).read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    (other / FILE).write_bytes(content)
    with pytest.raises(BadResults, match="damaged"):
        Ledger(other).claim("one")


def test_a_full_disk_is_told_and_loses_nothing(ledger):
    job = ledger.claim("one")
    ledger.base.execute(f"PRAGMA max_page_count = {ledger.base.execute('PRAGMA page_count').fetchone()[0]}")
    many = [{**ROW, "chip": chip} for chip in range(2000)]
    with pytest.raises(BadInput, match=r"full.* -> make room"):
        ledger.finish(job, "one", seconds=1.0, versions="", rows=many)
    assert Ledger(ledger.folder).counts()["running"] == 1
    Ledger(ledger.folder).finish(job, "one", seconds=1.0, versions="", rows=many)
    assert len(ledger.rows("SELECT * FROM rows")) == 2000


def test_pandas_reads_the_ledger_in_one_line_and_parquet_is_the_same(base, tmp_path):
    pandas = pytest.importorskip("pandas", reason="pip install 'mho[tables]'")
    pytest.importorskip("pyarrow", reason="pip install 'mho[tables]'")
    plan = Plan.read({**base, "factors": {"hardware.dac.bits": [2, 4]}})
    levels = [f'{{"hardware.dac.bits": {bits}}}' for bits in (2, 4)]
    trials = [{"trial": i, "point": i, "seed": 0, "digest": f"d{i}", "factors": text} for i, text in enumerate(levels)]
    jobs = [Job(str(i), "trial", {}) for i in range(2)]
    ledger = Ledger.create(tmp_path, {"plan": plan.as_dict()}, jobs, trials, list(plan.factors))
    for _ in jobs:
        ledger.finish(ledger.claim("one"), "one", seconds=1.0, versions="", rows=[ROW])
    read = pandas.read_sql("SELECT * FROM results", sqlite3.connect(ledger.base.path))
    assert read["hardware.dac.bits"].tolist() == [2, 4] and read["score"].tolist() == [0.5, 0.5]
    again = pandas.read_parquet(SweepResult(tmp_path).to_parquet(tmp_path / "rows.parquet"))
    assert again["hardware.dac.bits"].tolist() == [2, 4] and again["scores.f1"].tolist() == [0.25, 0.25]


def test_parquet_says_which_extra_it_needs(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mho\[tables\]'"):
        SweepResult.to_parquet(object.__new__(SweepResult), tmp_path / "rows.parquet")

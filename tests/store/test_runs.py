from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mho.errors import BadInput, BadResults, WrongSetting
from mho.store import DataInfo, Measurement, RunHeader, RunStore, StoreWarning, load

AGES = (0.0, 60.0, 3600.0)
HEADER = RunHeader(
    model="net",
    data=DataInfo("toy", 20, "abc", ("a", "b"), (12, 8)),
    hardware={"name": "pcm", "array": {"rows": 512}},
    hardware_digest="h",
    seed=3,
    times_s=AGES,
    max_chips=4,
    versions={"mho": "1"},
    command="mho drift net",
)


def _measure(chip: int, age_s: float, seed: int = 0) -> Measurement:
    rng = np.random.default_rng([chip + 1, int(age_s), seed])
    correct = rng.random(20) < 0.8
    first = int(correct[:12].sum())
    return Measurement(chip, age_s, 20, correct, float(rng.random()), (13, 7), (first, int(correct.sum()) - first))


DIGITAL = _measure(-1, 0.0)


def _chip(chip: int) -> list[Measurement]:
    return [_measure(chip, age) for age in AGES]


def _begun(directory: Path, chips: int = 2) -> RunStore:
    store = RunStore(directory)
    assert store.create_or_resume(HEADER, DIGITAL) == []
    for chip in range(chips):
        store.append(chip, _chip(chip))
    return store


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.floats(), st.integers(-1, 10**6))
@settings(max_examples=60, deadline=None)
def test_measurement_round_trip(bits: list[bool], loss: float, chip: int) -> None:
    m = Measurement(chip, 60.0, len(bits), np.array(bits), loss, (len(bits),), (sum(bits),))
    again = Measurement.from_json(json.loads(json.dumps(m.to_json(), allow_nan=False)))
    assert again == m
    assert again.accuracy == sum(bits) / len(bits)
    assert again.correct.tolist() == bits


def test_measurement_is_frozen_and_consistent() -> None:
    source = np.ones(3, dtype=bool)
    m = Measurement(0, 1.0, 3, source, 0.1)
    source[0] = False
    assert m.accuracy == 1.0
    with pytest.raises(ValueError, match="read-only"):
        m.correct[0] = False
    for wrong in (
        {"samples": 4},
        {"predicted": (2, 2)},
        {"correct_by_class": (1, 1)},
        {"values": source[None]},
    ):
        with pytest.raises(BadResults):
            dataclasses.replace(m, **wrong)


def test_header_round_trip_and_digest() -> None:
    assert RunHeader.from_json(json.loads(json.dumps(HEADER.to_json()))) == HEADER
    same = {
        "target_half_width": 0.1, "max_chips": 99, "confidence": 0.5, "command": "x",
        "versions": {}, "placement": ({"path": "a"},),
    }  # fmt: skip
    assert dataclasses.replace(HEADER, **same).digest() == HEADER.digest()
    for change in ({"seed": 4}, {"model": "m"}, {"times_s": (0.0,)}, {"hardware": {}}, {"model_digest": "w"}):
        assert dataclasses.replace(HEADER, **change).digest() != HEADER.digest()
    for wrong in ({"times_s": (1.0, 1.0)}, {"times_s": ()}, {"confidence": 1.0}, {"times_s": (-1.0,)}):
        with pytest.raises(WrongSetting):
            dataclasses.replace(HEADER, **wrong)
    with pytest.raises(BadResults):
        RunHeader.from_json({**HEADER.to_json(), "surprise": 1})


def test_resume_gives_what_was_written(tmp_path: Path) -> None:
    _begun(tmp_path / "a" / "b")
    more = dataclasses.replace(HEADER, max_chips=100, command="again")
    store = RunStore(tmp_path / "a" / "b")
    assert store.create_or_resume(more, DIGITAL) == _chip(0) + _chip(1)
    store.append(2, _chip(2))
    header, digital, measurements = load(tmp_path / "a" / "b")
    assert (header, digital) == (more, DIGITAL)
    assert measurements == _chip(0) + _chip(1) + _chip(2)
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == ["rows.jsonl", "run.json"]


def test_cut_at_every_byte_of_the_last_chip(tmp_path: Path) -> None:
    _begun(tmp_path, 1)
    kept = (tmp_path / "rows.jsonl").read_bytes()
    _begun(tmp_path / "full", 2)
    whole = (tmp_path / "full" / "rows.jsonl").read_bytes()
    rows = tmp_path / "rows.jsonl"
    for length in range(len(kept) + 1, len(whole)):
        rows.write_bytes(whole[:length])
        with pytest.warns(StoreWarning, match="left out"):
            assert load(tmp_path)[2] == _chip(0)
        assert rows.stat().st_size == length
        store, there = RunStore(tmp_path), whole[:length].count(b"\n") - len(AGES)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            assert store.create_or_resume(HEADER, DIGITAL) == _chip(0) + _chip(1)[:there]
        assert bool(said) == (not whole[:length].endswith(b"\n")), "lines that are whole stay"
        assert rows.read_bytes() == whole[: whole[:length].rfind(b"\n") + 1]
        store.append(1, _chip(1)[there:])
        assert rows.read_bytes() == whole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path)[2] == _chip(0) + _chip(1)


def test_ages_and_chips_are_added(tmp_path: Path) -> None:
    few = dataclasses.replace(HEADER, times_s=AGES[::2])
    store = RunStore(tmp_path)
    assert store.create_or_resume(few, DIGITAL) == []
    for chip in (0, 1):
        store.append(chip, _chip(chip)[::2])
    store = RunStore(tmp_path)
    assert store.create_or_resume(HEADER, DIGITAL) == _chip(0)[::2] + _chip(1)[::2]
    for chip, wrong in ((0, _chip(0)), (0, []), (0, _chip(1)[1:2]), (2, _chip(2)[::2])):
        with pytest.raises(BadInput, match="does not continue"):
            store.append(chip, wrong)
    store.append(0, _chip(0)[1:2])
    with pytest.warns(StoreWarning, match="chip 1 was cut off"):
        assert load(tmp_path)[2] == _chip(0)
    store.append(1, _chip(1)[1:2])
    store.append(2, _chip(2))
    assert load(tmp_path)[2] == _chip(0) + _chip(1) + _chip(2)
    assert RunStore(tmp_path).create_or_resume(few, DIGITAL) == [m for c in range(3) for m in _chip(c)[::2]]
    assert load(tmp_path)[0].times_s == AGES[::2] and load(tmp_path)[2] == [m for c in range(3) for m in _chip(c)[::2]]


def test_a_line_that_is_missing_is_measured_again(tmp_path: Path) -> None:
    _begun(tmp_path)
    rows = tmp_path / "rows.jsonl"
    lines = rows.read_bytes().splitlines(keepends=True)
    rows.write_bytes(b"".join([lines[0], *lines[2:]]))
    with pytest.warns(StoreWarning, match="chip 0 was cut off"):
        assert load(tmp_path)[2] == _chip(1)
    store = RunStore(tmp_path)
    store.create_or_resume(HEADER, DIGITAL)
    store.append(0, _chip(0)[1:2])
    assert sorted(load(tmp_path)[2], key=lambda m: (m.chip, m.age_s)) == _chip(0) + _chip(1)


def test_kill_9(tmp_path: Path) -> None:
    """A real process, killed while it writes as fast as it can."""
    script = tmp_path / "writer.py"
    script.write_text(
        "import sys, importlib.util\n"
        "spec = importlib.util.spec_from_file_location('t', sys.argv[1])\n"
        "t = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(t)\n"
        "store = t.RunStore(sys.argv[2]); store.create_or_resume(t.HEADER, t.DIGITAL)\n"
        "for chip in range(10**6):\n"
        "    store.append(chip, t._chip(chip))\n"
        "    print(chip, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, str(script), __file__, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    told = -1
    for line in process.stdout:
        told = int(line)
        if told >= 20:
            process.send_signal(signal.SIGKILL)
            break
    told = max([told, *(int(line) for line in process.stdout.read().split("\n")[:-1] if line)])
    process.stdout.close()
    process.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        kept = RunStore(tmp_path / "run").create_or_resume(HEADER, DIGITAL)
    assert max(m.chip for m in kept) >= told >= 20
    assert kept[: 3 * 21] == [m for chip in range(21) for m in _chip(chip)]


@pytest.mark.parametrize("change", [
    lambda lines: [lines[0], b"{garbage", *lines[2:]],
    lambda lines: [lines[0], lines[1].replace(b'"loss":0.', b'"loss":1.'), *lines[2:]],
    lambda lines: [*lines[:3], *lines[:3]],
    lambda lines: [*lines[:5], b"\0" * 30],
    lambda lines: [b"[]", *lines[1:]],
])  # fmt: skip
def test_damage_elsewhere_is_refused_and_left_alone(tmp_path: Path, change) -> None:
    _begun(tmp_path)
    rows = tmp_path / "rows.jsonl"
    lines = rows.read_bytes().splitlines()
    damaged = b"\n".join(change(lines)) + b"\n"
    rows.write_bytes(damaged)
    for attempt in (lambda: load(tmp_path), lambda: RunStore(tmp_path).create_or_resume(HEADER, DIGITAL)):
        with pytest.raises(BadResults, match=r"rows\.jsonl:[1-6]: line [1-6] is damaged"):
            attempt()
    assert rows.read_bytes() == damaged


def test_damaged_header(tmp_path: Path) -> None:
    _begun(tmp_path)
    (tmp_path / "run.json").write_text('{"header": ')
    with pytest.raises(BadResults, match=r"run\.json:1"):
        load(tmp_path)
    (tmp_path / "run.json").unlink()
    with pytest.raises(BadResults, match=r"no run\.json"):
        RunStore(tmp_path).create_or_resume(HEADER, DIGITAL)
    with pytest.raises(BadInput, match="no run here"):
        load(tmp_path)


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    _begun(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    other = dataclasses.replace(HEADER, seed=4, hardware={"name": "pcm", "array": {"rows": 256}})
    with pytest.raises(BadResults, match=r"hardware\.array\.rows was 512 and is 256; seed was 3 and is 4.*--out"):
        RunStore(tmp_path).create_or_resume(other, DIGITAL)
    flipped = dataclasses.replace(DIGITAL, values=~DIGITAL.correct, correct_by_class=())
    with pytest.raises(BadResults, match="answers otherwise"):
        RunStore(tmp_path).create_or_resume(HEADER, flipped)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_other_versions_are_told(tmp_path: Path) -> None:
    _begun(tmp_path)
    with pytest.warns(StoreWarning, match="begun with"):
        RunStore(tmp_path).create_or_resume(dataclasses.replace(HEADER, versions={"mho": "2"}), DIGITAL)


def test_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        RunStore(tmp_path / "file" / "run").create_or_resume(HEADER, DIGITAL)
    with pytest.raises(BadInput, match="cannot write"):
        RunStore(tmp_path / "file" / "run").check_writable()
    (tmp_path / "run" / "rows.jsonl").mkdir(parents=True)
    with pytest.raises((BadInput, BadResults)):
        RunStore(tmp_path / "run").create_or_resume(HEADER, DIGITAL)


def test_append_takes_whole_chips_once(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(BadInput, match="not begun"):
        store.append(0, _chip(0))
    store = _begun(tmp_path)
    for chip, rows in ((1, _chip(1)), (2, _chip(2)[:2]), (2, _chip(3)), (2, _chip(2)[::-1])):
        with pytest.raises(BadInput, match="append each chip once"):
            store.append(chip, rows)
    assert len(load(tmp_path)[2]) == 6


def test_two_writers_are_noticed(tmp_path: Path) -> None:
    first, second = _begun(tmp_path), RunStore(tmp_path)
    second.create_or_resume(HEADER, DIGITAL)
    first.append(2, _chip(2))
    with pytest.raises(BadResults, match="another process"):
        second.append(2, _chip(2))
    assert len(load(tmp_path)[2]) == 9


def test_infinite_loss_survives(tmp_path: Path) -> None:
    store = _begun(tmp_path, 0)
    store.append(0, [dataclasses.replace(m, loss=math.inf) for m in _chip(0)])
    assert math.isinf(load(tmp_path)[2][0].loss)

"""What pytest does under the mutation tool: note which probes each test reaches, or run chosen tests in a given order.

`MHO_MUTATION` names a JSON file with one of the two jobs:
{"probes": folder} writes one JSON line a test with its outcome, seconds and probes reached;
{"tests": {node id: seconds allowed, in order}, "last": file, "timed_out": status} runs these, notes the test that ran last,
and ends with that status when a test takes longer than it may.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

JOB: dict[str, Any] = json.loads(Path(os.environ["MHO_MUTATION"]).read_text())

if "probes" in JOB:
    import mutation_probes  # beside the probed copy of the source

    _notes = Path(JOB["probes"]) / f"{os.getpid()}.jsonl"
    _shared: dict[str, set[int]] = {}
    _seen: dict[str, dict[str, Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(fixturedef: Any, request: Any) -> Iterator[None]:
        """What a fixture of a whole module reaches counts for every test of the module."""
        before = set(mutation_probes.HIT)
        result = yield
        if fixturedef.scope != "function":
            _shared.setdefault(request.node.nodeid.split("::")[0], set()).update(mutation_probes.HIT - before)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item: Any) -> Iterator[None]:
        """One line a test."""
        mutation_probes.HIT.clear()
        _seen[item.nodeid] = {"outcome": "passed", "start": time.perf_counter()}
        result = yield
        note = _seen.pop(item.nodeid)
        reached = mutation_probes.HIT | _shared.get(item.nodeid.split("::")[0], set())
        seconds = time.perf_counter() - note["start"]
        line = {"test": item.nodeid, "outcome": note["outcome"], "seconds": seconds, "probes": sorted(reached)}
        with _notes.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return result

    def pytest_runtest_logreport(report: Any) -> None:
        """A test passes when all of its phases do."""
        if report.outcome != "passed" and report.nodeid in _seen:
            _seen[report.nodeid]["outcome"] = report.outcome

else:
    _place = {test: i for i, test in enumerate(JOB["tests"])}

    def pytest_collection_modifyitems(items: list[Any]) -> None:
        """The chosen tests alone, in the order given."""
        items[:] = sorted((item for item in items if item.nodeid in _place), key=lambda item: _place[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item: Any) -> Iterator[None]:
        """A test that takes far longer than it did is a test that noticed."""
        Path(JOB["last"]).write_text(item.nodeid)
        signal.signal(signal.SIGALRM, lambda *_: os._exit(JOB["timed_out"]))
        signal.alarm(int(JOB["tests"][item.nodeid]))
        try:
            return (yield)
        finally:
            signal.alarm(0)

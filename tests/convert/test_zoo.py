"""The page of networks says what the zoo's rows say, and the rows reach the goal."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

ZOO = Path(__file__).parents[2] / "benchmarks" / "zoo"


@pytest.fixture
def zoo(monkeypatch):
    """The zoo's modules, by name."""
    monkeypatch.syspath_prepend(str(ZOO))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(sys.modules[name].__file__).parent == ZOO:
            del sys.modules[name]


def test_the_page_is_up_to_date_with_the_rows(zoo):
    table = zoo("table")
    written = table.PAGE.read_text(encoding="utf-8")
    assert written == table.page(table.rows()), "run: python benchmarks/zoo/table.py"


def test_every_architecture_has_a_row_and_no_other(zoo):
    run, entries = zoo("run"), zoo("architectures").ENTRIES
    assert list(run.stored()) == [run.key(entry) for entry in entries] and len(entries) >= 120


def test_the_goal_is_reached(zoo):
    rows = zoo("table").rows()
    right = [row for row in rows if row.get("converts") and row["stored_share"] >= 0.9 and row["states"]]
    assert len(right) >= 0.95 * len(rows)
    assert all(row.get("way_out") == "works" for row in rows if not row.get("converts"))

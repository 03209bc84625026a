"""The studies in this repository: what is drawn is what is stored, and the index says it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mho.errors import BadInput, BadResults
from mho.reports.study import write_study
from mho.reports.study_index import claims, write_index
from mho.studies import STUDIES
from mho.studies.runner import results, run

FOLDER = Path(__file__).parents[2] / "studies"
NAMES = [
    "drift", "hwa", "ranges", "cost", "families", "squeezenet-drift", "cim-resnet", "noise-batchnorm", "noise-norm-type",
    "noise-learning-rate", "noise-architectures", "noise-and-hardware", "early-exits", "block-drop",
]  # fmt: skip
RUNS = {"drift": 27, "hwa": 45, "ranges": 4, "cost": 5, "families": 38, "squeezenet-drift": 30, "cim-resnet": 211,
        "noise-batchnorm": 18, "noise-norm-type": 9, "noise-learning-rate": 27,
        "noise-architectures": 84, "noise-and-hardware": 54, "early-exits": 38, "block-drop": 6}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_is_what_is_stored(name, tmp_path):
    study, out = STUDIES.find(name)(), tmp_path / name
    shutil.copytree(FOLDER / name, out)
    for path in write_study(study, out):
        kept = FOLDER / name / path.relative_to(out)
        assert kept.exists()
        if path.suffix in (".md", ".json"):
            assert path.read_text() == kept.read_text()
    assert sum(len(outcome.runs) for outcome in results(study, out).values()) == RUNS[name]


@pytest.mark.parametrize("name", ["drift", "ranges", "cost"])
def test_what_is_stored_is_not_measured_again(name, tmp_path, monkeypatch):
    monkeypatch.delenv("MHO_DATA", raising=False)
    study, out = STUDIES.find(name)(), tmp_path / name
    shutil.copytree(FOLDER / name, out)
    measured = []
    run(study, out, progress=measured.append)
    assert measured == []


def test_the_index_says_what_the_rows_say():
    index = (FOLDER / "README.md").read_text()
    lines = {m[1]: m[0] for m in re.finditer(r"^\| \[([\w-]+)\]\([\w-]+/README.md\).*$", index, flags=re.MULTILINE)}
    assert list(lines) == NAMES
    for name, line in lines.items():
        summary = "".join((FOLDER / name / f"{of}.md").read_text() for of in ("summary", "table"))
        numbers = re.findall(r"[-+\d.]+(?: h)? \[[^\]]*\d\]|[\d.]+ h \[[^\]]*\]", line)
        assert numbers and all(number in summary for number in numbers), (name, numbers)
        assert f"mho study run {name}" in line


def test_the_table_of_claims_is_up_to_date(tmp_path):
    """It is what `mho study index` writes; a README without its marks and a damaged list of claims are refused."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        shutil.copy(FOLDER / name / "claims.json", tmp_path / name)
    written = (FOLDER / "README.md").read_text()
    (tmp_path / "README.md").write_text(written.replace("**holds**", "**fails**"))
    assert write_index(tmp_path).read_text() == written, "run: mho study index"
    assert len(claims(tmp_path).rows) == sum(len(STUDIES.find(name).claims) for name in STUDIES.names())
    (tmp_path / "drift" / "claims.json").write_text("[1]")
    with pytest.raises(BadResults, match="no list of claims"):
        claims(tmp_path)
    (tmp_path / "README.md").write_text("# studies")
    with pytest.raises(BadInput, match="the marks of the table are missing"):
        write_index(tmp_path)

"""The page of a drift run: everything is there, nothing else is fetched or run, whatever a name holds."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import mho
from mho.errors import BadInput, WrongSetting
from mho.measure import DriftResult
from mho.reports.drift import within_shown
from mho.reports.drift_figures import draw

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def written(tmp_path_factory, result_of):
    result = result_of(model=HOSTILE)
    return result, mho.report(result, tmp_path_factory.mktemp("report") / "new", budget=0.02)


def test_page(written, read):
    result, path = written
    page = read(path)
    for text in (
        result.sentence(0.02), "What was mapped where", "1 of 3 weights are on 2 arrays and do 90.0 % of the multiplications.",
        "first & <last>", "1 more that stay digital", "an addition", "What each σ means", "read noise: σ = 1 µS", "rows: 512",
        "mho drift net --out 'a & b'", "DriftResult.load", "<b>$x_1$", "猫", result.header.digest(), HOSTILE,
        f"digital: {result.score.show(result.digital_score)}", "mean over 6 chips and its 95 % interval",
    ):  # fmt: skip
        assert text in page.words, text
    assert page.tags.count("h1") == 1 and "main" in page.tags and '<html lang="en">' in page.html
    assert page.tags.count("figure") == page.tags.count("figcaption") == 5
    assert all(re.search(r'\sscope="', tag) for tag in re.findall(r"<th\b[^>]*>", page.html))


def test_every_term_is_explained(written, read):
    for term in ("normalised", "norm. in the terminal", "top class", "moved", "σ seen", "σ of chips", "5th percentile"):
        assert term in re.sub(r"<thead>.*?</thead>", "", read(written[1]).html, flags=re.DOTALL), term


def test_page_follows_the_theme(written):
    html = written[1].read_text(encoding="utf-8")
    figures = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "prefers-color-scheme: dark" in html
    assert not re.search(r"#[0-9a-f]{6}\b(?![^<]*\")", figures.replace("#ffffff", ""))
    assert "DejaVu" not in figures and "var(--ink)" in figures
    assert figures.count('role="img"') == 2 * 5  # wide and narrow


def _contrast(one: str, two: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_sufficient(written):
    html = written[1].read_text(encoding="utf-8")
    names = ("ink", "muted", "blue", "rust", "green", "violet", "ochre", "teal", "plum", "olive")
    blocks = re.findall(r":root \{(.*?)\}", html, flags=re.DOTALL)
    assert len(blocks) == 3  # light, dark, print
    for block in blocks:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", block))
        colours = {name: value if len(value) == 7 else "#ffffff" for name, value in colours.items()}
        for text in names:
            for ground in ("ground", "paper"):
                assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_files(written):
    folder = written[1].parent
    assert (folder / "rows.csv").read_text(encoding="utf-8").count("\n") == 1 + 6 * 5
    names = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert names == {"accuracy", "yield", "balance", "classes", "variance"}
    for path in (folder / "figures").glob("*.svg"):
        root = ET.fromstring(path.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "<text" in path.read_text(encoding="utf-8")
    assert "digital: " in (folder / "figures" / "accuracy.svg").read_text(encoding="utf-8")  # a file has its legend


def test_figures_are_the_same_bytes_and_leave_settings_alone(result_of):
    before = dict(matplotlib.rcParams)
    result = result_of(chips=2)
    assert [p.svg for p in draw(result, 0.01)] == [p.svg for p in draw(result, 0.01)]
    assert dict(matplotlib.rcParams) == before


def test_a_legend_says_what_is_drawn_and_every_place_has_its_value(result_of):
    for plot in draw(result_of(), 0.02):
        for pane in plot.panes:
            drawn = set(map(int, re.findall(r'data-line="(\d+)"', pane.svg)))
            assert drawn == set(range(len(plot.lines))), (plot.name, pane.kind)
            assert len(pane.at) == len(plot.places) and list(pane.at) == sorted(pane.at)
            assert all(0 < share < 1 for share in pane.at)
        assert all(len(line.values) in (0, len(plot.places)) for line in plot.lines)
        assert not re.search(r'id="line\d+"', plot.svg)


@pytest.mark.parametrize(("case", "budget"), [
    ({"chips": 1}, 0.0), ({"chips": 2, "ages": (0.0,)}, 0.9), ({"chips": 2, "ages": (3600.0,)}, 0.0), ({"classes": ()}, 0.9),
    ({"classes": tuple(f"class {k}" for k in range(120))}, 0.03), ({"chips": 70}, 0.9),
    ({"ages": tuple(float(t) for t in np.geomspace(1, 3e7, 25))}, 0.0),
], ids=str)  # fmt: skip
def test_unusual_results(tmp_path, case, budget, result_of, read):
    result = result_of(**case)
    page = read(mho.report(result, tmp_path, budget=budget))
    assert result.sentence(budget) in page.words
    assert not re.search(r"\b(nan|inf|None)\b", page.text)


def test_what_is_unknown_is_left_out(tmp_path, result_of, read):
    result = result_of()
    rows = [dataclasses.replace(m, predicted=(), correct_by_class=()) for m in result.measurements[:1]]
    unknown = DriftResult(result.header, result.digital, rows + result.measurements[1:])
    page = read(mho.report(unknown, tmp_path))
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"accuracy", "yield", "variance"}
    assert "Recall by class" not in page.words and not re.search(r"\b(nan|inf|None)\b", page.text)


def test_rows_are_written_before_a_figure_that_fails(tmp_path, result_of, monkeypatch):
    def fail(*_):
        raise ValueError("not drawn")

    monkeypatch.setattr("mho.reports.drift.draw", fail)
    with pytest.raises(ValueError, match="not drawn"):
        mho.report(result_of(chips=2), tmp_path)
    assert (tmp_path / "rows.csv").read_text(encoding="utf-8").count("\n") == 1 + 2 * 5


def test_a_yield_that_never_changes_is_told_and_not_drawn(tmp_path, result_of, read):
    gone = read(mho.report(result_of(lost=0.3), tmp_path / "none", budget=0.01))
    assert (
        "None of the 6 chips are inside the budget at every age measured. Of other chips, 0 % [0, 39] would be"
        in gone.words
    )
    assert gone.tags.count("figure") == 4 and (tmp_path / "none" / "figures" / "yield.svg").is_file()
    assert "All of the 6 chips are inside" in read(mho.report(result_of(), tmp_path / "all", budget=0.5)).words


def test_an_interval_wider_than_a_share_is_not_a_number(result_of):
    few = result_of(chips=2, ages=(3600.0,))
    assert re.fullmatch(r"±\d+(\.\d+)? points", within_shown(few)) and within_shown(result_of(chips=1)) == ""
    wide = list(few.measurements)
    wide[0] = type(wide[0])(0, 3600.0, 400, np.arange(400) < 130, 1.0)
    wide[1] = type(wide[1])(1, 3600.0, 400, np.arange(400) < 300, 1.0)
    assert within_shown(type(few)(few.header, few.digital, wide)) == ""  # ±270 points


def test_refused(tmp_path, result_of):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        mho.report(result_of(chips=2), tmp_path / "file" / "report")
    with pytest.raises(WrongSetting):
        mho.report(result_of(chips=2), tmp_path, budget=1.5)


def test_no_pyplot():
    path = Path(__file__).parents[2] / "src"
    code = "import sys, mho.reports; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={"PYTHONPATH": str(path)}
    )
    assert done.stdout.strip() == "False", done.stderr

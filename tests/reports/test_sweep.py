"""The page of a sweep: whole, safe, readable without its script; with it, chosen points have the library's own intervals."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import mho
from mho.cli.app import app
from mho.errors import BadInput, WrongSetting
from mho.statistics.crossed import over_units
from mho.sweeps import findings
from mho.sweeps.effects.groups import over_points

sys.path.append(str(Path(__file__).parents[1] / "sweeps"))
from stores import BITS, NOISE, store

_spec = importlib.util.spec_from_file_location("mho_tests_browser", Path(__file__).with_name("browser.py"))
_browser = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_browser)
_pages = importlib.util.spec_from_file_location("mho_tests_pages", Path(__file__).with_name("test_in_browser.py"))
in_browser = importlib.util.module_from_spec(_pages)
_pages.loader.exec_module(in_browser)

READ = "hardware.cell.read_noise"
BASE = {"network": "tiny_sweep:net", "data": "tiny_sweep:data", "hardware": "pcm", "ages": "0, 1 h, 1 year", "chips": 4}
GRID = {BITS: [2, 4, 8], NOISE: [0.0, 0.01, 0.03, 0.1, 0.3], READ: [True, False]}
HOSTILE = "<img src=x onerror=alert(1)></script>"
TRAINED = {"training": {"data": "tiny_sweep:data"}, "seeds": 3, "chips": 3}


def planted(seed=0):
    rng = np.random.default_rng(seed)
    chip = 0.01 * rng.normal(size=(4, 8))

    def score(levels, seed, c, i):
        loud = levels[NOISE] >= 0.05
        return (
            0.9
            - 0.02 * i
            - (0.1 + 0.02 * i) * loud
            - 0.05 * loud * (levels[BITS] < 4)
            + chip[seed, c]
            + 0.003 * rng.normal()
        )

    return score


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """A grid in which a trial failed and one is open, one of several training seeds, and points that are drawn."""
    out = tmp_path_factory.mktemp("sweeps")
    drawn = {"factors": {BITS: [2, 4, 8], NOISE: {"log": [0.001, 0.3]}}, "design": {"kind": "lhs", "trials": 32}}
    return {
        "grid": store({**BASE, "factors": GRID}, out / "grid", planted(), fail=[3], wait=[29], error=HOSTILE),
        "seeds": store({**BASE, **TRAINED, "factors": {BITS: [2, 4, 8], NOISE: [0.01, 0.1]}}, out / "seeds", planted()),
        "drawn": store({**BASE, **drawn}, out / "drawn", planted()),
    }


@pytest.fixture(scope="module")
def pages(sweeps, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages")
    return {name: mho.report(result, out / name) for name, result in sweeps.items()}


@pytest.mark.parametrize("name", ["grid", "seeds", "drawn"])
def test_a_page_is_whole_and_runs_one_known_script(pages, read, name):
    page = read(pages[name])
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"sha256-{digest}" in page.html and page.handlers == [] and "img" not in page.tags
    assert len(page.ids) == len(set(page.ids)) and all(link.startswith("#") for link in page.links)
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page.html)
    assert len(headings) == len(set(headings)) and {
        "What decides",
        "Effects, tested",
        "Every level",
        "Correlations",
    } <= set(headings)
    there = {path.name for path in pages[name].parent.iterdir()}
    assert there == {"report.html", "figures", "effects.csv", "thresholds.csv"}


def test_the_answer_comes_first_and_what_is_missing_is_said(pages, read):
    words = read(pages["grid"]).words
    assert "After 1 year, hardware.noise.output decides most: 1" in words
    assert "It costs more than 1 % from 0.1 up (0.03 does not)" in words
    assert "Undecided: hardware.cell.read_noise" in words
    assert "1 trial of 30 failed" in words and "1 trial of 30 not measured yet" in words and HOSTILE in words
    assert "A correlation is not an effect" in words
    assert words.index("decides most") < words.index("What decides") < words.index("How this was made")


def test_every_age_is_there_without_the_script(pages, read):
    page = read(pages["grid"])
    for age in ("programming", "1 h", "1 year"):
        assert f"Table of effects, {age}" in page.html.replace("\u00a0", " ")
    assert page.html.count('<details class="kept" data-age="2" open>') == 2 and "hidden>" in page.html


def test_a_sweep_that_has_hardly_begun_has_a_page(tmp_path, read):
    waiting = store({**BASE, "factors": GRID}, tmp_path / "a", planted(), wait=range(1, 30))
    words = read(mho.report(waiting, tmp_path / "a-page")).words
    assert "1 point is measured: too few to tell" in words
    nothing = store({**BASE, "factors": GRID}, tmp_path / "b", planted(), wait=range(30))
    assert "No point of the design is measured yet" in read(mho.report(nothing, tmp_path / "b-page")).words


def test_one_chip_and_a_loss_have_pages(sweeps, tmp_path, read):
    one = store({**BASE, "chips": 1, "factors": {BITS: [2, 4], NOISE: [0.01, 0.1]}}, tmp_path / "one", planted())
    words = read(mho.report(one, tmp_path / "page")).words
    assert "not tested" in words and "[unknown]" in words
    loss = read(mho.report(findings(sweeps["grid"], score="loss", budget=0.02), tmp_path / "loss")).words
    assert "Score: loss" in loss and "It costs more than 0.02 from 0.1 up" in loss


def test_the_command_draws_what_is_stored(sweeps, tmp_path):
    folder = str(sweeps["grid"].folder)
    done = CliRunner().invoke(app, ["report", folder, "--out", str(tmp_path / "r"), "--budget", "2%", "--cost", NOISE])
    assert done.exit_code == 0, done.output
    assert "It costs more than 2 % from 0.1 up" in done.output and "report.html" in done.output
    assert "What hardware.noise.output buys" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    for arguments, kind, words in (
        ([folder, "--score", "f1"], WrongSetting, "no score 'f1'"),
        ([folder, "--cost", "network.width"], WrongSetting, "is no cost and no factor of numbers"),
        ([folder, "--budget", "much"], WrongSetting, "budget"),
        ([str(tmp_path / "nowhere")], BadInput, "neither a sweep nor a drift is stored here"),
        ([str(tmp_path / "nowhere"), "--score", "loss"], WrongSetting, "are of a sweep"),
    ):
        failed = CliRunner().invoke(app, ["report", *arguments])
        assert isinstance(failed.exception, kind) and words in str(failed.exception)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if _browser.BROWSER is None:
        pytest.skip("no chromium here; apt-get install chromium")
    found = _browser.Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("name", ["grid", "seeds", "drawn"])
def test_nothing_is_cut_off_or_on_top_of_something_else(browser, pages, name, width):
    for scheme in ("light", "dark"):
        browser.open(pages[name], width, scheme)
        assert browser.run(in_browser.CUT_OFF) == [] and browser.run(in_browser.CROSSING) == []
        assert browser.complaints() == []


CHOSEN = "[...document.querySelectorAll('.choose tbody td')].map((cell) => cell.textContent)"
PRESS = """[...document.querySelectorAll('.choice')].find((row) => row.getAttribute('aria-label') === {0!r})
  .querySelectorAll('button')[{1}].click()"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grid", "seeds", "drawn"])
def test_chosen_points_have_the_intervals_of_the_library(browser, pages, sweeps, name):
    table, score = findings(sweeps[name]).measured, sweeps[name].score
    browser.open(pages[name], 1200)
    browser.run(PRESS.format(BITS, 1))
    rows = [i for i, levels in enumerate(table.levels) if levels[BITS] == 4]
    assert browser.run("document.querySelector('.told').textContent") == f"{len(rows)} of {len(table.levels)} points:"
    for text, a in zip(browser.run(CHOSEN), range(3), strict=True):
        worths = table.worths[rows, ..., a]
        known = over_points(worths, 0.95) if name == "drawn" else over_units(worths.mean(axis=0), 0.95)
        shown = [float(n) for n in re.findall(r"[\d.]+", text)]
        # Freedom is rounded down in the page: its intervals are a little wider where seeds and chips are crossed.
        assert shown[0] == pytest.approx(100 * known.value, abs=0.06) and score.share
        assert shown[2] - shown[1] == pytest.approx(
            200 * known.half_width, rel=0.25 if name == "seeds" else 0.02, abs=0.11
        )
        assert shown[2] - shown[1] >= 200 * known.half_width - 0.11


@pytest.mark.slow
def test_levels_and_ages_are_filtered(browser, pages):
    browser.open(pages["grid"], 1200)
    rows = "[...document.querySelectorAll('tr[data-point]')].filter((r) => !r.hidden).length"
    lines = "[...document.querySelectorAll('.wide [data-point]')].filter((e) => e.getBoundingClientRect().width).length"
    ages = "[...document.querySelectorAll('details[data-age]')].filter((e) => !e.hidden).length"
    before = [browser.run(each) for each in (rows, lines, ages)]
    assert before == [28, 28, 9]
    browser.run(PRESS.format(NOISE, 3))
    browser.run(PRESS.format("age", 1))
    assert browser.run(rows) == browser.run(lines) == 6 and browser.run(ages) == 3
    assert browser.run(CHOSEN) and len(browser.run(CHOSEN)) == 1
    browser.run(PRESS.format(NOISE, 3))
    browser.run(PRESS.format("age", 1))
    assert [browser.run(each) for each in (rows, lines, ages)] == before

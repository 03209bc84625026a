"""Pages in a real browser, wide and narrow, light and dark: nothing is cut off, nothing overlaps, the script does its work."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest

import mho

_spec = importlib.util.spec_from_file_location("mho_tests_browser", Path(__file__).with_name("browser.py"))
_browser = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_browser)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_browser.BROWSER is None, reason="no chromium here; apt-get install chromium"),
]
LONG = "published:cifar10_resnet20, ranges of least error + norms recalibrated + writes verified + layers in more cells"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = _browser.Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def pages(result_of, advice_of, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages")
    command = f"mho drift '{LONG}' --data 'cifar10?prep=imagenet&n=4000' --hardware pcm --times 1h,1d,1mo"
    runs = [result_of(lost=0.01 * i, hardware={"name": f"{LONG} {i}", "adc": {"bits": i}}) for i in range(4)]
    found = mho.compare(*runs, names=[f"{i} {LONG}" for i in range(4)])
    return {
        "drift": mho.report(result_of(model=LONG, command=command), out / "drift", budget=0.05),
        "advice": mho.report(advice_of(LONG), out / "advice"),
        "comparison": mho.report(found, out / "comparison"),
    }


CUT_OFF = """(() => {
  const found = [], edge = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > edge) found.push("the page scrolls sideways");
  for (const e of document.querySelectorAll("h1, h2, p, dt, dd, li, pre, figcaption, summary, .tool")) {
    const box = e.getBoundingClientRect();
    if (box.width && (box.right > edge + 1 || box.left < -1 || e.scrollWidth > e.clientWidth + 2 && e.clientWidth))
      found.push(e.tagName + " " + e.textContent.slice(0, 60));
  }
  return found;
})()"""
CROSSING = """(() => {
  const found = [];
  for (const svg of document.querySelectorAll(".plot svg")) {
    const whole = svg.getBoundingClientRect();
    if (!whole.width) continue;
    const texts = [...svg.querySelectorAll("text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
    texts.forEach(([one, a], i) => {
      if (a.left < whole.left - 2 || a.right > whole.right + 2 || a.top < whole.top - 2 || a.bottom > whole.bottom + 2)
        found.push("outside: " + one);
      for (const [other, b] of texts.slice(i + 1)) {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        if (across > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2) found.push(one + " on " + other);
      }
    });
  }
  return found;
})()"""
TABLES = """[...document.querySelectorAll(".scroll")].filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth + 1
  && !e.closest("details")).map((e) => e.getAttribute("aria-label"))"""


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("name", ["drift", "advice", "comparison"])
def test_nothing_is_cut_off_or_on_top_of_something_else(browser, pages, name, width):
    for scheme in ("light", "dark"):
        browser.open(pages[name], width, scheme)
        assert browser.run(CUT_OFF) == []
        assert browser.run(CROSSING) == []
        assert browser.complaints() == []
    if width == 1200 and name != "comparison":
        assert browser.run(TABLES) == []  # at 400 px some scroll, with their first column in sight


def test_a_scrolling_table_keeps_its_first_column_in_sight(browser, pages):
    browser.open(pages["drift"], 400)
    left = """(() => { const e = document.querySelector('[aria-label="Table of corrected accuracies"]'); e.scrollLeft = 200;
      return [e.scrollLeft, e.querySelector("tbody th").getBoundingClientRect().left - e.getBoundingClientRect().left] })()"""
    scrolled, shift = browser.run(left)
    assert scrolled > 50 and shift == pytest.approx(0, abs=1)


def test_both_drawings_are_never_seen_together(browser, pages):
    for width, kind in ((1200, "wide"), (400, "narrow")):
        browser.open(pages["drift"], width)
        seen = browser.run(
            "[...document.querySelectorAll('.pane')].filter((p) => p.offsetWidth).map((p) => p.className)"
        )
        assert set(seen) == {f"pane {kind}"} and len(seen) == 5


def test_values_stand_under_the_pointer_and_the_arrow_keys(browser, pages):
    browser.open(pages["drift"], 1200)
    browser.point("#accuracy .plot", 0.98)
    tip = browser.run("document.querySelector('#accuracy .tip').innerText").replace("\u00a0", " ")
    assert tip.startswith("1 month") and "% [" in tip and "single chips" in tip
    browser.run("document.querySelector('#accuracy .plot').focus()")
    browser.key("ArrowLeft")
    assert browser.run("document.querySelector('#accuracy .tip b').innerText") == "1 day"
    browser.key("Escape")
    assert browser.run("document.querySelector('#accuracy .tip').hidden")


def test_lines_can_be_hidden(browser, pages):
    browser.open(pages["comparison"], 1200)
    shown = """[...document.querySelectorAll('#compared .wide [data-line="1"]')]
      .filter((e) => e.getBoundingClientRect().width).length"""
    before = browser.run(shown)
    button = "document.querySelectorAll('#compared .legend button')[1]"
    browser.run(f"{button}.click()")
    assert before > 0 and browser.run(shown) == 0 and browser.run(f"{button}.getAttribute('aria-pressed')") == "false"
    browser.run(f"{button}.click()")
    assert browser.run(shown) == before


def test_tables_are_sorted(browser, pages):
    browser.open(pages["drift"], 1200)
    table = "document.querySelector('[aria-label=\"Table of every age\"] table')"
    column = f"[...{table}.tBodies[0].rows].map((r) => r.cells[%d].textContent)"
    first = browser.run(column % 0)
    assert first == ["digital", "programming", "1\u00a0min", "1\u00a0h", "1\u00a0day", "1\u00a0month"]
    for _ in range(2):
        browser.run(f"{table}.tHead.rows[0].cells[0].querySelector('button').click()")
    assert browser.run(column % 0) == first[::-1]
    assert browser.run(f"{table}.tHead.rows[0].cells[0].getAttribute('aria-sort')") == "descending"
    browser.run(f"{table}.tHead.rows[0].cells[3].querySelector('button').click()")
    worst = [float(cell.split("\u00a0")[0]) for cell in browser.run(column % 3) if cell]
    assert worst == sorted(worst) and browser.run(column % 3)[-1] == ""  # what is empty stays below


def test_a_figure_is_saved_as_png_and_text_is_copied(browser, pages, tmp_path):
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.open(pages["comparison"], 400, "dark")
    browser.run(
        "[...document.querySelectorAll('#compared .tool')].find((b) => b.textContent === 'Save as PNG').click()"
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "compared.png").exists() and time.monotonic() < deadline:
        browser.run("new Promise((r) => setTimeout(r, 100))")
    assert (tmp_path / "compared.png").read_bytes().startswith(b"\x89PNG")
    assert browser.complaints() == []


def test_the_page_is_whole_without_its_script(browser, pages, tmp_path):
    html = pages["drift"].read_text(encoding="utf-8")
    file = tmp_path / "changed.html"
    file.write_text(html.replace('"use strict";', '"use strict"; document.title = "changed";'), encoding="utf-8")
    browser.open(file, 1200)
    assert browser.run("document.title") != "changed" and "Content Security Policy" in "".join(browser.complaints())
    assert browser.run("document.querySelectorAll('button').length") == 0
    assert browser.run(CUT_OFF) == [] and "mean over 6 chips" in browser.run("document.body.innerText").replace(
        "\u00a0", " "
    )

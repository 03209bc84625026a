from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import mho
from mho.errors import BadInput, WrongSetting
from mho.measure import DataInfo, DriftResult, Measurement, RunHeader
from mho.reports.figures import draw

AGES = (0.0, 60.0, 3600.0, 86400.0, 2592000.0)
VOID = {"meta", "link", "br", "hr", "img", "input"}


def _result(
    chips: int = 6,
    classes: tuple[str, ...] = ("cat", "dog", "<b>$x_1$", "猫"),
    model: str = "net",
    ages: tuple[float, ...] = AGES,
) -> DriftResult:
    rng, n, k = np.random.default_rng(0), 400, max(len(classes), 2)
    labels = rng.integers(k, size=n)

    def measure(chip: int, age_s: float, lost: float) -> Measurement:
        correct = rng.random(n) < 0.9 - lost
        predicted = np.where(correct, labels, 0)
        counts = [tuple(np.bincount(x, minlength=k)) for x in (predicted, labels[correct])] if classes else [(), ()]
        return Measurement(chip, age_s, n, correct, 0.3 + lost, *counts)

    placement = (
        {"path": "conv1", "placed": "digital", "reason": "first & <last>", "shape": (27, 16), "macs": 1000,
         "mac_share": 0.1, "arrays": 0},
        {"path": "conv2", "placed": "analog", "reason": "", "shape": (144, 16), "macs": 9000,
         "mac_share": 0.9, "arrays": 2, "utilisation": 0.4},
    )  # fmt: skip
    header = RunHeader(
        model, DataInfo("toy", n, "d", classes, tuple(np.bincount(labels, minlength=k)) if classes else ()),
        {"name": "pcm", "array": {"rows": 512}}, "h", 5, ages,
        definitions=("read noise: σ = 1 µS",), max_chips=9,
        placement=placement, versions={"mho": "0"}, command="mho drift net --out 'a & b'",
    )  # fmt: skip
    rows = [measure(c, t, 0.02 * i * (1 + c / 6)) for c in range(chips) for i, t in enumerate(ages)]
    return DriftResult(header, measure(-1, 0.0, 0.0), rows)


class _Page(HTMLParser):
    """Checks that tags nest, and keeps text, tags and ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack, self.text, self.tags, self.ids, self.links = [], "", [], [], []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[DriftResult, Path]:
    result = _result(model="<script>alert('x')</script>")
    return result, mho.report(result, tmp_path_factory.mktemp("report") / "new", budget=0.02)


def test_page(written: tuple[DriftResult, Path]) -> None:
    result, path = written
    html = path.read_text(encoding="utf-8")
    page = _Page(html)
    words = page.text.replace("\u00a0", " ")
    assert result.sentence(0.02) in words
    for text in (
        "What was mapped where", "1 of 2 weights are on 2 arrays and do 90.0 % of the multiplications.",
        "first & <last>", "What each σ means", "read noise: σ = 1 µS", "rows: 512",
        "mho drift net --out 'a & b'",
        "DriftResult.load", "<b>$x_1$", "猫", result.header.digest(),
    ):  # fmt: skip
        assert text in words, text
    assert "script" not in page.tags
    assert page.tags.count("h1") == 1 and "main" in page.tags and '<html lang="en">' in html
    assert page.tags.count("figure") == page.tags.count("figcaption") == page.tags.count("details") == 5
    assert all(re.search(r'\sscope="', tag) for tag in re.findall(r"<th\b[^>]*>", html))


def test_page_needs_no_network(written: tuple[DriftResult, Path]) -> None:
    html = written[1].read_text(encoding="utf-8")
    page = _Page(html)
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\((?!#)|@import|https?://", html)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} | set(re.findall(r"url\(#([^)]*)\)", html)) <= set(page.ids)


def test_page_follows_the_theme(written: tuple[DriftResult, Path]) -> None:
    html = written[1].read_text(encoding="utf-8")
    figures = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert "prefers-color-scheme: dark" in html
    assert not re.search(r"#[0-9a-f]{6}\b(?![^<]*\")", figures.replace("#ffffff", ""))
    assert "DejaVu" not in figures and "var(--ink)" in figures
    assert figures.count('role="img"') == 5


def _contrast(one: str, two: str) -> float:
    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_sufficient(written: tuple[DriftResult, Path]) -> None:
    html = written[1].read_text(encoding="utf-8")
    for block in re.findall(r":root \{(.*?)\}", html, flags=re.DOTALL)[:2]:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
        for text in ("ink", "muted", "blue", "rust", "green"):
            for ground in ("ground", "paper"):
                assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


def test_files(written: tuple[DriftResult, Path]) -> None:
    folder = written[1].parent
    assert (folder / "rows.csv").read_text(encoding="utf-8").count("\n") == 1 + 6 * 5
    names = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert names == {"accuracy", "yield", "balance", "classes", "variance"}
    for path in (folder / "figures").glob("*.svg"):
        root = ET.fromstring(path.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "<text" in path.read_text(encoding="utf-8")


def test_figures_are_the_same_bytes_and_leave_settings_alone() -> None:
    before = dict(matplotlib.rcParams)
    result = _result()
    assert [p.svg for p in draw(result, 0.01)] == [p.svg for p in draw(result, 0.01)]
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("case", [
    {"chips": 1}, {"chips": 2, "ages": (0.0,)}, {"chips": 2, "ages": (3600.0,)}, {"classes": ()},
    {"classes": tuple(f"class {k}" for k in range(120))}, {"chips": 70},
    {"ages": tuple(float(t) for t in np.geomspace(1, 3e7, 25))},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("budget", [0.0, 0.03, 0.9])
def test_unusual_results(tmp_path: Path, case: dict, budget: float) -> None:
    result = _result(**case)
    page = _Page(mho.report(result, tmp_path, budget=budget).read_text(encoding="utf-8"))
    assert result.sentence(budget) in page.text.replace("\u00a0", " ")
    assert not re.search(r"\b(nan|inf|None)\b", page.text)


def test_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        mho.report(_result(chips=2), tmp_path / "file" / "report")
    with pytest.raises(WrongSetting):
        mho.report(_result(chips=2), tmp_path, budget=1.5)


def test_no_pyplot() -> None:
    path = Path(__file__).parents[2] / "src"
    code = "import sys, mho.reports; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(path)},
    )
    assert done.stdout.strip() == "False", done.stderr

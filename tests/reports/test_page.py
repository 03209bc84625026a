"""What every page keeps: one script of a known hash, nothing from elsewhere, names that stay text; and its small parts."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex

import pytest

import mho
from mho.reports.page import folded, split, unbroken

HOSTILE = "a\"><img src=x onerror=alert(1)>'</script><script>alert(2)</script>{{ 7*7 }}${x} ]]>"


@pytest.fixture(scope="module", params=["drift", "advice", "comparison"])
def page(request, result_of, advice_of, read, tmp_path_factory):
    out = tmp_path_factory.mktemp("pages") / request.param
    if request.param == "drift":
        thing = result_of(
            model=HOSTILE, classes=(HOSTILE, "b"), command=f"mho drift {HOSTILE}", hardware={"name": HOSTILE}
        )
    elif request.param == "advice":
        thing = advice_of(HOSTILE)
    else:
        other = result_of(lost=0.05, hardware={"name": HOSTILE, HOSTILE: HOSTILE})
        thing = mho.compare(result_of(), other, names=["first", HOSTILE], command=HOSTILE)
    return read(mho.report(thing, out))


def test_one_script_runs_and_its_hash_is_pinned(page):
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.html)
    policy = policy.replace("&#39;", "'")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy
    assert page.handlers == [] and page.html.index("Content-Security-Policy") < page.html.index("<style")


def test_nothing_is_fetched(page):
    assert all(link.startswith("#") for link in page.links)
    outside = re.sub(r"<script>.*?</script>", "", page.html, flags=re.DOTALL)
    assert not re.search(r"url\((?!#)|@import|https?://", outside)
    assert not re.search(
        r"fetch\(|XMLHttpRequest|import\(|eval\(|innerHTML|https?://(?!www\.w3\.org/2000/svg)", page.scripts[0]
    )
    assert len(page.ids) == len(set(page.ids))
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", outside)
    assert len(headings) == len(set(headings)) > 3
    wanted = {link[1:] for link in page.links} | set(re.findall(r"url\(#([^)]*)\)", outside))
    assert wanted | set(re.findall(r'aria-(?:labelledby|describedby)="([^"]*)"', outside)) <= set(page.ids)


def test_names_stay_text(page):
    assert "img" not in page.tags and page.tags.count("script") == 1
    assert HOSTILE in page.words


def test_every_table_is_whole(page):
    """Each row has as many cells as there are heads, and heads are named."""
    for table in re.findall(r"<table.*?</table>", page.html, flags=re.DOTALL):
        head, *rows = re.findall(r"<tr.*?</tr>", table, flags=re.DOTALL)
        heads = re.findall(r"<th\b[^>]*>(.*?)</th>", head, flags=re.DOTALL)
        assert heads and all(heads)
        assert {len(re.findall(r"<t[hd]\b", row)) for row in rows} == {len(heads)}


def test_an_advice_is_told_whole(advice_of, read, tmp_path):
    advice = advice_of()
    words = read(mho.report(advice, tmp_path)).words
    for text in (
        advice.sentence(), "norm recalibration + more", "for choosing only", "recommended", "+8.00 [unknown]",
        "+9.00 [+5.00, +13.00]", "does not apply: norm recalibration", "# norm recalibration",
        "--data 'cifar10?prep=imagenet&n=4000' \\ --budget 1%", "less the budget of 1 %",
    ):  # fmt: skip
        assert text in words, text
    assert (tmp_path / "advice.csv").is_file()


@pytest.mark.parametrize(
    "command",
    [
        "mho drift published:cifar10_resnet20 --data 'cifar10?prep=imagenet&n=4000' --set 'a b=--c' --out \"it's\" --chips 3",
        "mho drift short",
        "mho 'unbalanced " + "x" * 80,
        "mho compare " + " ".join(f"out/{i:09d}" for i in range(9)),
    ],
)
def test_a_folded_command_means_the_same(command):
    text = folded(command)
    if "unbalanced" in command:
        assert text == command
    else:
        assert shlex.split(text.replace("\\\n", "")) == shlex.split(command)
        assert ("\n" in text) == ("--chips" in command)


def test_small_parts():
    assert split("92.3 % [92.0, 92.6]") == ("92.3 %", "[92.0, 92.6]") and split("none") == ("none", "")
    assert (
        unbroken("at 92.3 % [92.0, 92.6] after 1 month") == "at 92.3\u00a0%\u00a0[92.0,\u00a092.6] after 1\u00a0month"
    )

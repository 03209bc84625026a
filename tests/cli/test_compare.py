"""`mho compare` as it is typed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[2] / "studies" / "drift"


def _of_bits(bits):
    """A stored run of ResNet-20 with converters of so many bits, and a plain PCM array around them."""
    for folder in sorted(STUDY.glob("pcm*")):
        header = json.loads((folder / "run.json").read_text())["header"]
        if header["model"] == "ResNet-20" and header["hardware"]["adc"]["bits"] == bits:
            return str(folder)
    raise AssertionError(f"no run of {bits} bits is stored")


RUNS = [_of_bits(8), _of_bits(6)]


@pytest.fixture
def call(commands):
    return partial(commands.run, "compare")


def test_stored_runs_of_a_study(call, tmp_path):
    done = call(*RUNS, "--name", "8 bits", "--name", "6 bits", "--budget", "2%", "--out", "new/page", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "adc.bits: 8 | 6" in done.stdout
        and "6 bits is " in done.stdout
        and " worse than 8 bits after 1 year." in done.stdout
    )
    assert "report: new/page/compare.html" in done.stdout
    html = (tmp_path / "new" / "page" / "compare.html").read_text(encoding="utf-8")
    assert "lifetime at 2\u00a0%" in html or "lifetime at 2 %" in html
    assert "--name &#39;8 bits&#39;" in html  # the command that made it


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (RUNS[:1], "1 run to compare"), ([RUNS[0], RUNS[0]], "given twice"), ([RUNS[0], "no-such-run"], "no-such-run"),
        ([*RUNS, "--name", "one"], "a name of its own"), ([*RUNS, "--budget", "much"], "budget: 'much'"),
        ([*RUNS, "--budget", "200%"], "budget"), ([*RUNS, "--confidence", "95"], "confidence = 95"),
    ],
    ids=str,
)  # fmt: skip
def test_mistakes_end_in_one_message(call, words, named, tmp_path):
    done = call(*words, cwd=tmp_path)
    assert done.returncode == 2 and named in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())

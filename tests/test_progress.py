"""One mechanism of progress: steps to a callable, a bar on a terminal, plain lines elsewhere, nothing where nobody asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mho import progress
from mho.errors import WrongSetting
from mho.progress import Step, interrupted, telling


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_step_says_how_far_what_is_known_and_what_is_left():
    step = Step("drift", 3, 8, "chips", 40.2, "accuracy 88.4 % after 1 year")
    assert str(step) == "drift: 3 of 8 chips (38 %), accuracy 88.4 % after 1 year, about 40 s left"
    assert str(Step("bits", 2, None, "choices")) == "bits: 2 choices"
    assert Step("advise", 3.7, 12, "trials").amount == "3 of 12 trials (31 %)"
    assert str(Step("fit", 8, 8, "steps", 0.0, "loss 1")) == "fit: 8 of 8 steps (100 %), loss 1", "nothing is left"


def test_the_time_left_counts_what_was_done_in_this_call(clock):
    seen = []
    with telling(seen.append, "drift", "chips") as told:
        told(10, 20)  # stored by an earlier call
        clock[0] += 6
        told(12, 20)
        told(12, 26)
        told(13, None)
    assert [step.left_s for step in seen] == [None, 24.0, 42.0, None]
    assert [step.share for step in seen] == [0.5, 0.6, 12 / 26, None]


def test_words_and_results_are_made_when_they_are_asked_for():
    asked = []
    with telling(lambda step: step.share, "x", "things") as told:
        told(1, 2, known=lambda: asked.append("words") or "", result=lambda: asked.append("result"))
        assert asked == []
        assert told.last.known == "" and told.last.result is None
    assert asked == ["words", "result"]


def test_lines_where_nobody_sees_a_bar(clock, capsys):
    with telling(True, "drift", "chips") as told:
        for done in range(101):
            told(done, 100)
            clock[0] += 0.5
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("drift: 4 of 100 chips (4 %)") and lines[0].endswith("about 48 s left")
    assert lines[-1] == "drift: 100 of 100 chips (100 %)" and 8 <= len(lines) <= 12
    with telling(True, "drift", "chips") as told:
        told(0, 2)
        clock[0] += 1.9
        told(2, 2)
    assert capsys.readouterr().err == "", "what takes less than two seconds prints nothing"


@pytest.mark.parametrize("silent", [None, False])
def test_silence(silent, clock, capsys):
    with telling(silent, "drift", "chips") as told:
        clock[0] += 100
        told(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal():
    code = (
        "import sys, time, mho.progress as p\nsys.stderr.isatty = lambda: True\n"
        "with p.telling(True, 'drift', 'chips') as told:\n"
        "    told(0, 8)\n    time.sleep(0.02)\n    told(3, 8, known='[bold] 88 %')\n"
    )
    env = {"FORCE_COLOR": "1", "COLUMNS": "120", "TERM": "xterm", "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, timeout=60)
    assert (
        "3 of 8 chips (38 %)" in done.stderr
        and "[bold] 88 %" in done.stderr
        and "━" in done.stderr
        and "left" in done.stderr
    )


def test_what_was_interrupted_is_the_outermost_work():
    with pytest.raises(KeyboardInterrupt), telling(None, "advise", "trials") as outer:
        outer(1, 3)
        with telling(lambda step: outer(1.5, 3, known=step.work), "drift", "chips") as inner:
            inner(4, 8)
            raise KeyboardInterrupt
    assert str(interrupted()).startswith("advise: 1 of 3 trials (50 %), drift")


@pytest.mark.parametrize("wrong", [3, "yes", [print]])
def test_what_is_no_listener_is_refused(wrong):
    with pytest.raises(WrongSetting, match="True for a bar"), telling(wrong, "x", "y"):
        pass

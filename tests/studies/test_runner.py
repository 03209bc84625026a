"""Arms are measured once, a killed run goes on, and what is stored is what is drawn."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, BadResults, WrongSetting
from mho.reports.study import write_study
from mho.studies import Arm, Claim, Study, Table, above, show_points
from mho.studies.runner import results, run, stored


class Counted(Study):
    name, title, question, protocol = "counted", "t", "q", "p"

    def __init__(self, store=None, fail_at=None):
        self.ran, self.store, self.fail_at = [], store, fail_at

    def arms(self, scale):
        return [Arm("plain", "plain"), Arm("tuned", "tuned", seeds=2), Arm("run", "run")]

    def run(self, arm, job):
        if job.out.name == self.fail_at:
            raise KeyboardInterrupt
        self.ran.append(job.out.name)
        if arm.name == "run":
            self.store(job.out, 0.0, 0, chips=self.chips[job.scale])
            return None
        return [{"seed": job.seed, "scale": job.scale}]

    def tables(self, results):
        return [Table(("arm",), [(name,) for name in results])]


class Untrained(Counted):
    def arms(self, scale):
        return [Arm("plain", "plain")]


def test_every_arm_is_measured_once_and_more_seeds_are_added(tmp_path, store):
    study = Counted(store)
    run(study, tmp_path, "smoke")
    assert study.ran == ["plain", "tuned-seed0", "run", "tuned-seed1"]
    run(study, tmp_path, "smoke", seeds=4)
    assert study.ran[4:] == ["tuned-seed2", "tuned-seed3"]
    found = results(study, tmp_path)
    assert list(found) == ["plain", "tuned", "run"] and found.scale == "smoke"
    assert {seed: rows[0]["seed"] for seed, rows in found["tuned"].runs.items()} == {n: n for n in range(4)}
    run(study, tmp_path, "smoke", seeds=1)
    assert len(study.ran) == 6 and len(results(study, tmp_path)["tuned"].runs) == 4


def test_checkpoints_last_until_the_rows_are_stored(tmp_path):
    class Long(Untrained):
        def run(self, arm, job):
            begun = job.checkpoints.exists()
            job.checkpoints.mkdir(parents=True, exist_ok=True)
            if not begun:
                raise KeyboardInterrupt
            return [{"begun": begun}]

    with pytest.raises(KeyboardInterrupt):
        run(Long(), tmp_path, "smoke")
    run(Long(), tmp_path, "smoke")
    assert [path.name for path in (tmp_path / "plain").iterdir()] == ["rows.json"]
    assert stored(tmp_path / "plain") == [{"begun": True}]
    (tmp_path / "plain" / "checkpoints").mkdir()  # as a kill right behind the rows leaves it
    run(Long(), tmp_path, "smoke")
    assert [path.name for path in (tmp_path / "plain").iterdir()] == ["rows.json"]


def test_a_killed_run_goes_on(tmp_path, store):
    killed, again = Counted(store, fail_at="run"), Counted(store)
    with pytest.raises(KeyboardInterrupt):
        run(killed, tmp_path, "smoke")
    before = {path: path.read_bytes() for path in tmp_path.rglob("rows.json")}
    run(again, tmp_path, "smoke")
    assert killed.ran == ["plain", "tuned-seed0"] and again.ran == ["run", "tuned-seed1"]
    assert len(before) == 2 and all(path.read_bytes() == kept for path, kept in before.items())


def test_a_run_with_fewer_chips_is_not_complete(tmp_path, store):
    study = Counted(store)
    store(tmp_path / "run", 0.0, 0, chips=study.chips["smoke"] - 1)
    (tmp_path / "study.json").write_text(json.dumps({"study": "counted", "scale": "smoke"}))
    with pytest.raises(BadInput):  # the made-up store cannot go on: what matters is that the arm was begun
        run(study, tmp_path, "smoke", only="run")
    assert study.ran == ["run"]


def test_only(tmp_path):
    study = Counted()
    run(study, tmp_path, "smoke", only="seed1")
    assert study.ran == ["tuned-seed1"]


@pytest.mark.parametrize(
    ("study", "options", "word"),
    [
        (Counted(), {"only": "nothing"}, "plain, tuned, run"),
        (Counted(), {"seeds": 0}, "at least 1"),
        (Counted(), {"device": "gpu"}, "devices of this machine are cpu"),
        (Untrained(), {"seeds": 2}, "no seeds and no device"),
        (Untrained(), {"device": "cuda"}, "no seeds and no device"),
    ],
)
def test_refused(tmp_path, study, options, word):
    with pytest.raises(WrongSetting, match=word):
        run(study, tmp_path / "out", "smoke", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_holds_one_study_and_one_scale(tmp_path, store):
    with pytest.raises(BadResults, match="no arm of the study is stored"):
        results(Counted(store), tmp_path)
    run(Counted(store), tmp_path, "smoke")
    with pytest.raises(BadResults, match="holds scale 'smoke', not 'cpu'"):
        run(Counted(store), tmp_path, "cpu")
    other = Counted(store)
    other.name = "other"
    with pytest.raises(BadResults, match="holds the study 'counted', not 'other'"):
        results(other, tmp_path)
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(BadResults, match="not the note of a study"):
        results(Counted(store), tmp_path)


def test_damaged_rows(tmp_path):
    (tmp_path / "rows.json").write_text('[{"a": ')
    with pytest.raises(BadResults, match="no JSON"):
        stored(tmp_path)
    assert stored(tmp_path / "nothing") is None


class Gains(Untrained):
    chips: ClassVar = {"smoke": 8, "cpu": 8, "full": 8}
    claims = (Claim("It wins", lambda results: above("it", results["b"].gain(results["a"], "1 h"))),)

    def arms(self, scale):
        return [Arm("a", "a"), Arm("b", "b"), Arm("c", "c")]

    def tables(self, results):
        return [Table(("arm",), [(name, str(o.gain(results["a"], "1 h").value)) for name, o in results.items()])]


def test_an_arm_that_is_half_measured_is_left_out_and_named(tmp_path, store):
    (tmp_path / "study.json").write_text(json.dumps({"study": "counted", "scale": "cpu"}))
    store(tmp_path / "b", 0.01, 0, chips=3)
    with pytest.raises(
        BadResults, match=r"no arm .* here; unfinished: b \(3 of 8 chips\) -> .*run counted --scale cpu"
    ):
        results(Gains(), tmp_path)
    store(tmp_path / "a", 0.0, 0)
    store(tmp_path / "c", 0.01, 0)
    texts = {path.name: path.read_text() for path in write_study(Gains(), tmp_path) if path.suffix == ".md"}
    assert (
        "**Not finished**, and left out here: b (3 of 8 chips). `mho study run counted --scale cpu`"
        in texts["summary.md"]
    )
    assert "**Open**: arm 'b' is not stored" in texts["summary.md"]
    assert "| a |" in texts["table.md"] and "| c |" in texts["table.md"] and "| b |" not in texts["table.md"]
    assert "Gains are in percentage points, intervals" in texts["summary.md"]


def test_gains_of_losses_have_their_unit(tmp_path):
    model = nn.Linear(3, 4)
    torch.nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(0))
    data = [(torch.eye(3).repeat(4, 1), torch.arange(12) % 4)]
    for name, preset in (("a", "pcm"), ("b", "ideal"), ("c", "pcm")):
        net = mho.calibrate(mho.to_analog(model, preset), data)
        mho.drift(net, data, "1 h", chips=8, task="tokens", out=tmp_path / name)
    (tmp_path / "study.json").write_text(json.dumps({"study": "counted", "scale": "cpu"}))
    found = results(Gains(), tmp_path)
    gain = found["b"].gain(found["a"], "1 h")
    assert show_points(gain) == f"{gain.value:+.3g} nats [{gain.low:+.3g}, {gain.high:+.3g}]" and gain.low != gain.high
    (summary,) = (path.read_text() for path in write_study(Gains(), tmp_path) if path.name == "summary.md")
    assert f"it {show_points(gain)}" in summary and "percentage points where they do not say nats, intervals" in summary

from __future__ import annotations

import copy
import csv
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.errors import BadInput, BadResults, MissingExtra, NotYet, WrongSetting
from mho.measure.evaluate import TestData, measure
from mho.nn.source import Injected
from mho.store import files
from mho.tasks import IGNORED, Several
from mho.training import HWA, Gaussian
from mho.training.loop.fit import fit
from mho.training.loop.loader import shuffled

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("resumable", HERE / "resumable.py")
resumable = importlib.util.module_from_spec(_spec)
sys.modules["resumable"] = resumable
_spec.loader.exec_module(resumable)
DATA = [resumable.samples()]
VAL = [(DATA[0][0][:90], DATA[0][1][:90])]


@pytest.fixture(scope="module")
def whole():
    return resumable.run(None)


def _net(kind="digital"):
    return resumable.network(kind)


def _weights(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def _same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def _fit(net, data=DATA, **options):
    return fit(net, data, **{"epochs": 2, "batch": 32, "lr": 0.05, "progress": False, **options})


# Going on.


def test_stopping_after_every_single_step_changes_nothing(whole, tmp_path):
    calls, end = 0, "out of time"
    while "out of time" in end:
        calls, end = calls + 1, resumable.run(str(tmp_path / "run"), max_seconds=1e-9)
    assert end == whole and calls == 21
    assert resumable.run(str(tmp_path / "run"), resume="must") == whole


def test_kill_9_in_the_middle_of_an_epoch_changes_nothing(whole, tmp_path):
    out = tmp_path / "run"
    start = f"import sys; sys.path.insert(0, {str(HERE)!r}); import resumable; resumable.main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "--to", str(tmp_path), "--out", str(out), "--die-at", "10"],
        timeout=240,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    position = torch.load(out / "last.ckpt", weights_only=True)["state"]
    assert (position["epoch"], position["part"], position["step"]) == (1, 2, 9)
    assert resumable.run(str(out)) == whole


def test_an_end_in_the_middle_of_any_write_changes_nothing(whole, tmp_path, monkeypatch):
    """Before a file is in its place, after that, between the best and the last checkpoint."""
    sync, draw, ends = files._sync, random.Random(0), 0

    def end(path):
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        sync(path)

    monkeypatch.setattr(files, "_sync", end)
    for _ in range(100):
        left = draw.randint(2, 7)
        try:
            assert resumable.run(str(tmp_path / "run")) == whole
            break
        except KeyboardInterrupt:
            ends += 1
    assert 10 < ends < 100 and {f.name for f in (tmp_path / "run").iterdir()} == {
        *("run.json", "last.ckpt", "best.ckpt", ".lock"),
    }


def test_the_same_network_may_be_handed_in_again(tmp_path):
    net, options = _net(), {"epochs": 2, "val": VAL, "out": tmp_path}
    assert _fit(net, **options, max_seconds=1e-9).stopped == "out of time"
    result = _fit(net, **options)
    assert result.stopped == "all epochs done" and _fit(net, **options) == result
    alone = _net()
    _fit(alone, epochs=2, val=VAL)
    assert _same(_weights(net), _weights(alone))


@pytest.mark.parametrize(
    "change", [{"lr": 0.01}, {"epochs": 3}, {"seed": 1}, {"hwa": resumable.Shaken()}, {"data": [DATA[0], DATA[0]]}]
)
def test_another_run_in_the_folder_is_refused_and_kept(tmp_path, change):
    _fit(_net(), out=tmp_path, epochs=1)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(BadResults, match=f"another run.*{next(iter(change))}"):
        _fit(_net(), **{"out": tmp_path, "epochs": 1, **change})
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


@pytest.mark.parametrize("hwa", [None, HWA(weights=Gaussian(sigma=0.04), products=2.0)])
def test_more_epochs_lengthen_a_training_to_what_they_give_at_once(tmp_path, hwa):
    options = {"hwa": hwa, "val": VAL, "schedule": "constant"}
    at_once, grown = (_net("digital" if hwa is None else "analog") for _ in range(2))
    whole = _fit(at_once, epochs=4, out=tmp_path / "whole", **options)
    _fit(grown, epochs=1, out=tmp_path / "run", **options)
    _fit(grown, epochs=3, out=tmp_path / "run", max_seconds=1e-9, **options)
    result = _fit(grown, epochs=4, out=tmp_path / "run", **options)
    assert _same(_weights(at_once), _weights(grown)) and result.steps == whole.steps and len(result.history) == 4
    assert [row["loss"] for row in result.history] == [row["loss"] for row in whole.history]
    assert (tmp_path / "run" / "run.json").read_text() == (tmp_path / "whole" / "run.json").read_text()
    with pytest.raises(BadResults, match=r"epochs: 4 there, 2 asked for\) -> give another out, or at least 4 epochs"):
        _fit(grown, epochs=2, out=tmp_path / "run", **options)


def test_a_training_that_cannot_be_lengthened_is_left_as_it_was(tmp_path):
    net, options = _net("analog"), {"hwa": HWA(weights=Gaussian(sigma=0.04)), "schedule": "constant", "out": tmp_path}
    _fit(net, epochs=1, **options)
    before = (tmp_path / "run.json").read_text()
    state = torch.load(tmp_path / "last.ckpt")
    assert state["session"]["steps"] == state["session"]["done"], "a number, as in every checkpoint so far"
    state["session"]["recipe"] = "another"
    torch.save(state, tmp_path / "last.ckpt")
    with pytest.raises(WrongSetting, match="recipe"):
        _fit(net, epochs=2, **options)
    assert (tmp_path / "run.json").read_text() == before


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schedule": "onecycle"}, "the schedule 'onecycle' gives each step its place.*schedule='constant'"),
        ({"schedule": "constant", "hwa": resumable.Shaken()}, "the schedule of hwa"),
        (
            {"schedule": "constant", "hwa": HWA(weights=Gaussian(sigma=0.04), schedule={"warmup": 0.5})},
            "the schedule of hwa",
        ),
    ],
)
def test_more_epochs_are_refused_where_steps_depend_on_their_number(tmp_path, change, why):
    net = _net("analog" if "hwa" in change else "digital")
    _fit(net, epochs=1, out=tmp_path, **change)
    with pytest.raises(BadResults, match=why):
        _fit(net, epochs=2, out=tmp_path, **change)


def test_other_first_weights_are_another_run(tmp_path):
    _fit(_net(), out=tmp_path, epochs=1)
    other = _net()
    other[0].weight.data += 1
    with pytest.raises(BadResults, match="weights"):
        _fit(other, out=tmp_path, epochs=1)


def test_folders_that_cannot_serve_are_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    net = _net()
    before = _weights(net)
    with pytest.raises(BadInput, match="cannot write"):
        _fit(net, out=tmp_path / "file" / "run")
    with pytest.raises(BadInput, match="no checkpoint"):
        _fit(net, out=tmp_path / "new", resume="must")
    _fit(_net(), out=tmp_path / "old", epochs=1)
    with pytest.raises(BadInput, match="a run already"):
        _fit(net, out=tmp_path / "old", epochs=1, resume="never")
    (tmp_path / "old" / "last.ckpt").write_bytes(b"PK broken")
    with pytest.raises(BadResults, match="damaged"):
        _fit(net, out=tmp_path / "old", epochs=1)
    assert _same(before, _weights(net))


# What it does.


def test_five_lines_of_ones_own_give_the_same_weights():
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        nets.append(mho.calibrate(mho.to_analog(model, mho.Hardware.preset("pcm-cells")), DATA))
    recipe = HWA(weights=Gaussian(sigma=0.04))
    _fit(nets[0], schedule="constant", hwa=recipe)

    net = nets[1].train()
    session, optimizer = recipe.attach(net, steps=14), torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(2):
        for x, y in shuffled(DATA, batch=32, epoch=epoch):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
            session.step()
    session.detach()
    assert _same(_weights(nets[0]), _weights(nets[1]))


def test_it_learns_keeps_the_best_weights_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net, state = _net(), torch.get_rng_state()
    before = mho.accuracy(net, VAL)
    result = _fit(net, epochs=6, val=VAL, lr=0.3)
    assert result.best == mho.accuracy(net, VAL) == max(r["score"] for r in result.history) > before
    assert result.history[result.best_epoch]["score"] == result.best
    assert result.history[-1]["loss"] < 0.8 * result.history[0]["loss"] and result.steps == 42
    assert not net.training and all(p.grad is None for p in net.parameters())
    assert torch.equal(state, torch.get_rng_state()) and not list(tmp_path.iterdir())
    assert (result.last_checkpoint, result.best_checkpoint) == (None, None)


def test_torchs_generator_decides_nothing():
    ends = []
    for state in (0, 1):
        net = _net("analog")
        torch.manual_seed(state)
        _fit(net, hwa=HWA(weights=Gaussian(sigma=0.04)), augment=resumable.jitter, epochs=1)
        ends.append(_weights(net))
    assert _same(*ends)
    net = _net("analog")
    _fit(net, hwa=HWA(weights=Gaussian(sigma=0.04)), augment=resumable.jitter, epochs=1, seed=1)
    assert not _same(ends[0], _weights(net))


def test_parts_add_up_to_a_larger_batch():
    nets = [_net(), _net()]
    _fit(nets[0], batch=30, hwa=resumable.Shaken())
    result = _fit(nets[1], batch=10, accumulate=3, hwa=resumable.Shaken())
    assert result.steps == 14
    torch.testing.assert_close(_weights(nets[0]), _weights(nets[1]), rtol=1e-5, atol=1e-6)


def test_training_stops_when_nothing_improves():
    net = _net()
    for p in net.parameters():
        p.requires_grad_(p.dim() == 1 and len(p) == 16)
    result = _fit(net, epochs=9, early_stop=2, val=VAL, lr=1e-12, schedule="constant")
    assert result.stopped == "no improvement over 2 epochs" and len(result.history) == 3 and result.best_epoch == 0


def test_a_teacher_replaces_labels():
    teacher, student = _net(), _net()
    _fit(teacher, epochs=4, lr=0.3)
    x = DATA[0][0]
    answers = teacher(x).argmax(1)
    before = float((student(x).argmax(1) == answers).double().mean())
    kept = _weights(teacher)
    _fit(student, [x], epochs=8, lr=0.3, teacher=teacher, distillation=(2.0, 1.0))
    assert float((student(x).argmax(1) == answers).double().mean()) > max(0.9, before)
    assert _same(kept, _weights(teacher))


def test_one_output_learns_too():
    x, y = DATA[0][0], (DATA[0][1] > 0).long()

    def accuracy():
        return measure(net, TestData.of([(x, y)], task=task), chip=-1, age_s=0.0, address=(0,)).accuracy

    for task, last in (("logit", []), ("probability", [nn.Sigmoid()])):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 1), *last)
        before = accuracy()
        result = _fit(net, [(x, y)], epochs=5, lr=0.5, task=task, val=[(x, y)])
        assert result.best == accuracy() > before + 0.1


class Exits(nn.Module):
    """Two outputs from one body."""

    def __init__(self):
        super().__init__()
        self.body, self.early, self.late = nn.Linear(6, 16), nn.Linear(16, 3), nn.Linear(16, 3)

    def forward(self, x):
        h = self.body(x).relu()
        return {"early": self.early(h), "late": self.late(h)}


class Names(nn.Module):
    """Inputs by name."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, given):
        return self.layer(given["a"] - given["b"])


def test_every_task_trains_and_keeps_what_its_headline_calls_best():
    x, y = DATA[0]
    tokens = torch.randint(0, 5, (40, 7), generator=torch.Generator().manual_seed(2))
    following = (tokens + 1) % 5
    following[::2, 3:] = IGNORED
    for task, net, inputs, targets, falls in (
        ("regression", lambda: nn.Linear(6, 1), x, x @ torch.arange(6.0), True),
        ("tokens", lambda: nn.Sequential(nn.Embedding(5, 8), nn.Linear(8, 5)), tokens, following, True),
        (Several({"early": "classes", "late": "classes"}, result="late"), Exits, x, y, False),
        ("classes", Names, {"a": x, "b": torch.zeros_like(x)}, y, False),
    ):
        torch.manual_seed(0)
        result = _fit(net := net(), [(inputs, targets)], epochs=5, batch=16, lr=0.1, val=[(inputs, targets)], task=task)
        scores = [row["score"] for row in result.history]
        assert result.best == (min(scores) if falls else max(scores)), task
        assert (scores[-1] < scores[0]) is falls, task
        assert result.history[-1]["loss"] < 0.9 * result.history[0]["loss"], task


def test_autocast_keeps_the_weights_in_float32():
    nets = [_net(), _net()]
    results = [_fit(net, precision=p) for net, p in zip(nets, ("32", "bf16-mixed"), strict=True)]
    assert all(p.dtype == torch.float32 for p in nets[1].parameters())
    losses = [result.history[-1]["loss"] for result in results]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)


def test_optimizers_and_learned_ranges():
    net = _net()
    _fit(net, optimizer=lambda parameters: torch.optim.Adagrad(parameters, lr=0.1), lr=None)
    net = mho.to_analog(_net(), mho.Hardware.preset("pcm-cells").replace(dac__range="learned"))
    mho.calibrate(net, DATA)
    before = float(net[0].matrix.input_range.detach())
    _fit(net, optimizer="adamw", weight_decay=0.5, lr=0.01)
    assert float(net[0].matrix.input_range.detach()) != before


# When it goes wrong.


def test_a_loss_that_is_not_finite_ends_with_the_last_good_weights(tmp_path):
    net = _net()
    message = r"the loss is (nan|inf) in epoch \d, after step \d+; the last good checkpoint is .*last"
    with pytest.raises(BadInput, match=message):
        _fit(net, lr=1e30, out=tmp_path, save_every=0.0, hwa=resumable.Shaken(), epochs=3)
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["net"]
    assert _same(kept, _weights(net)) and all(bool(torch.isfinite(v).all()) for v in kept.values())
    assert not net.training and not net._forward_pre_hooks


def test_hardware_aware_training_is_detached_after_an_error():
    net, calls = _net("analog"), []

    def breaks(x, generator):
        calls.append(x)
        return x if len(calls) == 1 else 1 // 0  # not in the trial pass already

    with pytest.raises(ZeroDivisionError):
        _fit(net, hwa=HWA(weights=Gaussian(sigma=0.04)), augment=breaks)
    assert not net.training and not any(isinstance(m, Injected) for m in net.modules())


def test_ctrl_c_stays_an_interruption_and_the_run_goes_on(tmp_path):
    net, calls, handler = _net(), 0, signal.getsignal(signal.SIGINT)

    def interrupt(module, arguments):
        nonlocal calls
        calls += module.training
        if calls == 5:
            os.kill(os.getpid(), signal.SIGINT)

    hook = net.register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        _fit(net, out=tmp_path, save_every=0.0)
    assert signal.getsignal(signal.SIGINT) is handler
    hook.remove()
    _fit(net, out=tmp_path)
    alone = _net()
    _fit(alone)
    assert _same(_weights(net), _weights(alone))


class Noted:
    """A logger of one's own."""

    def __init__(self):
        self.lines = []

    def log(self, step, values):
        self.lines.append((step, values))


def test_loggers_write_where_the_run_is(tmp_path, monkeypatch):
    noted = Noted()
    result = _fit(_net(), out=tmp_path, loggers=("csv", "tensorboard", noted), val=VAL)
    with (tmp_path / "csv" / "from_step_0.csv").open() as file:
        rows = list(csv.DictReader(file))
    first, middle, second = rows
    assert [(float(row["epoch_loss"]), float(row["epoch_score"])) for row in (first, second)] == [
        (row["loss"], row["score"]) for row in result.history
    ]
    assert (first["step"], middle["step"], second["step"]) == ("7", "10", "14") and middle["epoch_loss"] == ""
    assert [step for step, _ in noted.lines] == [7, 10, 14] and noted.lines[1][1]["loss"] == float(middle["loss"])
    assert list(tmp_path.glob("tensorboard/events*"))
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingExtra, match=rf"'{name}'.*mho\[{name}\]"):
            _fit(_net(), out=tmp_path / name, loggers=(name,))
        assert not (tmp_path / name).exists()


def test_a_run_that_goes_on_logs_into_a_file_of_its_own(tmp_path):
    options = {"out": tmp_path, "loggers": ("csv",), "epochs": 1}
    while _fit(_net(), max_seconds=1e-9, **options).stopped == "out of time":
        pass
    assert len(list(tmp_path.glob("csv/from_step_*.csv"))) == 7


X, Y = DATA[0]


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"data": []}, BadInput, "no sample"),
        ({"data": [(X, Y + 1)]}, BadInput, "label 3.*3 outputs"),
        ({"val": [(X, Y - 1)]}, BadInput, "val: there is the label -1"),
        ({"val": [X]}, BadInput, "val has no labels"),
        ({"data": [X]}, BadInput, "no labels and no teacher"),
        ({"data": [X], "teacher": _net()}, BadInput, "share is 0.9"),
        ({"epochs": 0}, WrongSetting, "epochs = 0"),
        ({"batch": True}, WrongSetting, "batch = True"),
        ({"accumulate": 0}, WrongSetting, "accumulate"),
        ({"lr": 0.0}, WrongSetting, "lr = 0"),
        ({"lr": float("nan")}, WrongSetting, "lr = nan"),
        ({"weight_decay": -1.0}, WrongSetting, "weight_decay"),
        ({"optimizer": "adam"}, WrongSetting, "sgd, adamw"),
        ({"optimizer": torch.optim.SGD}, WrongSetting, "belong to optimisers given by name"),
        ({"optimizer": "adamw", "momentum": 0.9}, WrongSetting, "no momentum"),
        ({"momentum": 1.0}, WrongSetting, "momentum = 1"),
        ({"schedule": "linear"}, WrongSetting, "onecycle"),
        ({"early_stop": 2}, WrongSetting, "val"),
        ({"early_stop": 0, "val": VAL}, WrongSetting, "early_stop = 0"),
        ({"precision": "64"}, WrongSetting, "bf16-mixed"),
        ({"precision": "16-mixed"}, WrongSetting, "CUDA"),
        ({"task": "ranking"}, WrongSetting, "logit"),
        ({"data": [(X, Y.clamp(max=1))], "task": "logit", "teacher": _net()}, NotYet, "distillation"),
        ({"distillation": (4.0, 0.9)}, WrongSetting, "teacher"),
        ({"teacher": _net(), "distillation": (0.0, 0.9)}, WrongSetting, "temperature"),
        ({"resume": "yes"}, WrongSetting, "auto, must, never"),
        ({"resume": "must"}, WrongSetting, "out=DIR"),
        ({"save_every": -1.0}, WrongSetting, "save_every"),
        ({"max_seconds": 0.0}, WrongSetting, "max_seconds"),
        ({"devices": 2}, WrongSetting, "torchrun --nproc-per-node 2"),
        ({"loggers": (object(),)}, WrongSetting, "log\\(step, values\\)"),
        ({"loggers": ("csv",)}, WrongSetting, "out=DIR"),
        ({"loggers": ("visdom",)}, WrongSetting, "mlflow"),
        ({"hwa": HWA(weights=Gaussian(sigma=0.04))}, WrongSetting, "convert it first"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_the_weights_stay(options, error, named):
    net = _net().eval()
    before = _weights(net)
    with pytest.raises(error, match=named):
        _fit(net, **options)
    assert _same(before, _weights(net)) and not net.training


def test_networks_that_cannot_be_trained_are_refused():
    net = _net()
    with pytest.raises(BadInput, match="copy.deepcopy"):
        _fit(net, teacher=nn.Sequential(net))
    with pytest.raises(WrongSetting, match="task='probability'"):
        _fit(nn.Linear(6, 1))
    with pytest.raises(BadInput, match="requires_grad"):
        _fit(copy.deepcopy(net).requires_grad_(False))
    with pytest.raises(BadInput, match="no parameters"):
        _fit(nn.Flatten())
    with pytest.raises(WrongSetting, match="calibrate"):
        _fit(mho.to_analog(net, "pcm-cells"))


def test_more_processes_than_torchrun_started_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(WrongSetting, match="4 processes"):
        _fit(_net())


def test_what_decides_a_run_is_written_down(tmp_path):
    _fit(_net(), out=tmp_path, augment=resumable.jitter, seed=3)
    stored = json.loads((tmp_path / "run.json").read_text())
    assert stored["augment"] == "resumable.jitter" and stored["seed"] == 3 and stored["lr"] == [0.05]

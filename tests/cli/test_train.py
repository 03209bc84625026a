from __future__ import annotations

import pytest
import torch
import typer
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

import mho
from mho.calibration import load_ranges
from mho.cli.train import train
from mho.data import load
from mho.errors import BadResults, MhoError, WrongSetting
from mho.models import resolve

app = typer.Typer()
app.command()(train)
app.command("other")(lambda: None)
QUICK = ["digits_cnn", "--data", "digits?split=train&n=400", "--val", "digits?n=200", "--optimizer", "adamw"]


def call(*arguments):
    done = CliRunner().invoke(app, ["train", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_what_it_writes_is_what_it_measured_and_it_goes_on(tmp_path):
    out = tmp_path / "run"
    arguments = [*QUICK, "--pretrain", "3", "--epochs", "2", "--lr", "0.01", "--distil", "0.5", "--out", str(out)]
    arguments += ["--set", "dac.range=learned"]
    stopped = call(*arguments, "--max-seconds", "0.000001")
    assert stopped.exit_code == 0 and "out of time" in stopped.stdout
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    before, after = (line for line in done.stdout.splitlines() if "analog" in line)
    digital, analog = (float(part.split()[1]) for part in after.removeprefix("after: ").split(", "))
    weights = resolve("digits_cnn", str(out / "weights.safetensors"))
    test = load("digits?n=200")
    assert 100 * mho.accuracy(weights, test) == pytest.approx(digital, abs=0.01) and before.startswith(
        "before: digital"
    )
    hw = mho.Hardware.preset("pcm").replace(dac__range="learned")
    net = load_ranges(mho.to_analog(weights, hw), out / "ranges.safetensors")
    assert 100 * mho.accuracy(net, test) == pytest.approx(analog, abs=0.01) and analog > 50
    assert call(*arguments).stdout.splitlines()[1:] == done.stdout.splitlines()[1:]
    with pytest.raises(BadResults, match="hwa"):
        call(*arguments, "--noise", "0.1")


def test_more_epochs_go_on_and_more_of_pretraining_are_another_run(tmp_path):
    arguments = [*QUICK, "--schedule", "constant", "--out", str(tmp_path)]
    call(*arguments, "--pretrain", "1", "--epochs", "1")
    before = (tmp_path / "digital" / "last.ckpt").read_bytes()
    longer = call(*arguments, "--pretrain", "1", "--epochs", "2")
    assert "8 steps" in longer.output
    with pytest.raises(BadResults, match=r"began with the weights of --pretrain 1, not of 3 -> give another --out"):
        call(*arguments, "--pretrain", "3", "--epochs", "2")
    assert (tmp_path / "digital" / "last.ckpt").read_bytes() == before


def test_the_noise_is_a_share_of_the_largest_weight(tmp_path, monkeypatch):
    from mho.training import HWA

    seen = []
    attach = HWA.attach
    monkeypatch.setattr(HWA, "attach", lambda self, *a, **k: (seen.append(self), attach(self, *a, **k))[1])
    arguments = [*QUICK, "--pretrain", "1", "--epochs", "1"]
    call(*arguments, "--noise", "0.07", "--out", str(tmp_path / "a"))
    call(*arguments, "--noise", "0", "--out", str(tmp_path / "b"))
    (recipe,) = seen
    (injection,) = recipe.weights
    assert (injection.kind, injection.sigma, injection.relative_to) == ("gaussian", 0.07, "max")
    a, b = (load_file(tmp_path / name / "weights.safetensors") for name in "ab")
    assert a.keys() == b.keys() == resolve("digits_cnn").state_dict().keys()
    assert not any(torch.equal(a[k], b[k]) for k in a if k.endswith("weight"))


def test_it_takes_the_ranges_that_calibrate_writes(tmp_path, monkeypatch):
    from mho.calibration import save_ranges

    net = mho.to_analog(resolve("digits_cnn"), mho.Hardware.preset("pcm", adc__bits=7))
    file = save_ranges(mho.calibrate(net, load("digits?n=100")), tmp_path / "r.safetensors")
    weights = tmp_path / "w.safetensors"
    save_file(mho.to_digital(net).state_dict(), weights)
    monkeypatch.setattr(mho, "calibrate", lambda *_, **__: pytest.fail("ranges were given"))
    arguments = [*QUICK, "--epochs", "1", "--ranges", str(file), "--out", str(tmp_path / "run")]
    assert call(*arguments, "--weights", str(weights)).exit_code == 0
    with pytest.raises(WrongSetting, match="still to be pretrained"):
        call(*arguments, "--pretrain", "1")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--pretrain"),
        (["--pretrain", "-1"], "--pretrain"),
        (["--pretrain", "1", "--noise", "200%"], "--noise"),
        (["--pretrain", "1", "--device", "gpu"], "devices of this machine"),
        (["--pretrain", "1", "--schedule", "steep"], "onecycle"),
        (["--pretrain", "1", "--logger", "paper"], "tensorboard"),
        (["--pretrain", "1", "--set", "adc.bitz=3"], "bitz"),
        (["--pretrain", "1", "--epochs", "0"], "epochs"),
        (["--pretrain", "1", "--distil", "1.5"], "share"),
    ],
)
def test_mistakes_are_named(arguments, named, tmp_path):
    with pytest.raises(MhoError, match=named) as caught:
        call(*QUICK, *arguments, "--out", str(tmp_path))
    assert isinstance(caught.value, WrongSetting) and not (tmp_path / "weights.safetensors").exists()

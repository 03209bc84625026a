from __future__ import annotations

import pytest
import torch
import typer
from typer.testing import CliRunner

import mho
from mho.cli.calibrate import calibrate
from mho.cli.options import change
from mho.errors import MhoError

COMMON = ["--data", "digits?split=train&n=300"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from safetensors.torch import save_file

    from mho.data import load
    from mho.models import digits_cnn
    from mho.training import train

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_file(train(digits_cnn(), load("digits?split=train"), epochs=4).state_dict(), path)
    return str(path)


def call(*arguments):
    app = typer.Typer()
    app.command()(calibrate)
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


def test_it_writes_the_ranges_that_the_library_finds(weights, tmp_path):
    from safetensors.torch import load_file

    from mho.data import load
    from mho.models import resolve

    out = tmp_path / "ranges.safetensors"
    done = call(
        "digits_cnn", "--weights", weights, *COMMON, "--method", "error", "--set", "adc.bits=6", "--test", "digits?n=200",
        "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    net = mho.to_analog(resolve("digits_cnn", weights).eval(), mho.Hardware.preset("pcm", adc__bits=6))
    mho.calibrate(net, load(COMMON[1]), method="error")
    stored = load_file(out)
    assert stored and all(torch.equal(stored[k], v) for k, v in net.state_dict().items() if k.endswith("_range"))
    assert sum(k.endswith("_range") for k in net.state_dict()) == len(stored)
    assert f"cells {100 * mho.accuracy(net, load('digits?n=200')):.2f} %" in done.output
    assert "inputs clipped" in done.output and str(out) in done.output.replace("\n", "")


@pytest.mark.parametrize(
    ("text", "word"), [("adc.bits=", "adc.bits=null"), ("adc.bits= ", "no value"), ("adc", "no '='")]
)
def test_a_change_without_a_value_is_refused(text, word):
    with pytest.raises(MhoError, match=word):
        change(text)
    assert change("adc.bits=null") == ("adc.bits", None)


def test_bits_are_searched_and_applied(weights, tmp_path):
    done = call(
        "digits_cnn", "--weights", weights, *COMMON, "--method", "error", "--test", "digits?split=test", "--bits",
        "--budget", "3%", "--no-per-layer", "--out", tmp_path / "r",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert (
        "hw = hw.replace(dac__bits=" in done.output
        and "all layers alike" in done.output
        and "budget 3.00%" in done.output
    )


def test_hardware_that_needs_no_ranges_says_so(weights, tmp_path):
    done = call("digits_cnn", "--weights", weights, *COMMON, "--hardware", "ideal", "--out", tmp_path / "r")
    assert done.exit_code == 0 and "no file is written" in done.output and not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--method", "best"], "best"),
        (["--bits"], "--test"),
        (["--budget", "much"], "much"),
        (["--quantile", "1.5"], "quantile"),
        (["--method", "error", "--sigmas", "3"], "sigmas"),
        (["--batches", "0"], "max_batches"),
        (["--set", "adc.bitz=3"], "bitz"),
    ],
)  # fmt: skip
def test_mistakes_name_their_option(arguments, named, weights, tmp_path):
    done = call("digits_cnn", "--weights", weights, *COMMON, *arguments, "--out", tmp_path / "r")
    assert isinstance(done.exception, MhoError) and named in str(done.exception)
    assert not (tmp_path / "r").exists()

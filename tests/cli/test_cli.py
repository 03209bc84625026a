from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import mho
from mho.measure import DriftResult

RUN = [sys.executable, "-c", "from mho.cli import main; main()"]
QUICK = ["--data", "digits?n=200", "--times", "1h,1y", "--chips", "2"]


@pytest.fixture
def call(commands):
    return commands.run


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from safetensors.torch import save_file

    from mho.data import load
    from mho.models import digits_cnn
    from mho.training import train

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_file(train(digits_cnn(), load("digits?split=train&n=400"), epochs=4).state_dict(), path)
    return str(path)


def test_help_lists_the_commands(call):
    text = call("--help").stdout
    assert all(command in text for command in ("advise", "calibrate", "demo", "drift", "hardware", "info", "train"))


def test_hardware_list_show_check(call, tmp_path):
    assert "hwa-standard" in call("hardware", "list").stdout
    shown = call("hardware", "show", "pcm", "--keys").stdout
    assert "g_max_us: 25.0" in shown and "array.rows: Input lines" in shown and "drift exponent" in shown
    (tmp_path / "mine.yaml").write_text("preset: pcm\nname: mine\nadc: {bits: 6}\n")
    assert "describes 'mine'" in call("hardware", "check", str(tmp_path / "mine.yaml")).stdout
    (tmp_path / "bad.yaml").write_text("preset: pcm\nadc: {bitz: 6}\n")
    bad = call("hardware", "check", str(tmp_path / "bad.yaml"))
    assert bad.returncode == 2 and "bitz" in bad.stderr and "way out" in bad.stderr and "Traceback" not in bad.stderr


def test_info_says_what_runs(call):
    shown = call("info").stdout
    assert "kernels" in shown and ("compiled C++" in shown or "reference (plain torch)" in shown)


def test_drift_writes_a_report_and_resumes(call, weights, tmp_path):
    out = tmp_path / "run"
    first = call("drift", "digits_cnn", "--weights", weights, *QUICK, "--out", str(out), "--set", "adc.bits=7")
    assert first.returncode == 0, first.stderr
    assert (out / "report.html").exists() and "digits_cnn" in first.stdout
    rows = (out / "rows.jsonl").read_bytes()
    again = call(
        "drift", "digits_cnn", "--weights", weights, *QUICK[:-1], "3", "--out", str(out), "--set", "adc.bits=7"
    )
    assert again.returncode == 0 and (out / "rows.jsonl").read_bytes().startswith(rows)
    assert len(DriftResult.load(out).chips) == 3 and DriftResult.load(out).header.hardware["adc"]["bits"] == 7
    other = call("drift", "digits_cnn", "--weights", weights, *QUICK, "--out", str(out))
    assert other.returncode == 2 and "Traceback" not in other.stderr
    assert (out / "rows.jsonl").read_bytes().startswith(rows)


def test_a_reader_that_is_gone_costs_no_report(call, weights, tmp_path):
    out, (reader, writer) = tmp_path / "run", os.pipe()
    os.close(reader)
    done = call("drift", "digits_cnn", "--weights", weights, *QUICK, "--out", out, stdout=writer)
    os.close(writer)
    assert done.returncode == 1 and "Traceback" not in done.stderr  # as any command whose answer nobody reads
    assert (out / "report.html").exists() and (out / "rows.csv").exists()


def test_an_interpreter_of_its_own_and_the_library_measure_the_same(weights, tmp_path):
    from mho.data import load
    from mho.models import resolve

    command = [*RUN, "drift", "mho.models:digits_cnn", "--weights", weights, *QUICK, "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    test = load("digits?n=200")
    net = mho.calibrate(mho.to_analog(resolve("digits_cnn", weights).eval(), "pcm"), test)
    result = mho.drift(net, test, ["1h", "1y"], chips=2)
    stored = DriftResult.load(tmp_path / "run")
    assert [m.accuracy for m in stored.measurements] == [m.accuracy for m in result.measurements]


def test_drift_with_recalibration_and_refresh(call, weights, tmp_path):
    done = call(
        "drift", "digits_cnn", "--weights", weights, *QUICK, "--out", str(tmp_path / "run"), "--recalibrate", "affine",
        "--recalibrate", "output", "--refresh", "1mo",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    header = DriftResult.load(tmp_path / "run").header
    assert [text.partition(",")[0] for text in header.recalibrations] == ["affine", "output"]
    assert header.refresh_s == 30 * 86400
    assert "(affine, output recalibrated; programmed anew every 1 month)" in " ".join(done.stdout.split())
    assert "affine" in (tmp_path / "run" / "rows.csv").read_text().splitlines()[1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["drift", "digits_cnn", "--data", "digits", "--recalibrate", "nroms"], "nroms"),
        (["drift", "digits_cnn", "--data", "digits", "--refresh", "1 moon"], "moon"),
        (["drift", "no_such_model", "--data", "digits"], "no_such_model"),
        (["drift", "digits_cnn", "--data", "no_such_data"], "no_such_data"),
        (["drift", "resnet20", "--data", "digits"], "random network"),
        (["drift", "digits_cnn", "--data", "digits", "--hardware", "pcn"], "pcn"),
        (["drift", "digits_cnn", "--data", "digits", "--times", "1 moon"], "moon"),
        (["drift", "digits_cnn", "--data", "digits", "--set", "adc.bitz=3"], "bitz"),
        (["drift", "digits_cnn", "--data", "digits", "--set", "adc"], "--set"),
        (["drift", "digits_cnn", "--data", "digits", "--chips", "some"], "chips = 'some'"),
        (["drift", "digits_cnn", "--data", "no_such_data", "--budget", "5"], "budget 5"),
        (["drift", "digits_cnn", "--data", "no_such_data", "--confidence", "101%"], "confidence = 101%"),
        (["drift", "digits_cnn", "--data", "no_such_data", "--ranges", "none"], "none: cannot read it"),
        (["drift", "digits_cnn", "--data", "no_such_data", "--out", "/dev/null/x"], "/dev/null/x: cannot write"),
        (["advise", "digits_cnn", "--data", "no_such_data", "--budget", "5"], "budget 5"),
        (["advise", "digits_cnn", "--data", "no_such_data", "--holdout", "2"], "holdout = 2"),
        (["calibrate", "digits_cnn", "--data", "no_such_data", "--budget", "5"], "budget 5"),
        (["train", "digits_cnn", "--data", "no_such_data", "--device", "gpu"], "devices of this machine are cpu"),
        (["train", "digits_cnn", "--data", "no_such_data", "--logger", "paper"], "paper"),
        (["study", "run", "hwa", "--device", "gpu"], "devices of this machine are cpu"),
        (["hardware", "check", "broken.yaml"], "broken.yaml: not valid YAML"),
        (["drift", "digits_cnn", "--data", "digits", "--weights", "none.safetensors"], "none.safetensors"),
        (["hardware", "show", "pcn"], "pcn"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_message(call, arguments, named, weights, tmp_path):
    trained = ["--weights", weights] if "digits_cnn" in arguments and "--weights" not in arguments else []
    (tmp_path / "broken.yaml").write_text("preset: pcm\nadc: {bits: 6\n")
    done = call(*arguments, *trained, cwd=tmp_path)
    assert done.returncode == 2 and named in done.stderr and "Traceback" not in done.stderr
    assert "way out" in done.stderr and [path.name for path in Path(tmp_path).iterdir()] == ["broken.yaml"]


def test_the_ranges_that_calibrate_writes_are_what_drift_takes(call, weights, tmp_path):
    file, out = tmp_path / "r.safetensors", tmp_path / "run"
    common = ["digits_cnn", "--weights", weights]
    done = call("calibrate", *common, "--data", "digits?split=train&n=200", "--set", "adc.bits=7", "--out", str(file))
    assert done.returncode == 0 and "signal/error" in done.stdout and "more is better" in done.stdout, done.stderr
    done = call("drift", *common, *QUICK, "--ranges", str(file), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert DriftResult.load(out).header.hardware["adc"]["bits"] == 7, "the hardware that the ranges are for"
    from mho.calibration import load_ranges
    from mho.data import load
    from mho.models import resolve

    hw = mho.Hardware.preset("pcm", adc__bits=7)
    net = load_ranges(mho.to_analog(resolve("digits_cnn", weights), hw), file)
    result = mho.drift(net, load("digits?n=200"), "1h,1y", chips=2)
    assert [m.loss for m in result.measurements] == [m.loss for m in DriftResult.load(out).measurements]
    other = call("drift", *common, *QUICK, "--ranges", str(file), "--hardware", "pcm", "--out", str(tmp_path / "other"))
    assert other.returncode == 2 and "adc.bits is 8 here" in other.stderr and not (tmp_path / "other").exists()


def test_piped_commands_say_in_lines_how_far_they_are(call, weights, tmp_path):
    done = call(
        "drift", "digits_cnn", "--weights", weights, "--data", "digits", "--chips", "100000", "--max-seconds", "6 s", "--times",
        "1h", "--budget", "2%", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("drift: ")]
    assert lines and all("of 100000 chips (" in line for line in lines), done.stderr
    assert any("accuracy" in line and line.endswith(" left") for line in lines)
    assert " its 2 % budget" in " ".join(done.stdout.split())


def test_control_c_keeps_the_finished_chips(commands, weights, tmp_path):
    out = tmp_path / "run"
    arguments = ["drift", "digits_cnn", "--weights", weights, "--data", "digits", "--times", "1h", "--chips", "100000"]
    process = commands.start(*arguments, "--out", out)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not ((out / "rows.jsonl").exists() and (out / "rows.jsonl").stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    text = process.stderr if process.wait(60) else ""
    assert process.returncode == 130 and "Traceback" not in text
    assert (
        "goes on from there" in text and "stopped during drift: " in text and f"kept: finished chips in {out} (" in text
    )
    assert len(DriftResult.load(out).chips) >= 1

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, BadResults, WrongSetting
from mho.hardware import Hardware
from mho.measure import TestData, digital_measurement
from mho.measure.chip_job import last_programming
from mho.measure.monte_carlo import MIN_CHIPS
from mho.recalibration import RecalibrateAffine, RecalibrateNorms, RecalibrateOutput
from mho.store import RunHeader, StoreWarning

PCM, IDEAL = Hardware.preset("pcm-cells"), Hardware.preset("ideal")


class Data(list):
    name = "blobs"
    classes = ("a", "b", "c", "d")


def make_data(n=400, batch=100):
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, (n,), generator=generator)
    x = torch.randn(n, 12, generator=generator) + 1.2 * nn.functional.one_hot(y, 12)
    return Data(zip(x.split(batch), y.split(batch), strict=True))


def make_net(hw=PCM, data=None):
    data = data or make_data()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 4))
    mho.training.train(model, data, epochs=15)
    return mho.calibrate(mho.to_analog(model, hw, example=data[0][0]), data)


@pytest.fixture(scope="module")
def data():
    return make_data()


@pytest.fixture(scope="module")
def net(data):
    return make_net(PCM, data)


def _rows(result):
    return [(m.chip, m.age_s, m.loss, m.correct.tobytes(), m.predicted) for m in result.measurements]


def test_noise_free_hardware_answers_as_the_digital_network(data):
    result = mho.drift(make_net(IDEAL, data), data, ["0 s", "1 year"], chips=2)
    for measurement in result.measurements:
        assert np.array_equal(measurement.correct, result.digital.correct)
        assert measurement.loss == pytest.approx(result.digital.loss, rel=1e-4)
    assert result.lifetime(0.01).beyond


def test_identical_arms_give_identical_rows(net, data):
    quiet = make_net(PCM.replace(cell__read_noise=0.0), data)
    same = make_net(PCM.replace(**{"cell.read_noise": 0.0, "name": "another name"}), data)
    a, b = (mho.drift(n, data, ["1 h", "1 day"], chips=2, seed=5) for n in (quiet, same))
    assert _rows(a) == _rows(b)
    assert _rows(a) != _rows(mho.drift(quiet, data, ["1 h", "1 day"], chips=2, seed=6))


def test_a_chip_is_the_same_whatever_is_measured_beside_it(net, data):
    alone = mho.drift(net, data, ["1 day"], chips=3)
    among = mho.drift(net, data, ["1 h", "1 day", "1 year"], chips=5)
    wanted = [m for m in among.measurements if m.age_s == 86400.0 and m.chip < 3]
    assert _rows(alone) == [(m.chip, m.age_s, m.loss, m.correct.tobytes(), m.predicted) for m in wanted]


def test_noise_of_products_has_an_address_too(data):
    noisy = make_net(PCM.replace(noise__output=0.05), data)
    first = mho.drift(noisy, data, ["1 day"], chips=2)
    torch.manual_seed(12)
    assert _rows(first) == _rows(mho.drift(noisy, data, ["1 day"], chips=2))


def test_workers_change_nothing(net, data):
    assert _rows(mho.drift(net, data, ["1 h", "1 y"], chips=4)) == _rows(
        mho.drift(net, data, ["1 h", "1 y"], chips=4, workers=2)
    )


def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import mho, torch\nnet = mho.to_analog(torch.nn.Linear(3, 2), 'ideal')\n"
        "mho.drift(net, [(torch.eye(3), torch.tensor([0, 1, 0]))], '1 h', chips=4, workers=2)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1 and "workers: one of 2 worker processes ended" in done.stderr.splitlines()[-1]
    assert """call it below "if __name__ == '__main__':\"""" in done.stderr


def test_chips_are_drawn_until_the_interval_is_reached(net, data):
    seen = []
    result = mho.drift(net, data, ["1 h", "1 year"], ci=1.5, max_chips=60, progress=seen.append)
    assert MIN_CHIPS <= len(result.chips) < 60 and result.half_width() <= 0.015
    assert [step.done for step in seen] == list(range(len(result.chips) + 1))
    assert [len(step.result.chips) for step in seen[1:]] == list(range(1, len(result.chips) + 1))
    assert seen[-1].share == 1 and seen[-2].share < 1 and "accuracy" in seen[-1].known
    assert all(MIN_CHIPS <= step.total <= 60 for step in seen[2:])
    short = mho.drift(net, data, ["1 h"], ci=1e-9, max_chips=3)
    assert len(short.chips) == 3
    assert len(mho.drift(net, data, ["1 h"], ci=1e-9, max_chips=50, max_seconds=1e-9).chips) == 1


def test_an_interrupted_run_goes_on_where_it_was(net, data, tmp_path):
    whole = mho.drift(net, data, ["1 h", "1 y"], chips=4)

    def stop(step):
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mho.drift(net, data, ["1 h", "1 y"], chips=4, out=tmp_path, progress=stop)
    before = (tmp_path / "rows.jsonl").read_bytes()
    resumed = mho.drift(net, data, ["1 h", "1 y"], chips=4, out=tmp_path)
    assert _rows(resumed) == _rows(whole)
    assert (tmp_path / "rows.jsonl").read_bytes().startswith(before)
    again = mho.drift(net, data, ["1 h", "1 y"], chips=6, out=tmp_path)
    assert _rows(again)[:8] == _rows(whole) and len(again.chips) == 6
    assert _rows(mho.DriftResult.load(tmp_path)) == _rows(again)


@pytest.mark.parametrize(
    "settings", [{}, {"refresh": "1 month"}, {"images": 50}, {"recalibrate": "output", "workers": 2}]
)
def test_runs_grow_by_ages_and_chips_as_if_all_had_been_asked_for_at_once(net, data, tmp_path, settings):
    if "recalibrate" in settings:
        settings = {**settings, "recalibrate": RecalibrateOutput(data, net)}
    share = 8 if "images" in settings else 1
    mho.drift(net, data, "1 h,1 y", chips=2 * share, out=tmp_path / "grown", **settings)
    first = (tmp_path / "grown" / "rows.jsonl").read_bytes()
    grown = mho.drift(net, data, ["1 h", "1 day", "1 y"], chips=3 * share, out=tmp_path / "grown", **settings)
    whole = mho.drift(net, data, ["1 h", "1 day", "1 y"], chips=3 * share, out=tmp_path / "whole", **settings)
    after = (tmp_path / "grown" / "rows.jsonl").read_bytes()
    assert after.startswith(first) and len(after.splitlines()) == 9, "what was measured is not measured again"
    assert sorted(after.splitlines()) == sorted((tmp_path / "whole" / "rows.jsonl").read_bytes().splitlines())
    assert _rows(grown) == _rows(whole) == _rows(mho.DriftResult.load(tmp_path / "grown"))
    fewer = mho.drift(net, data, "1 day", chips=2 * share, out=tmp_path / "grown", **settings)
    assert (tmp_path / "grown" / "rows.jsonl").read_bytes() == after and fewer.ages_s == (86400.0,)
    assert _rows(fewer) == [row for row in _rows(whole) if row[1] == 86400.0 and row[0] < 2 * share]
    with pytest.raises(BadResults, match="seed was 0 and is 1"):
        mho.drift(net, data, "1 day", chips=2 * share, seed=1, out=tmp_path / "grown", **settings)


def test_an_interval_that_is_reached_at_some_ages_is_looked_at_again_for_others(net, data, tmp_path):
    few = mho.drift(net, data, "1 h", ci=1.5, max_chips=60, out=tmp_path)
    more = mho.drift(net, data, "1 h,1 year", ci=1.5, max_chips=60, out=tmp_path)
    assert len(more.chips) >= len(few.chips) and more.half_width() <= 0.015
    assert _rows(more) == _rows(mho.drift(net, data, "1 h,1 year", ci=1.5, max_chips=60))


def test_data_in_another_order_or_other_batches_are_named(net, data, tmp_path):
    mho.drift(net, data, "1 h", chips=1, out=tmp_path)
    x, y = (torch.cat(parts) for parts in zip(*data, strict=True))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    for other in ([(x[order], y[order])], [(x[:7], y[:7]), (x[7:], y[7:])]):
        with pytest.raises(BadResults, match="in another order, or in batches of another size"):
            mho.drift(net, other, "1 h", chips=1, out=tmp_path)
    with pytest.raises(BadResults) as caught:
        mho.drift(net, [(x[:100], y[:100])], "1 h", chips=1, out=tmp_path)
    assert "data.samples was" in str(caught.value) and "another order" not in str(caught.value)


_KILLED = """
import sys; sys.path.insert(0, {here!r})
from test_drift import make_data, make_net
import mho
data = make_data()
mho.drift(make_net(mho.Hardware.preset("pcm-cells"), data), data, ["1 h", "1 y"], chips=100000, out=sys.argv[1])
"""


def test_kill_minus_nine_loses_at_most_the_chip_in_progress(net, data, tmp_path):
    code = _KILLED.format(here=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], env=dict(os.environ))
    rows = tmp_path / "run" / "rows.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not rows.exists() or rows.read_bytes().count(b"\n") < 10):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    complete = rows.read_bytes().count(b"\n") // 2
    with rows.open("ab") as file:
        file.write(b'{"chip": 99, "age')  # what a write that was cut off leaves
    with pytest.warns(StoreWarning):
        resumed = mho.drift(net, data, ["1 h", "1 y"], chips=complete + 1, out=tmp_path / "run")
    assert complete >= 4 and _rows(resumed) == _rows(mho.drift(net, data, ["1 h", "1 y"], chips=complete + 1))


def test_a_directory_of_another_run_is_left_alone(net, data, tmp_path):
    mho.drift(net, data, ["1 h"], chips=1, out=tmp_path)
    before = (tmp_path / "rows.jsonl").read_bytes()
    with pytest.raises(BadResults, match="seed"):
        mho.drift(net, data, ["1 h"], chips=1, out=tmp_path, seed=1)
    assert (tmp_path / "rows.jsonl").read_bytes() == before


def test_an_unwritable_directory_is_refused_before_the_work(net, data, tmp_path):
    (tmp_path / "file").write_text("")
    start = time.perf_counter()
    with pytest.raises(BadInput, match="cannot write"):
        mho.drift(net, data, ["1 h"], chips=100, out=tmp_path / "file" / "run")
    assert time.perf_counter() - start < 5


def test_the_digital_measurement_is_the_model_itself(data):
    net = make_net(Hardware.preset("hwa-standard"), data)
    x, y = torch.cat([b[0] for b in data]), torch.cat([b[1] for b in data])
    expected = (mho.to_digital(net)(x).argmax(1) == y).numpy()
    assert np.array_equal(digital_measurement(net, TestData.of(data)).correct, expected)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"times": []}, "times"), ({"times": ["-1 h"]}, "before programming"), ({"times": ["1 moon"]}, "moon"),
        ({"chips": 0}, "chips"), ({"chips": "many"}, "chips"), ({"ci": 0.0}, "ci"), ({"workers": 0}, "workers"),
        ({"confidence": 1.0}, "confidence"), ({"max_chips": 0}, "max_chips"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(net, data, arguments, named):
    with pytest.raises(WrongSetting, match=named):
        mho.drift(net, data, **arguments)


@pytest.mark.parametrize(
    ("batches", "named"),
    [
        ([], "no labelled sample"), ([(torch.randn(2, 12), torch.tensor([0, 9]))], "label 9"),
        ([(torch.randn(2, 12), torch.tensor([0, -1]))], "label -1"), ([torch.randn(2, 12)], "not a pair"),
        ([(torch.randn(2, 12), torch.zeros(3))], "3 labels"), ([(torch.randn(2, 12), torch.tensor([0.5, 1]))], "whole"),
        ([(torch.randn(2, 12), torch.zeros(2, 2))], "do not go with"),
    ],
)  # fmt: skip
def test_bad_data_is_named(net, batches, named):
    with pytest.raises(BadInput, match=named):
        mho.drift(net, batches, ["1 h"], chips=1)


def test_networks_that_cannot_be_measured(data):
    with pytest.raises(WrongSetting, match="no arrays"):
        mho.drift(nn.Linear(12, 4), data, ["1 h"])
    net = make_net(PCM, data)
    with pytest.raises(WrongSetting, match="one chip already"):
        mho.drift(mho.program(net).at("1 h"), data, ["1 h"])
    torch.manual_seed(0)
    one = mho.to_analog(nn.Sequential(nn.Linear(12, 1)), IDEAL)
    with pytest.raises(WrongSetting, match="task='probability'"):
        mho.drift(one, data, ["1 h"], chips=1)


def test_one_output_can_be_a_probability_or_a_logit():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=generator)
    y = (x[:, 0] > 0).long()
    layer = nn.Linear(6, 1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0] = 3.0
        layer.bias.zero_()
    logit = mho.to_analog(nn.Sequential(layer), IDEAL)
    probability = mho.to_analog(nn.Sequential(layer, nn.Sigmoid()), IDEAL)
    a = mho.drift(logit, [(x, y)], ["1 h"], chips=1, task="logit")
    b = mho.drift(probability, [(x, y)], ["1 h"], chips=1, task="probability")
    assert a.digital.accuracy == b.digital.accuracy == 1.0
    assert a.digital.loss == pytest.approx(b.digital.loss, rel=1e-4)


def test_tokens_are_samples_and_padding_does_not_count():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 10))
    tokens = torch.randint(0, 10, (4, 6))
    labels = tokens.clone()
    labels[:, -2:] = -100
    result = mho.drift(mho.to_analog(model, IDEAL), [(tokens, labels)], ["1 h"], chips=1)
    assert result.digital.samples == 16
    expected = nn.functional.cross_entropy(model(tokens[:, :4]).flatten(0, 1), labels[:, :4].flatten()).item()
    assert result.digital.loss == pytest.approx(expected, rel=1e-5)


def test_a_loader_that_shuffles_is_held_in_one_order(net, data):
    x, y = torch.cat([b[0] for b in data]), torch.cat([b[1] for b in data])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=50, shuffle=True)
    result = mho.drift(net, loader, ["1 h"], chips=2)
    assert result.digital.samples == 400 and len(result.chips) == 2


def test_recalibrations_come_before_the_measurement_in_order(data):
    net = make_net(PCM.replace(cell__read_noise=0.0), data)
    output, affine = RecalibrateOutput(data, net, match="rate"), RecalibrateAffine(data, net)
    plain = mho.drift(net, data, ["1 h", "1 year"], chips=2, seed=5)
    both = mho.drift(net, data, ["1 h", "1 year"], chips=2, seed=5, recalibrate=[affine, output])
    assert both.header.recalibrations == (affine.record(), output.record())
    for chip in range(2):
        by_hand = output(affine(mho.program(net, 5, chip=chip).at("1 year")))
        with torch.no_grad():
            correct = torch.cat([by_hand(x).argmax(1) == y for x, y in data])
        assert np.array_equal(both.at(31536000.0)[chip].correct, correct.numpy())
    assert _rows(both) != _rows(plain) and plain.header.recalibrations == ()
    assert both.digital == plain.digital
    single = mho.drift(net, data, ["1 h"], chips=1, recalibrate=affine)
    assert _rows(single) == _rows(mho.drift(net, data, ["1 h"], chips=1, recalibrate=(affine,)))


def test_a_recalibration_is_found_on_another_reading_than_it_is_measured_on(data):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 4, bias=False))
    net = mho.calibrate(mho.to_analog(model, PCM), data)
    x = torch.cat([x for x, _ in data])
    label = torch.cat([y for _, y in data])
    chip = mho.program(net, 2, chip=0)
    with torch.no_grad():
        used, other = chip.at("1 year")(x), chip.at("1 year", read=1)(x)
        digital = model(x)
        scale = digital.std(0, correction=0) / other.std(0, correction=0)
        expected = scale * used + digital.mean(0) - scale * other.mean(0)
        same = digital.std(0) / used.std(0) * (used - used.mean(0)) + digital.mean(0)
    found = mho.drift(net, data, ["1 year"], chips=1, seed=2, recalibrate=RecalibrateAffine(data, model)).measurements[
        0
    ]
    losses = [nn.functional.cross_entropy(y, label).item() for y in (expected, same)]
    assert found.loss == pytest.approx(losses[0], rel=1e-4) and found.loss != pytest.approx(losses[1], rel=1e-3)


def test_recalibrated_chips_do_not_depend_on_workers_or_on_what_else_is_measured(data):
    noisy = make_net(PCM.replace(noise__output=0.05), data)
    options = {"recalibrate": (RecalibrateAffine(data, noisy), RecalibrateOutput(data, noisy)), "seed": 3}
    alone = mho.drift(noisy, data, ["1 day"], chips=2, **options)
    torch.manual_seed(5)
    among = mho.drift(noisy, data, ["1 h", "1 day"], chips=2, workers=2, refresh="1 year", **options)
    assert _rows(alone) == _rows(among)[1::2]
    shared = mho.drift(noisy, data, ["1 day"], chips=4, images=200, **options)
    assert shared.header.chips_per_pass == 2 and len(shared.chips) == 4


def test_a_store_knows_its_recalibrations_and_refreshes(net, data, tmp_path):
    affine = RecalibrateAffine(data, net)
    run = {"recalibrate": affine, "refresh": "1 day"}
    first = mho.drift(net, data, ["1 h"], chips=1, out=tmp_path, **run)
    again = mho.drift(net, data, ["1 h"], chips=2, out=tmp_path, **run)
    assert _rows(again)[:1] == _rows(first)
    loaded = mho.DriftResult.load(tmp_path).header
    assert (loaded.recalibrations, loaded.refresh_s) == ((affine.record(),), 86400.0)
    for other, named in (
        ({}, "recalibrations was"), ({**run, "refresh": "2 days"}, "refresh_s was 86400.0 and is 172800.0"),
        ({**run, "recalibrate": RecalibrateAffine(data[:1], net)}, "recalibrations was"),
        ({**run, "recalibrate": (affine, affine)}, "recalibrations was"),
    ):  # fmt: skip
        with pytest.raises(BadResults, match=named):
            mho.drift(net, data, ["1 h"], chips=2, out=tmp_path, **other)


def test_runs_without_recalibration_are_stored_as_ever(net, data):
    header = mho.drift(net, data, ["1 h"], chips=1).header
    assert not {"recalibrations", "refresh_s"} & set(header.to_json())
    again = RunHeader.from_json(header.to_json())
    assert (again.recalibrations, again.refresh_s, again.digest()) == ((), None, header.digest())


def test_bad_recalibrations_and_refreshes_are_named(net, data):
    with pytest.raises(WrongSetting, match="no recalibration"):
        mho.drift(net, data, ["1 h"], chips=1, recalibrate=[lambda net: net])
    with pytest.raises(WrongSetting, match="RecalibrateAffine"):
        mho.drift(net, data, ["1 h"], chips=1, recalibrate=RecalibrateNorms(data))
    for refresh in ("0 s", 0.0):
        with pytest.raises(WrongSetting, match="refresh"):
            mho.drift(net, data, ["1 h"], chips=1, refresh=refresh)


def test_the_age_since_the_last_programming():
    month, day = 30 * 86400.0, 86400.0
    assert last_programming(0.0, month) == (0, 0.0)
    assert last_programming(day, month) == (0, day)
    assert last_programming(month, month) == (0, month), "just before the first refresh"
    assert last_programming(month + 1, month) == (1, 1.0)
    assert last_programming(365 * day, month) == (12, 5 * day)
    for n in range(1, 400):
        assert last_programming(n * 0.1, 0.1) == (n - 1, 0.1), "also where n · 0.1 is not exact"


def test_a_refreshed_chip_is_programmed_anew(net, data):
    month = 30 * 86400.0
    refreshed = mho.drift(net, data, ["1 month", month + 3600.0, "2 months"], chips=2, refresh="1 month", seed=4)
    plain = mho.drift(net, data, ["1 month"], chips=2, seed=4)
    assert _rows(refreshed)[::3] == _rows(plain), "the first cycle is the chip as it always was"
    for chip in range(2):
        second = mho.program(net, 4, chip=chip, cycle=1)
        for age, since in ((month + 3600.0, "1 h"), (2 * month, "1 month")):
            with torch.no_grad():
                again = second.at(since)
                correct = torch.cat([again(x).argmax(1) == y for x, y in data])
            assert np.array_equal(refreshed.at(age)[chip].correct, correct.numpy())


def test_recall_where_the_network_has_more_classes_than_the_data(tmp_path):
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(90, 12, generator=generator), torch.arange(90) % 3
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 10)).eval()
    answers = model(x).argmax(-1)
    assert int(answers.max()) > 2  # a class that the data does not have
    net = mho.calibrate(mho.to_analog(model, PCM, example=x), [(x, y)])
    result = mho.drift(net, [(x, y)], ["1 h", "1 y"], chips=2)
    assert [c.label for c in result.per_class()] == ["0", "1", "2"]
    for k, found in enumerate(result.per_class()):
        of_class = (y == k).numpy()
        assert found.samples == 30 and found.digital == pytest.approx(float((answers == y).numpy()[of_class].mean()))
        for age, recall in zip(result.ages_s, found.recall, strict=True):
            assert recall == pytest.approx(np.mean([m.correct[of_class].mean() for m in result.at(age)]))
    mho.report(result, tmp_path)
    assert (tmp_path / "figures" / "classes.svg").exists() and not (tmp_path / "figures" / "balance.svg").exists()

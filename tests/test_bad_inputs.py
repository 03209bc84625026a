"""Bad inputs of every public function end in an `MhoError` that names the thing and the way out, before any work.

One table a function: name of the argument, what is given, what the message says. Where torch itself is called by the user's
network, torch's own message stands; those are in the last table.
"""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

import mho
from mho.advice import best_placement, smallest_bits
from mho.calibration import load_ranges, ranges_of, save_ranges
from mho.errors import MhoError
from mho.measure import Asked, paired
from mho.recalibration import RecalibrateAffine, RecalibrateNorms, RecalibrateOutput
from mho.tasks import Task
from mho.training import Clip, Distillation, Gaussian, rank_weights, shuffled, train
from mho.training.schedule import Schedule
from mho.units import ages, duration, microsiemens, seconds, share

X = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 3
BATCHES = [(X[:20], Y[:20]), (X[20:], Y[20:])]
NAN = float("nan")


def make() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


MODEL = make()
NET = mho.calibrate(mho.to_analog(MODEL, "pcm", example=X[:2]), BATCHES)
CHIP = mho.program(NET)
OLD = CHIP.at("1 day")
RESULT = mho.drift(NET, BATCHES, "1 h,1 d", chips=3)
NORMED = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


class Loud(nn.Module):
    """Fails a test in which work began although something was wrong."""

    def forward(self, x):
        raise AssertionError("the network was run")


NO_NETWORKS = [
    (None, "is a NoneType"), (3, "is a int"), ("resnet20", "mho.models.resolve('resnet20')"),
    (nn.Linear, "is the class Linear"), (MODEL.state_dict(), "not its weights"), ([MODEL], "is a list"),
]  # fmt: skip
NO_DATA = [
    (None, "gives no batches"), (3, "gives no batches"), ("digits", "mho.data.load('digits')"), ({"x": X}, "is a dict"),
    ([], "at least one batch"), ([None], "batch 0"), (iter([]), "at least one batch"), ([(None, Y)], "without a tensor"),
    ([(X.numpy(), Y.numpy())], "batch 0"), (X, "give a list of batches: [X]"), ((X, Y), "a list of batches: [(X, Y)]"),
    ([{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)], "DataLoader"), (iter(zip(X, Y, strict=True)), "DataLoader"),
    ([{"input_ids": [1, 2], "label": 0}], "DataLoader"), (list(Y), "DataLoader"),
]  # fmt: skip
NOT_TO_HOLD = [*NO_DATA[:6], ([(None, Y)], "batch 0"), ([(X, Y[:3])], "40 inputs and labels (3,)")]
NO_LABELS = [
    ([X], "pair"), ([(X,)], "pair"), ([(X, Y[:3])], "40 inputs and 3 labels"), ([(X, Y + 0.5)], "not whole numbers"),
    ([(X, ["a"] * 40)], "labels are class numbers"), ([(X, None)], "labels are class numbers"), ([(X, Y - 1)], "label -1"),
    ([(X, Y + 5)], "3 outputs"),
]  # fmt: skip
NO_TIMES = [
    (None, "not a time"), (True, "not a time"), ("soon", "not a time"), ("1 moon", "unknown unit"), (-1, "before programming"),
    (NAN, "not finite"), (float("inf"), "not finite"), ([1, None], "not a time"), ({"1 h": 1}, "not a time"), (b"1 h", "not a"),
]  # fmt: skip
NO_SHARES = [
    ("much", "not a share"),
    (None, "not a share"),
    (True, "not a share"),
    (NAN, "not finite"),
    ("1 point", "share"),
]
NO_COUNTS = [(0, "= 0"), (-1, "= -1"), (1.5, "= 1.5"), ("two", "'two'"), (True, "= True"), (None, "= None")]
NO_TASKS = [("sums", "unknown task 'sums'"), (3, "is no task"), (Task, "is no task")]
NO_HARDWARE = [
    (None, "is a NoneType"), (3, "is a int"), ("pcn", "unknown preset 'pcn'"), ("", "unknown preset"), ([], "is a list"),
    ({"name": "a"}, "mho.Hardware.parse"), ("no.yaml", "No such file"),
]  # fmt: skip
NO_FOLDERS = [(3, "path of a folder"), ("", "path of a folder"), ("/dev/null/x", "cannot write")]
NO_BUDGETS = [
    ("5", "budget"),
    (5, "budget"),
    (-0.1, "budget"),
    (1, "budget"),
    ("much", "budget"),
    (None, "budget"),
    (NAN, "b"),
]
NO_LEVELS = [(0, "between 0 and 1"), (1, "between 0 and 1"), ("101%", "between 0 and 1"), *NO_SHARES]
NO_PROGRESS = [(3, "True for a bar"), ("yes", "True for a bar")]


def _check(call, word):
    with pytest.raises(MhoError) as caught:
        call()
    error = caught.value
    assert re.search(re.escape(word), str(error)), str(error)
    assert error.problem and len(error.remedy) > 5, "a way out"


def table(**columns):
    """(argument, value, word) for each bad value of each argument."""
    rows = [(name, value, word) for name, values in columns.items() for value, word in values]
    ids = [f"{name}-{type(value).__name__}-{word}" for name, value, word in rows]
    return pytest.mark.parametrize(("name", "value", "word"), rows, ids=ids)


@table(
    model=[*NO_NETWORKS, (NET, "converted already"), (nn.ReLU(), "no layer")],
    hw=NO_HARDWARE,
    example=[("x", "not run on the example"), (X.numpy(), "not run on the example"), (torch.zeros(2, 5), "not run")],
)
def test_to_analog(name, value, word):
    _check(lambda: mho.to_analog(**{"model": MODEL, "hw": "pcm", name: value}), word)


def _changed(change) -> nn.Module:
    model = make()
    change(model[1])
    return model


@pytest.mark.parametrize("example", [None, X[:2]])
@pytest.mark.parametrize(
    ("model", "word"),
    [
        (_changed(lambda layer: layer.weight.data[0, :2].fill_(NAN)), "not finite: 1.weight (2 of 128)"),
        (_changed(lambda layer: layer.bias.data.fill_(float("inf"))), "1.bias (8 of 8)"),
        (nn.Sequential(nn.Linear(4, 4, dtype=torch.complex64)), "0: arrays hold real weights, this Linear complex ones"),
        (NET, "converted already"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_put_onto_arrays(model, example, word):
    _check(lambda: mho.to_analog(model, "pcm", example=example), word)


def test_weights_without_values_have_a_shape_but_compute_nothing():
    model = nn.Linear(4, 4, device="meta")
    _check(lambda: mho.to_analog(model, "pcm", example=X[:2]), "weights without values")
    _check(lambda: mho.program(mho.to_analog(model, "pcm-cells")), "weights without values")


def _inside(call):
    with torch.inference_mode():
        return call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: mho.to_analog(MODEL, "pcm", example=X[:2]),
        lambda: mho.calibrate(mho.to_digital(NET), BATCHES),
        lambda: mho.fit(make(), BATCHES),
        lambda: mho.sensitivity(NET, BATCHES),
        lambda: mho.advise(MODEL, "pcm", BATCHES),
    ],
)
def test_inference_mode_is_named(call):
    _check(lambda: _inside(call), "torch.inference_mode()")


def test_no_grad_around_a_training_changes_nothing():
    with torch.no_grad():
        a = mho.fit(make(), BATCHES, progress=False).history[0]["loss"]
    assert a == mho.fit(make(), BATCHES, progress=False).history[0]["loss"]


@table(net=NO_NETWORKS)
def test_to_digital(name, value, word):
    _check(lambda: mho.to_digital(value), word)


@table(
    net=[*NO_NETWORKS, (MODEL, "no arrays"), (OLD, "programmed chip already")],
    chip=[(-1, "chip = -1"), (1.5, "chip = 1.5"), ("0", "chip = '0'"), (True, "chip = True")],
    cycle=[(-1, "cycle = -1"), (0.5, "cycle = 0.5")],
)
def test_program(name, value, word):
    _check(lambda: mho.program(**{"net": NET, name: value}), word)


@table(time=NO_TIMES, read=[(-1, "read = -1"), ("a", "read = 'a'")])
def test_chip_at(name, value, word):
    _check(lambda: CHIP.at(**{"time": "1 h", name: value}), word)


@table(net=[(None, "no chip's"), ("x", "no chip's"), (MODEL, "no chip's"), (NET, "no chip's")])
def test_fuse(name, value, word):
    _check(lambda: mho.fuse(value), word)


@table(
    net=[*NO_NETWORKS, (MODEL, "no arrays"), (OLD, "programmed chip")],
    batches=[row for row in NO_DATA if "pair" not in row[1]],
    method=[("best", "unknown method"), (None, "unknown method")],
    quantile=[(0, "outside (0, 1]"), (1.5, "outside (0, 1]"), ("x", "not a share"), ("150%", "outside")],
    sigmas=[(3, "means nothing")],
    momentum=[(0.5, "means nothing")],
    max_batches=NO_COUNTS[:-1],
    progress=NO_PROGRESS,
)
def test_calibrate(name, value, word):
    _check(lambda: mho.calibrate(**{"net": mho.to_analog(MODEL, "pcm"), "batches": BATCHES, name: value}), word)


@table(
    model=[(value, word) for value, word in NO_NETWORKS if not callable(value)],
    batches=[*NO_DATA, *NO_LABELS],
    task=[*NO_TASKS, ("regression", "targets"), ("tokens", "accuracy")],
)
def test_accuracy(name, value, word):
    _check(lambda: mho.accuracy(**{"model": MODEL, "batches": BATCHES, name: value}), word)


DRIFT = {
    "times": [*NO_TIMES, ([], "no age"), ("", "no age")],
    "chips": [*NO_COUNTS, ("some", "or 'auto'")],
    "images": [(1, "divisor"), ("some", "divisor"), (7, "divisor"), (True, "divisor")],
    "ci": [(0, "positive number"), (-1, "positive number"), ("x", "positive number"), (NAN, "positive number")],
    "max_chips": NO_COUNTS,
    "max_seconds": [("soon", "not a time"), (0, "longer than 0 s"), (-1, "longer than 0 s"), (True, "not a time")],
    "confidence": NO_LEVELS,
    "recalibrate": [("norms", "is no recalibration"), ([3], "is no recalibration"), (RecalibrateNorms, "give a list")],
    "refresh": [("1 moon", "unknown unit"), (0, "longer than 0 s"), (-1, "longer than 0 s")],
    "out": NO_FOLDERS,
    "workers": NO_COUNTS,
    "task": NO_TASKS,
    "progress": NO_PROGRESS,
}


@table(net=[*NO_NETWORKS, (MODEL, "no arrays"), (OLD, "one chip already")], data=[*NO_DATA, *NO_LABELS], **DRIFT)
def test_drift(name, value, word):
    _check(lambda: mho.drift(**{"net": NET, "data": BATCHES, "times": "1 h", name: value}), word)


@table(**{name: values for name, values in DRIFT.items() if name not in ("progress", "images")}, budget=NO_BUDGETS[:-2])
def test_what_a_run_is_asked_for_needs_neither_network_nor_data(name, value, word):
    _check(lambda: Asked.of(**{name: value}), word)


def test_a_network_without_ranges_is_refused_before_it_is_measured():
    class Counted(nn.Linear):
        runs = 0

    net = mho.to_analog(MODEL, "pcm")
    net.register_forward_hook(lambda *_: setattr(Counted, "runs", Counted.runs + 1))
    for call in (lambda: mho.drift(net, BATCHES, "1 h"), lambda: mho.sensitivity(net, BATCHES)):
        _check(call, "call mho.calibrate(net, batches) first")
    assert Counted.runs == 0


@table(
    net=[*NO_NETWORKS, (MODEL, "no arrays"), (OLD, "one chip already")],
    data=[*NO_DATA, *NO_LABELS],
    time=[row for row in NO_TIMES if not isinstance(row[0], (list, dict))],
    chips=[row for row in NO_COUNTS if row[0] != 0],
    mode=[("both", "unknown mode"), (None, "unknown mode")],
    samples=NO_COUNTS,
    confidence=NO_LEVELS,
    task=NO_TASKS,
    progress=NO_PROGRESS,
)
def test_sensitivity(name, value, word):
    _check(lambda: mho.sensitivity(**{"net": NET, "data": BATCHES, "chips": 1, name: value}), word)


ADVISE = {
    "hw": NO_HARDWARE,
    "validation": NO_DATA[1:4],
    "calibration": NO_DATA[1:4],
    "train": NO_DATA[1:4],
    "budget": NO_BUDGETS,
    "times": [*NO_TIMES, ([], "no age")],
    "effort": [("some", "unknown effort"), (3, "unknown effort")],
    "remedies": [("magic", "unknown remedy 'magic'"), ([3], "is no remedy"), (3, "give a list")],
    "chips": [(1, "two chips"), *NO_COUNTS[:-1]],
    "holdout": [(0, "between 0 and 1"), (1, "between 0 and 1"), *NO_SHARES],
    "confidence": NO_LEVELS,
    "task": NO_TASKS,
    "out": NO_FOLDERS,
    "workers": NO_COUNTS,
    "max_seconds": [("soon", "not a time"), (0, "longer than 0 s")],
    "ranges": [(3, "mho calibrate wrote"), ("none.safetensors", "cannot read it")],
    "progress": NO_PROGRESS,
}


@table(model=NO_NETWORKS, data=[*NO_DATA[:5], *NO_LABELS[:6]], **ADVISE)
def test_advise(name, value, word):
    _check(lambda: mho.advise(**{"model": Loud(), "hw": "pcm", "data": BATCHES, "effort": "quick", name: value}), word)


FIT = {
    "epochs": NO_COUNTS,
    "batch": NO_COUNTS,
    "accumulate": NO_COUNTS,
    "optimizer": [
        ("magic", "unknown optimizer"), (3, "unknown optimizer"), (lambda _: None, "returned a NoneType"),
        (torch.optim.SGD(make().parameters()), "made already"),
    ],
    "lr": [(0, "above 0"), (-1, "above 0"), (NAN, "above 0"), ("fast", "above 0"), (True, "above 0")],
    "schedule": [("steep", "unknown schedule"), (None, "unknown schedule")],
    "weight_decay": [(-1, "0 or more"), ("x", "0 or more"), (None, "0 or more")],
    "momentum": [(1, "outside"), (-0.1, "0.9"), ("x", "0.9")],
    "hwa": [
        ("noise", "give a recipe"), (0.04, "give a recipe"), (mho.HWA, "give a recipe"), (MODEL, "give a recipe"),
        (Gaussian(sigma=0.1), "give a recipe"), (mho.HWA(weights=Gaussian(sigma=0.1)), "no arrays"),
    ],
    "teacher": [row for row in NO_NETWORKS if row[0] is not None],
    "distillation": [((4, 0.9), "needs a teacher"), (0.5, "needs a teacher")],
    "val": NOT_TO_HOLD[1:],
    "early_stop": [(2, "give val")],
    "precision": [("8", "unknown precision"), (32, "unknown precision"), ("16-mixed", "CUDA")],
    "augment": [("flip", "give a callable"), (3, "give a callable")],
    "task": NO_TASKS,
    "out": [("/dev/null/x", "cannot write")],
    "resume": [("maybe", "unknown resume"), (True, "unknown resume"), ("must", "without a folder")],
    "save_every": [(-1, "before programming"), ("soon", "not a time"), (None, "not a time")],
    "max_seconds": [(0, "longer than 0 s"), ("soon", "not a time")],
    "devices": [*NO_COUNTS, (2, "torchrun")],
    "loggers": [("paper", "unknown logger 'paper'"), (["paper"], "unknown logger"), ("csv", "nowhere to write"), (3, "a list")],
    "progress": NO_PROGRESS,
}  # fmt: skip


@table(net=[*NO_NETWORKS, (nn.ReLU(), "no parameters")], data=[*NOT_TO_HOLD, *NO_LABELS[3:5]], **FIT)
def test_fit(name, value, word):
    _check(lambda: mho.fit(**{"net": make(), "data": BATCHES, "progress": False, name: value}), word)


@table(distillation=[(0.5, "share of the teacher"), ((4,), "share of the teacher"), ((0, 0.5), "above 0"),
                     ((4, 2), "outside"), ((4, "x"), "not a share")])  # fmt: skip
def test_fit_with_a_teacher(name, value, word):
    _check(lambda: mho.fit(make(), BATCHES, teacher=make(), distillation=value, progress=False), word)


@pytest.mark.parametrize(("batch", "samples"), [(1, 4), (13, 40), (39, 40)])
def test_batches_of_one_sample_are_refused_for_batch_norms_only(batch, samples):
    data = [(X[:samples], Y[:samples])]
    _check(lambda: mho.fit(NORMED, data, batch=batch, progress=False), "a batch of one sample")
    assert mho.fit(make(), data, batch=batch, progress=False).stopped == "all epochs done"
    images = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    assert mho.fit(images, data, batch=batch, progress=False).stopped == "all epochs done", "several values a channel"


@table(steps=NO_COUNTS, net=[*NO_NETWORKS, (MODEL, "no arrays"), (OLD, "programmed chip")])
def test_hwa_attach(name, value, word):
    _check(lambda: mho.HWA().attach(**{"net": NET, "steps": 1, name: value}), word)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: mho.HWA(weights="magic"), "unknown injection 'magic'"), (lambda: mho.HWA(wieghts=()), "unknown key"),
        (lambda: mho.HWA(weights=3), "kind"), (lambda: mho.HWA(clean=1.5), "clean"), (lambda: mho.HWA(gradient="x"), "gradient"),
        (lambda: mho.HWA(products=-1), "products"), (lambda: Gaussian(sigma=-1), "sigma"), (lambda: Gaussian(sigma="x"), "sigma"),
        (lambda: Clip(bound=0), "bound"), (Clip, "missing"), (lambda: Schedule(warmup=2), "warmup"),
        (lambda: Distillation(3), "teacher is a int"), (lambda: Distillation(MODEL, temperature=0), "above 0"),
        (lambda: mho.HWA(layers={"9": 0.0}).attach(NET, steps=1), "no layer on arrays matches"),
    ],
)  # fmt: skip
def test_recipes(make, word):
    _check(make, word)


@table(net=[*NO_NETWORKS, (MODEL, "no arrays")], batches=[*NO_DATA[:5]], group=NO_COUNTS)
def test_rank_weights(name, value, word):
    _check(lambda: rank_weights(**{"net": NET, "batches": BATCHES, name: value}), word)


@table(model=NO_NETWORKS, batches=NO_DATA[:5], epochs=NO_COUNTS, lr=FIT["lr"])
def test_plain_training(name, value, word):
    _check(lambda: train(**{"model": make(), "batches": BATCHES, "epochs": 1, name: value}), word)


@table(
    result=[(None, "NoneType"), ("out", "str"), (MODEL, "Sequential")], budget=NO_BUDGETS, directory=[*NO_FOLDERS[:2]]
)
def test_report(name, value, word, tmp_path):
    _check(lambda: mho.report(**{"result": RESULT, "directory": tmp_path, name: value}), word)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("budget", "word"), NO_BUDGETS)
@pytest.mark.parametrize("what", ["floor", "lifetime", "sentence"])
def test_budgets_of_a_result(what, budget, word):
    _check(lambda: getattr(RESULT, what)(budget), word)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: RESULT.yield_at(None), "not a time"), (lambda: RESULT.yield_at("1 moon"), "unknown unit"),
        (lambda: RESULT.yield_at("1 year"), "not extrapolated"),
        (lambda: RESULT.yield_at("1 h", confidence=2), "between 0 and 1"),
        (lambda: RESULT.lifetime(statistic="median"), "percentile"), (lambda: RESULT.lifetime(statistic=101), "percentile"),
        (lambda: RESULT.lifetime(statistic=None), "percentile"), (lambda: RESULT.lifetime(confidence="x"), "not a share"),
        (lambda: RESULT.at(7.0), "was not measured"), (lambda: mho.DriftResult.load("/no/such"), "no run here"),
        (lambda: RESULT.to_csv("/no/such/rows.csv"), "cannot be written"),
        (lambda: paired(RESULT, mho.drift(NET, BATCHES, "1 h", chips=2)), "are no pairs"),
    ],
)  # fmt: skip
def test_questions_to_a_result(call, word):
    _check(call, word)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: mho.Hardware.preset("pcn"), "unknown preset"), (lambda: mho.Hardware.preset("pcm", adc__bitz=3), "bitz"),
        (lambda: mho.Hardware.preset("pcm", adc__bits="many"), "adc.bits"),
        (lambda: mho.Hardware.preset("pcm", adc__bits=-1), "adc.bits"),
        (lambda: mho.Hardware.preset("pcm", nothing__bits=1), "no setting"), (lambda: mho.Hardware.of(None), "NoneType"),
        (lambda: mho.Hardware.preset("pcm", cell="steel"), "CELLS.register"),
        (lambda: mho.Hardware.preset("pcm", cell={}), "a cell needs a 'kind'"),
        (lambda: mho.Hardware.preset("pcm", encoding="roman"), "ENCODINGS.register"),
        (lambda: mho.Hardware.preset("pcm", encoding__kind="roman"), "ENCODINGS.register"),
        (lambda: mho.Hardware.preset("pcm", compensation="hope"), "COMPENSATIONS.register"),
        (lambda: mho.Hardware.parse([]), "mapping"), (lambda: mho.Hardware.from_yaml(3), "no path"),
        (lambda: mho.Hardware.preset("pcm", cell__g_max_us="25 V"), "g_max_us"),
        (lambda: mho.to_analog(MODEL, mho.Hardware.preset("pcm", digital=["9"])), "no module matches"),
    ],
)  # fmt: skip
def test_hardware(call, word):
    _check(call, word)


def test_another_kind_is_a_whole_new_part_whichever_way_it_is_written():
    for kind in ("hermes", "reram_wan", "ideal"):
        whole = mho.Hardware.preset("pcm", cell=kind)
        assert mho.Hardware.preset("pcm", **{"cell.kind": kind}) == whole
        assert mho.Hardware.preset("pcm", cell__kind=kind) == whole
    both = {"cell.nu": 0.02, "cell.kind": "power_law"}
    assert mho.Hardware.preset("pcm", **both).cell.nu == 0.02, "in either order"
    same = mho.Hardware.preset("pcm", cell__read_noise=0.0)
    assert same.replace(cell__kind="pcm") == same, "the same kind again loses nothing"


def test_ranges_of_another_network_or_hardware(tmp_path):
    file = save_ranges(NET, tmp_path / "r.safetensors")
    cases = [
        (lambda: load_ranges(MODEL, file), "no arrays"), (lambda: load_ranges(None, file), "NoneType"),
        (lambda: load_ranges(mho.to_analog(MODEL, mho.Hardware.preset("pcm", adc__bits=5)), file), "adc.bits is 5 here"),
        (lambda: load_ranges(mho.to_analog(nn.Linear(4, 4), "pcm"), file), "does not have"),
        (lambda: load_ranges(NET, tmp_path / "none"), "cannot read it"), (lambda: load_ranges(NET, 3), "mho calibrate wrote"),
        (lambda: save_ranges(mho.to_analog(MODEL, "pcm"), file), "no range is set"), (lambda: save_ranges(3, file), "is a int"),
    ]  # fmt: skip
    (tmp_path / "torn").write_bytes(file.read_bytes()[:-9])
    (tmp_path / "text").write_text("ranges")
    cases += [(lambda name=name: load_ranges(NET, tmp_path / name), "damaged") for name in ("torn", "text")]
    tuned = copy.deepcopy(MODEL)
    next(tuned.parameters()).data[0, 0] += 1e-3
    cases += [(lambda: load_ranges(mho.to_analog(tuned, "pcm"), file), "or other weights")]
    save_file(ranges_of(NET), tmp_path / "bare")
    cases += [(lambda: load_ranges(NET, tmp_path / "bare"), "does not say which network")]
    for call, word in cases:
        _check(call, word)
    again = load_ranges(mho.to_analog(MODEL, "pcm"), file)
    assert all(torch.equal(value, ranges_of(NET)[name]) for name, value in ranges_of(again).items())


@pytest.mark.parametrize(
    ("call", "known"),
    [
        (lambda: mho.accuracy(MODEL, [(X.int(), Y)]), "dtype"),
        (lambda: mho.accuracy(MODEL, [(X[:, :, :3], Y)]), "shapes cannot be multiplied"),
        (lambda: mho.calibrate(NET, [torch.ones(2, 5)]), "shapes cannot be multiplied"),
        (lambda: mho.fit(make(), [(X.int(), Y)], progress=False), "dtype"),
    ],
)
def test_what_torch_refuses_is_said_in_its_words(call, known):
    with pytest.raises(RuntimeError, match=known):
        call()


NO_BATCHES = [*NO_DATA[:6], ([3], "without a tensor"), (X, "not a sequence of batches")]


@pytest.mark.parametrize("kind", [RecalibrateAffine, RecalibrateOutput, RecalibrateNorms])
@pytest.mark.parametrize(("value", "word"), NO_BATCHES)
def test_recalibrations(kind, value, word):
    _check(lambda: kind(value, mho.to_analog(NORMED, "pcm")), word)


@pytest.mark.parametrize(
    ("value", "word"), [(None, "is a NoneType"), ("x", "mho.models"), (MODEL, "no chip's"), (NET, "no chip's")]
)
def test_recalibrations_are_called_on_chips(value, word):
    _check(lambda: RecalibrateOutput(BATCHES, NET)(value), word)


@table(
    model=NO_NETWORKS, calibration=NO_DATA[:4], test=NO_DATA[:4], budget=NO_BUDGETS, confidence=NO_LEVELS, max_batches=NO_COUNTS,
    highest=[*NO_COUNTS, (99, "highest")], progress=NO_PROGRESS,
)  # fmt: skip
def test_smallest_bits(name, value, word):
    told = {"model": MODEL, "hw": "pcm", "calibration": BATCHES, "test": BATCHES}
    _check(lambda: smallest_bits(**{**told, name: value}), word)


@table(
    model=NO_NETWORKS,
    data=NO_DATA[:4],
    digital=[(0, "digital = 0"), (2, "digital = 2"), *NO_SHARES[:1]],
    times=NO_TIMES,
)
def test_best_placement(name, value, word):
    _check(lambda: best_placement(**{"model": MODEL, "hw": "pcm", "data": BATCHES, "digital": 0.5, name: value}), word)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: paired(RESULT, None), "no result"), (lambda: mho.DriftResult.load(None), "is no path"),
        (lambda: RESULT.to_csv(3), "is no path"), (lambda: mho.Hardware.preset("pcm").to_yaml("/no/dir/x.yaml"), "written"),
        (lambda: mho.models.resolve(None), "no name"), (lambda: mho.data.load(3), "no data set is called"),
        (lambda: list(shuffled(BATCHES, batch=0, epoch=0)), "batch = 0"),
        (lambda: list(shuffled(3, batch=1, epoch=0)), "no batches"),
        (lambda: mho.sensitivity(NET, BATCHES, chips=0).ranked("best"), "unknown by 'best'"),
        (lambda: mho.sensitivity(NET, BATCHES, chips=0).ranked("rise"), "was not found"),
    ],
)  # fmt: skip
def test_what_else_is_public(call, word):
    _check(call, word)


# Whatever is given, units answer with a number or with a WrongSetting.
ANYTHING = st.one_of(
    st.text(max_size=12), st.floats(), st.integers(), st.none(), st.booleans(), st.binary(max_size=4),
    st.from_regex(r"\s*[-+]?[0-9.e%]{1,6}\s*(h|d|mo|%|µS|parsecs)?", fullmatch=True), st.lists(st.text(max_size=4)),
    st.dictionaries(st.text(max_size=2), st.none()),
)  # fmt: skip


@given(ANYTHING)
@settings(derandomize=True, max_examples=200, deadline=None)
def test_units_answer_or_refuse(value):
    for read in (seconds, ages, lambda v: duration(v, "x"), lambda v: share(v, "x"), microsiemens):
        try:
            found = read(value)
        except MhoError as error:
            assert error.remedy
        else:
            many = found if isinstance(found, tuple) else (found,)
            assert found is None or all(isinstance(one, float) for one in many)


@given(st.floats(0, 1), st.sampled_from(["{}%", "{} %", " {}%"]))
@settings(derandomize=True, max_examples=50, deadline=None)
def test_a_share_has_one_spelling(value, form):
    assert share(form.format(100 * value), "x") == pytest.approx(value) == share(value, "x") == share(str(value), "x")


def test_numbers_of_numpy_and_torch_are_numbers():
    assert ages(np.array([3600, 60])) == (60.0, 3600.0) == ages(torch.tensor([60.0, 3600.0])) == ages("1h, 1 min")
    assert len(mho.drift(NET, BATCHES, np.float64(60), chips=np.int64(2)).chips) == 2
    assert mho.fit(make(), BATCHES, epochs=np.int64(1), batch=np.int32(20), progress=False).steps == 2

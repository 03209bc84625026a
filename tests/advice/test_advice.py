from __future__ import annotations

import copy
import csv
import re

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.advice import Case, Effort, Plan, Remedy, advise, table
from mho.advice.data import divide
from mho.advice.remedies import REMEDIES
from mho.errors import BadInput, BadResults, NeverPossible, WrongSetting
from mho.hardware import Hardware
from mho.measure import TestData
from mho.measure.gain import mean_differences
from mho.statistics.crossed import crossed
from mho.statistics.enough import Enough, enough

PCM = Hardware.preset("pcm-cells").replace(cell__programming_noise=8.0)
TIMES = ["1 day", "1 year"]


class Blobs(list):
    name = "blobs"
    classes = ("a", "b", "c", "d")


def blobs(seed, n=600, batch=200):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=generator)
    x = torch.randn(n, 12, generator=generator) + 2.5 * nn.functional.one_hot(y, 12)
    return Blobs(zip(x.split(batch), y.split(batch), strict=True))


@pytest.fixture(scope="module")
def training():
    return blobs(1)


@pytest.fixture(scope="module")
def test():
    return blobs(2, n=1200)


@pytest.fixture(scope="module")
def model(training):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 4))
    return mho.training.train(net, training, epochs=15)


class Nothing(Remedy):
    name, slot, tier = "nothing", "ranges", 1

    def prepare(self, plan, case):
        return plan


class Random(Remedy):
    """Scores shifted a little in a direction that a seed decides: it changes answers, and helps nobody."""

    slot, tier = "training", 1

    def __init__(self, seed):
        self.seed, self.name = seed, f"random {seed}"

    def prepare(self, plan, case):
        moved = copy.deepcopy(plan.model)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            moved[-1].bias += 0.04 * torch.randn(4, generator=generator)
        return plan.with_(model=moved)


class Changed(Remedy):
    """Quieter cells."""

    def __init__(self, name, slot, tier, **changes):
        self.name, self.slot, self.tier, self.changes = name, slot, tier, changes
        self.prepared = 0

    def prepare(self, plan, case):
        self.prepared += 1
        return plan.with_(changes={**plan.changes, **{k.replace("__", "."): v for k, v in self.changes.items()}})


def quiet(noise, name="quiet", slot="cells", tier=1):
    return Changed(name, slot, tier, cell__programming_noise=noise)


def ask(model, test, training, remedies, hw=PCM, **options):
    told = {"calibration": training, "times": TIMES, "effort": "quick", "name": "mlp", **options}
    return advise(model, hw, test, remedies=remedies, **told)


def test_nothing_is_never_recommended(model, test, training):
    advice = ask(model, test, training, [Nothing()], chips=2)
    (tried,) = advice.tried
    assert tried.status == "screened" and (tried.gain.low, tried.gain.value, tried.gain.high) == (0, 0, 0)
    assert advice.recommended is None and "nothing that was tried is known to help" in str(advice)


@pytest.mark.parametrize("seed", [1, 2])
def test_gains_inside_the_noise_are_never_recommended(model, test, training, seed):
    """Six random changes: the best of them looks good where it was chosen, and is not recommended."""
    advice = ask(model, test, training, [Random(10 * seed + i) for i in range(6)], seed=seed)
    assert advice.recommended is None
    confirmed = [t for t in advice.tried if t.status == "confirmed"]
    assert confirmed and all(t.gain.low <= 0 for t in confirmed)


def test_what_helps_is_found_and_said_on_fresh_chips_and_samples(model, test, training):
    advice = ask(model, test, training, [Nothing(), quiet(0.1)])
    best = advice.recommended
    assert best.parts == ("quiet",) and best.status == "confirmed" and best.gain.low > 0
    assert best.measured.header.seed == 1 and len(best.measured.chips) == 8
    screened = next(t for t in advice.tried if t.status == "screened").measured.header
    assert screened.seed == 0 and screened.data.digest != best.measured.header.data.digest
    assert best.measured.header.data.digest == advice.baseline.measured.header.data.digest
    again = mho.drift(
        mho.calibrate(mho.to_analog(model, PCM.replace(cell__programming_noise=0.1)), training),
        divide(TestData.of(test), 0.5, 0)[1], TIMES, chips=8, seed=1,
    )  # fmt: skip
    assert np.array_equal(again.accuracy, best.measured.accuracy)
    assert "programming_noise" in best.code and "Best is quiet: it wins +" in advice.sentence()


def test_where_nothing_is_lost_nothing_is_done(model, test, training):
    never = quiet(0.1)
    advice = ask(model, test, training, [never], hw=Hardware.preset("ideal"), chips=2)
    assert advice.baseline.met and advice.recommended is None and not never.prepared
    assert advice.tried[0].status == "not tried" and "nothing needs to be done" in advice.sentence()


def test_what_is_cheaper_and_enough_ends_the_search(model, test, training):
    dear = quiet(0.0, name="dear", slot="training", tier=4)
    advice = ask(model, test, training, [dear, quiet(0.02)], budget=0.03)
    assert advice.recommended.name == "quiet" and advice.recommended.met and not dear.prepared
    assert next(t for t in advice.tried if t.name == "dear").status == "not tried"


def test_halves_are_put_together(model, test, training):
    hw = PCM.replace(cell__read_noise=8.0)
    writing, reading = quiet(0.05, "writing"), Changed("reading", "compensation", 1, cell__read_noise=0.0)
    advice = ask(model, test, training, [writing, reading], hw=hw)
    assert set(advice.recommended.parts) == {"writing", "reading"}
    together = advice.recommended.measured.header.hardware["cell"]
    assert together["programming_noise"] == 0.05 and together["read_noise"] == 0.0


def test_one_of_a_slot(model, test, training):
    advice = ask(model, test, training, [quiet(0.5, "a"), quiet(0.3, "b")], budget=0.0, chips=2)
    assert max(len(t.parts) for t in advice.tried) == 1


def test_what_fails_is_named_and_the_rest_goes_on(model, test, training):
    class Fails(Nothing):
        name = "fails"

        def prepare(self, plan, case):
            raise BadInput("no such thing", "leave it")

    advice = ask(model, test, training, [Fails(), quiet(0.1)])
    assert advice.recommended.name == "quiet"
    failed = next(t for t in advice.tried if t.name == "fails")
    assert failed.status == "failed" and failed.reason == "no such thing" and "no such thing" in str(advice)


def test_an_interrupted_search_goes_on_where_it_was(model, test, training, tmp_path):
    whole = ask(model, test, training, [Nothing(), quiet(0.1)], chips=2)

    def stop(step):
        if step.known.startswith("confirming quiet"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(model, test, training, [Nothing(), quiet(0.1)], chips=2, out=tmp_path, progress=stop)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("rows.jsonl")}
    assert len(kept) >= 3
    resumed = ask(model, test, training, [Nothing(), quiet(0.1)], chips=2, out=tmp_path)
    assert all(path.read_bytes() == rows for path, rows in kept.items())
    assert resumed.rows() == whole.rows()
    with pytest.raises(BadResults):
        ask(model, blobs(3, n=1200), training, [quiet(0.1)], chips=2, out=tmp_path)


def test_finalists_of_earlier_calls_in_the_folder_count(model, test, training, tmp_path):
    alone = ask(model, test, training, [quiet(0.1)], chips=2, out=tmp_path)
    finalists = 3
    assert alone.tried[0].level == pytest.approx(1 - 0.05 / finalists)
    for i in range(5):
        (tmp_path / "confirm" / f"other-{i}").mkdir()
    again = ask(model, test, training, [quiet(0.1)], chips=2, out=tmp_path)
    assert again.tried[0].level == again.baseline.level == pytest.approx(1 - 0.05 / 6)
    assert again.tried[0].gain.half_width > alone.tried[0].gain.half_width
    assert "6 finalists" in " ".join(again.notes)


def test_a_search_without_time_says_what_it_left_out(model, test, training):
    advice = ask(model, test, training, [quiet(0.1)], max_seconds=1e-9, chips=2)
    assert [(t.status, t.reason) for t in advice.tried] == [("not tried", "the time was up")]
    assert advice.recommended is None and advice.baseline.status == "confirmed"


def test_the_report_is_one_file(model, test, training, tmp_path):
    advice = ask(model, test, training, [quiet(0.1), Nothing()], command="mho advise <x>")
    path = mho.report(advice, tmp_path)
    page = path.read_text()
    assert not re.search(r"(src|href)=\"(?!#)", page) and "://" not in page.replace("http://www.w3.org", "")
    assert "quiet" in page and "programming_noise" in page and "<svg" in page and "mho advise &lt;x&gt;" in page
    with (tmp_path / "advice.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["remedy"] for row in rows} == {"as it is", "quiet", "nothing"}
    chosen = [row for row in rows if row["recommended"] == "True"]
    assert len(chosen) == 2 and float(chosen[0]["gain_low"]) > 0
    nothing = mho.report(ask(model, test, training, [Nothing()], chips=2), tmp_path / "none").read_text()
    assert "is known to help" in nothing and "How to apply it" not in nothing


def test_samples_are_divided_once_and_for_all(test):
    data = TestData.of(test)
    choosing, reporting = divide(data, 0.25, 0)
    assert (choosing.info.samples, reporting.info.samples) == (900, 300)
    rows = [torch.cat([x for x, _ in part.batches]) for part in (choosing, reporting)]
    both = torch.cat(rows)
    assert len(torch.unique(both, dim=0)) == 1200 and choosing.info.classes == data.info.classes
    assert divide(data, 0.25, 0)[1].info.digest == reporting.info.digest != divide(data, 0.25, 1)[1].info.digest
    for wrong in (0.0, 1.0, 1e-9):
        with pytest.raises(WrongSetting, match="holdout"):
            divide(data, wrong, 0)


@pytest.mark.parametrize(
    ("chip", "sample", "rest"), [(0.0, 0.0, 1.0), (0.3, 0.0, 1.0), (0.0, 0.5, 1.0), (0.3, 0.5, 0.5)]
)
def test_the_crossed_interval_holds_the_mean_as_often_as_it_says(chip, sample, rest):
    rng, held, trials = np.random.default_rng(0), 0, 600
    for _ in range(trials):
        shape = (6, 40)
        found = chip * rng.normal(size=(6, 1)) + sample * rng.normal(size=(1, 40)) + rest * rng.normal(size=shape)
        interval = crossed(found, 0.95)
        held += interval.low <= 0 <= interval.high
    assert held / trials >= 0.93


def test_the_crossed_interval_of_equal_entries_and_of_too_few():
    assert crossed(np.full((3, 5), 0.25), 0.95).half_width == 0
    with pytest.raises(WrongSetting, match="two chips"):
        crossed(np.zeros((1, 5)), 0.95)
    one_sample = np.zeros((4, 50))
    one_sample[:, 7] = 1.0
    assert crossed(one_sample, 0.95).low < 0  # the same answer on every chip is still one answer


def test_gains_are_those_of_the_same_chips_and_samples(model, test, training):
    net = mho.calibrate(mho.to_analog(model, PCM), training)
    a, b = (mho.drift(net, test, TIMES, chips=3, seed=seed) for seed in (0, 1))
    assert mean_differences(a, b).mean() == pytest.approx(float((a.accuracy - b.accuracy).mean()))
    assert crossed(mean_differences(a, a), 0.95).half_width == 0
    with pytest.raises(WrongSetting, match="other chips"):
        mean_differences(a, mho.drift(net, test, TIMES, chips=4))


def case(model, test, training, hw=PCM, task="classes", effort="quick", train=None, folder=None):
    return Case(
        model, hw, TestData.of(test, task=task), tuple(training), train, train is not None, (86400.0, 31536000.0), 0,
        Effort.of(effort), folder,
    )  # fmt: skip


def test_every_shipped_remedy_applies_or_says_why_not(model, test, training):
    """Each that applies gives a network that can be programmed, and says what it costs."""
    here = case(model, test, training, effort="full")
    for remedy in table("full"):
        if remedy.tier == 4:
            assert "no training data" in remedy.applies(here)
            continue
        reason = remedy.applies(here)
        if reason is not None:
            assert reason and remedy.name in ("global compensation", "threshold recalibration")
            continue
        if remedy.name == "sensitive layers digital":
            with pytest.raises(NeverPossible, match="no layer"):  # both do more than 5 % of the work
                remedy.prepare(Plan(model), here)
            continue
        plan = remedy.prepare(Plan(model), here)
        old = mho.program(plan.network(here)).at("1 day")
        for recalibration in plan.recalibrate:
            old = recalibration(old)
        assert torch.isfinite(old(test[0][0])).all()
        assert plan.settings() or plan.changes or plan.ranges
        compile(plan.code("mho.Hardware.preset('pcm')", chips=2, seed=1), remedy.name, "exec")


def test_reasons_follow_the_case(model, test, training):
    ideal = case(model, test, training, hw=Hardware.preset("ideal"))
    assert "takes its range from data" in REMEDIES.find("ranges of least error")().applies(ideal)
    assert "do not change with time" in REMEDIES.find("compensation per column")().applies(ideal)
    offset = case(model, test, training, hw=PCM.replace(encoding={"kind": "offset"}))
    assert "no parallel pairs" in REMEDIES.find("all layers in two pairs")().applies(offset)
    plain = case(nn.Sequential(nn.Linear(12, 4)), test, training)
    assert "no batch norm" in REMEDIES.find("norm recalibration")().applies(plain) and not REMEDIES.find(
        "affine recalibration"
    )().applies(plain)
    labels = [(x, y % 2) for x, y in test]
    binary = case(model, labels, training, task="logit")
    assert REMEDIES.find("output recalibration")().applies(binary) and not REMEDIES.find(
        "threshold recalibration"
    )().applies(binary)


def test_training_is_kept_and_read_back(model, test, training, tmp_path):
    here = case(model, test, training, train=training, folder=tmp_path)
    first = REMEDIES.find("hardware-aware training")().prepare(Plan(model), here)
    again = REMEDIES.find("hardware-aware training")().prepare(Plan(model), here)
    states = [plan.model.state_dict() for plan in (first, again)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["0.weight"], model.state_dict()["0.weight"])
    assert first.costs.epochs == 1 and first.costs.labels and first.costs.training_s == again.costs.training_s > 0
    distilled = REMEDIES.find("hardware-aware distillation")().prepare(
        Plan(model), case(model, test, training, train=training)
    )
    assert not distilled.costs.labels and mho.accuracy(distilled.model, test) > 0.8
    compile(distilled.code("hw", chips=2, seed=1), "code", "exec")


def test_names_and_orders():
    assert REMEDIES.names()[0] == "ranges of least error" and [c.tier for c in table()] == sorted(
        c.tier for c in table()
    )
    assert {c.name for c in table("quick")} < {c.name for c in table("full")} == set(REMEDIES.names())
    with pytest.raises(WrongSetting, match="unknown remedy 'x'"):
        table(chosen=["x"])


@pytest.mark.parametrize(
    "wrong",
    [{"budget": 1.0}, {"budget": -0.1}, {"chips": 1}, {"effort": "some"}, {"times": []}, {"holdout": 2.0},
     {"confidence": 1.0}, {"train": []}],
)  # fmt: skip
def test_bad_arguments_are_named(model, test, training, wrong):
    with pytest.raises(WrongSetting):
        ask(model, test, training, [Nothing()], **wrong)


def test_how_much_would_tell_a_gain_from_zero():
    """With the numbers it names, the interval excludes zero about as often as a gain of that size should."""
    rng, c, n, true = np.random.default_rng(0), 8, 400, 0.02

    def gains(samples):
        return rng.normal(size=(1, samples)) * 0.3 + rng.normal(size=(c, samples)) * 0.3 + true

    undecided = found = None
    while undecided is None or not undecided.low <= 0 < undecided.value:
        table = gains(n)
        undecided, found = crossed(table, 0.95), enough(table, 0.95)
    assert found.samples > n and (found.chips is None or found.chips > c) and "about" in str(found)
    more, size = 0, round(1.3 * found.samples * (undecided.value / true) ** 2)
    for _ in range(20):
        more += crossed(gains(size), 0.95).low > 0
    assert more >= 10
    assert enough(-gains(n), 0.95) == Enough(None, None)


def test_undecided_is_not_known_not_to_help(model, test, training):
    from dataclasses import replace

    from mho.statistics.intervals import Interval

    advice = ask(model, test, training, [quiet(0.1)])
    (found,) = advice.tried
    undecided = replace(found, gain=Interval(0.0285, -0.0014, 0.0584), enough=Enough(1200, 40))
    told = replace(advice, tried=(undecided,)).sentence()
    assert (
        "undecided. quiet won +2.85 points [-0.14, +5.84]" in told and "neither known to help nor known not to" in told
    )
    assert "about 1,200 samples or about 40 chips would tell" in told
    none = replace(found, gain=Interval(-0.001, -0.003, 0.001))
    assert "nothing that was tried is known to help" in replace(advice, tried=(none,)).sentence()


def test_the_surest_gain_is_confirmed_whatever_else_looks_better_at_the_worst_age(model, test, training):
    """Margins at the worst age order many; the one whose screened interval is farthest above zero is measured again."""
    rivals = [quiet(0.3 - 0.01 * i, f"rival {i}", slot="cells") for i in range(4)]
    advice = ask(model, test, training, [*rivals, quiet(0.1, "sure", slot="writes")], budget=0.0, chips=4)
    confirmed = {t.name for t in advice.tried if t.status == "confirmed"}
    screened = [t for t in advice.tried if t.result is not None]
    assert len(confirmed) >= 3 and screened
    trials = [t for t in advice.tried if t.status == "screened"]
    assert all(t.gain.low <= max(s.gain.high for s in advice.tried if s.status == "confirmed") for t in trials)


def test_time_that_is_left_goes_into_more_confirmations(model, test, training):
    remedies = [quiet(5.0 - 0.5 * i, f"quieter {i}") for i in range(6)]
    agreed = ask(model, test, training, remedies, chips=2, budget=0.0)
    longer = ask(model, test, training, remedies, chips=2, budget=0.0, max_seconds=600)
    number = [sum(t.status == "confirmed" for t in one.tried) for one in (agreed, longer)]
    gained = sum(t.gain is not None and t.status in ("screened", "confirmed") for t in longer.tried)
    assert number[0] <= 3 < number[1] <= gained
    assert longer.baseline.level == pytest.approx(1 - 0.05 / number[1])


@pytest.mark.parametrize("divided", [True, False])
def test_the_lines_for_own_arguments_measure_what_was_confirmed(model, test, training, tmp_path, monkeypatch, divided):
    validation = None if divided else blobs(3, n=400)
    advice = ask(model, test, training, [quiet(0.1)], calibration=None, validation=validation, seed=5)
    assert advice.recommended is not None and not advice.shell(tmp_path)
    monkeypatch.chdir(tmp_path)
    own = {"model": model, "hw": PCM, "data": test, "validation": validation}
    exec(advice.snippet(), own)
    assert np.array_equal(own["result"].scores, advice.recommended.measured.scores)
    assert own["result"].header.data.digest == advice.recommended.measured.header.data.digest
    assert (tmp_path / "applied" / "report.html").exists()


def test_ranges_of_a_file_serve_the_network_as_it_is(model, test, training, tmp_path):
    from mho.calibration import load_ranges, save_ranges

    net = mho.calibrate(mho.to_analog(model, PCM), training, quantile=0.9)
    file = save_ranges(net, tmp_path / "r.safetensors")
    advice = ask(model, test, training, [Nothing(), quiet(0.1)], chips=2, ranges=file)
    assert f"load_ranges(mho.to_analog(model, hw, example=x), {str(file)!r})" in advice.baseline.code
    changed = next(t for t in advice.tried if t.name == "quiet")
    assert "load_ranges" not in changed.code, "another hardware has ranges of its own"
    again = load_ranges(mho.to_analog(model, PCM), file)
    held = divide(TestData.of(test), 0.5, 0)[1]
    expected = mho.drift(again, held, TIMES, chips=2, seed=1)
    assert [m.loss for m in advice.baseline.result.measurements] == [m.loss for m in expected.measurements]

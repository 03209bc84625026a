"""What the studies of noise share: kept networks, tables of draws and seeds, ranks, and claims on rows that were planted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, spearmanr
from torch import nn

import mho
from mho.data import load
from mho.errors import BadInput
from mho.statistics.intervals import Interval
from mho.studies import STUDIES
from mho.studies.noise.arm import DATA
from mho.studies.noise.base import within
from mho.studies.noise.descent import descended, loss
from mho.studies.noise.hardware import survival
from mho.studies.noise.measured import Measured, difference, interval
from mho.studies.noise.ranks import kendall, places, spearman, stronger
from mho.studies.noise.recipe import Recipe, Trained, trained
from mho.studies.noise.settings import SETTINGS, measured
from mho.studies.noise.sharpness import sharpness
from mho.studies.outcome import NotStored, Outcome
from mho.studies.runner import results, run
from mho.studies.study import Arm, Job

TINY = Recipe("plain_cnn?depth=3&width=2&channels=1", "digits?split=train&n=200", 2, lr=0.1, batch=50)


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Networks are kept in a folder of the test."""
    monkeypatch.setenv("MHO_TRAINED", str(tmp_path / "trained"))
    return tmp_path / "trained"


def _same(a, b):
    return all(torch.equal(t, b.net.state_dict()[name]) for name, t in a.net.state_dict().items())


def test_a_recipe_is_trained_once_and_is_the_same_when_made_again(kept, monkeypatch):
    first = trained(TINY, 0)
    assert len(first.losses) == 2 and not first.net.training
    with monkeypatch.context() as patch:
        patch.setattr("mho.studies.noise.recipe.fit", None)
        assert _same(first, trained(TINY, 0))
    (about,) = [json.loads(file.read_text()) for file in kept.glob("*.json")]
    assert about["network"] == TINY.network and about["seed"] == 0
    monkeypatch.setenv("MHO_TRAINED", str(kept / "elsewhere"))
    assert _same(first, trained(TINY, 0)) and not _same(first, trained(TINY, 1))


def test_one_descent_gives_the_network_of_equal_epochs_and_that_of_equal_loss(monkeypatch):
    constant, on = replace(TINY, schedule="constant", lr=0.02), load(TINY.data)
    whole = trained(replace(constant, epochs=3), 0)
    level = loss(whole.net, on)
    found = descended(constant, 0, on, until=level, most=5)
    assert (len(found["epochs"].losses), len(found["loss"].losses)) == (2, 3)
    assert _same(found["loss"], whole) and found["epochs"].losses == found["loss"].losses[:2]
    assert loss(found["loss"].net, on) == pytest.approx(found["loss"].losses[2])
    with monkeypatch.context() as patch:
        patch.setattr("mho.studies.noise.recipe.fit", None)
        assert _same(found["loss"], descended(constant, 0, on, until=level, most=5)["loss"]), "kept, not made again"
    never = descended(constant, 0, on, until=0.0, most=3)
    assert set(never) == {"epochs"}
    assert descended(replace(constant, lr=1e30), 0, on, until=0.0, most=3) == {}


def _rows(scores, clean=0.8, setting="weights", **about):
    """Made-up rows: scores (E, draws) at η = 0.1, 0.2 …"""
    first = {"setting": "clean", "score": clean, "images": 100, "chance": 0.1, "learned": clean > 0.2, **about}
    return [first, *({"setting": setting, "eta": 0.1 * (i + 1), "scores": list(row), "not_finite": [0] * len(row)}
                     for i, row in enumerate(scores))]  # fmt: skip


def _measured(name, *runs):
    return Measured(Outcome(Arm(name, name), dict(enumerate(runs))))


def test_tables_of_draws_and_seeds():
    a = _measured("a", _rows([[0.8, 0.8], [0.4, 0.6]]), _rows([[0.9, 0.9], [0.9, 0.9]], clean=0.9))
    b = _measured("b", _rows([[0.4, 0.6], [0.4, 0.4]]), _rows([], clean=0.1))
    np.testing.assert_allclose(a.averages("weights"), [[0.75, 1.0], [0.875, 1.0]])
    np.testing.assert_allclose(a.kept("weights")[0], [(1 + 0.3 / 0.7) / 2, 1.0])
    assert a.seeds == [0, 1] and b.seeds == [0] and b.failed == [1]
    assert difference(a, b, "weights").value == pytest.approx(0.8125 - 0.5625), "seed 0 alone is in both"
    assert a.shares("weights")[1][1].value == pytest.approx((0.5 + 0.75 + 1 + 1) / 4)
    with pytest.raises(NotStored, match="not measured under 'max'"):
        a.averages("max")
    with pytest.raises(NotStored, match="no network of arm 'c' learned"):
        _measured("c", _rows([[0.1]], clean=0.1)).averages("weights")


def test_a_planted_robust_and_a_planted_fragile_network_are_ranked_right():
    """The same function twice: half of the fragile one's answer is the difference of large weights."""
    torch.manual_seed(0)
    robust, fragile = nn.Sequential(nn.Linear(8, 2)), nn.Sequential(nn.Linear(16, 2))
    with torch.no_grad():
        fragile[0].weight[:, :8] = robust[0].weight + 3
        fragile[0].weight[:, 8:] = -3
        fragile[0].bias.copy_(robust[0].bias)
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    y = robust(x).argmax(1)
    data = {1: mho.data.Dataset("x", x, y, ("a", "b")), 2: mho.data.Dataset("xx", torch.cat([x, x], 1), y, ("a", "b"))}
    arms = [
        _measured(f"{i}", list(measured(net, data[i], ["weights", "max"], "cpu")))
        for i, net in ((1, robust), (2, fragile))
    ]
    for setting in ("weights", "max"):
        tables = [arm.averages(setting) for arm in arms]
        assert interval(tables[0] - tables[1]).low > 0.02
        assert [place.value for place in places(tables)] == [1, 2]
    assert arms[0].clean.value == arms[1].clean.value == 1.0


def test_scopes_that_are_the_same_by_construction_give_the_same_rows():
    """Without running statistics every stored tensor is a parameter."""
    net = trained(Recipe("plain_cnn?depth=3&width=2&channels=1&norm=none", TINY.data, 1, batch=50), 0).net
    rows = list(measured(net, load("digits?n=200"), ["parameters", "all"], "smoke"))
    assert rows[0]["score"] == mho.accuracy(net, load("digits?n=200"))
    parts = [[(row["eta"], row["scores"]) for row in rows if row["setting"] == name] for name in ("parameters", "all")]
    assert parts[0] == parts[1] and len(parts[0]) == 2


def test_rank_correlations_are_those_of_scipy():
    x, y = np.array([1.0, 2, 3, 4, 5, 5, 7]), np.array([2.0, 1, 4, 4, 3, 7, 6])
    found = spearman(x, y)
    assert found.value == pytest.approx(spearmanr(x, y).statistic) and found.low < found.value < found.high
    assert kendall(x[:5], y[[0, 1, 2, 4, 5]]) == pytest.approx(kendalltau(x[:5], y[[0, 1, 2, 4, 5]]).statistic)
    assert stronger(y, x, y).value == pytest.approx(1 - found.value) and stronger(x, x, y).high == 0
    assert stronger(-y, x, y).value == pytest.approx(1 - found.value) and stronger(-x, x, y).value == pytest.approx(0)
    many = np.random.default_rng(0).normal(size=(2, 400))
    wide = spearman(many[0], many[0] + many[1])
    assert wide.low > 0.5 and wide.high < 0.85
    with pytest.raises(NotStored, match="3 networks"):
        spearman(x[:3], y[:3])


def test_sharpness_is_the_largest_eigenvalue():
    torch.manual_seed(0)
    net, x, y = nn.Sequential(nn.Linear(3, 2)), torch.randn(40, 3), torch.randint(0, 2, (40,))
    w, size = net[0].weight, net[0].weight.detach().std(correction=0)

    def loss(flat):
        return nn.functional.cross_entropy(nn.functional.linear(x, flat.view(2, 3), net[0].bias), y)

    exact = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, w.detach().flatten()))[-1] * size**2
    assert sharpness(net, x, y) == pytest.approx(float(exact), rel=0.05)


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(-0.01, 0.01, "holds"), (0.03, 0.04, "fails"), (-0.01, 0.03, "depends")]
)
def test_within(low, high, verdict):
    assert within("a", Interval((low + high) / 2, low, high), 0.02).verdict == verdict


def _store(out, study, score):
    """Rows of every arm at smoke scale; `score` says what an arm keeps under a setting, in share."""
    arms = STUDIES.find(study)().arms("smoke")
    for arm in arms:
        for seed in range(arm.seeds):
            rows = _rows([], clean=0.9, parameters=1000)
            for name in arm.settings:
                rows += _rows([[0.9 * score(arm.name, name) + 0.001 * (d + seed) for d in range(3)]] * 2, setting=name)[
                    1:
                ]
            (out / arm.folder(seed)).mkdir(parents=True)
            (out / arm.folder(seed) / "rows.json").write_text(json.dumps(rows))
    (out / "study.json").write_text(json.dumps({"study": study, "scale": "smoke"}))
    study = STUDIES.find(study)()
    return {claim.sentence: claim.judge(results(study, out)).verdict for claim in study.claims}


def test_claims_of_batch_norm_follow_what_is_planted(tmp_path):
    worth = {"none": 0.9, "some": 0.7, "batch": 0.5, "group": 0.6, "layer": 0.4, "short": 0.5}

    def closed(arm, setting):
        kind = arm.rpartition("-")[2]
        return 0.9 if setting == "channel" else worth[kind] + 0.1 * (setting == "recalibrated")

    found = list(_store(tmp_path / "a", "noise-batchnorm", closed).values())
    assert found == [
        *("holds", "holds", "holds", "fails", "fails", "holds", "fails"),
        *("holds", "holds", "holds", "holds", "fails", "depends", "depends", "depends"),
    ]
    found = list(_store(tmp_path / "b", "noise-batchnorm", lambda arm, _: 1.4 - worth[arm.rpartition("-")[2]]).values())
    assert found == [
        *("fails", "fails", "fails", "holds", "holds", "fails", "fails"),
        *("holds", "fails", "fails", "fails", "holds", "depends", "depends", "depends"),
    ]


def test_claims_of_norm_types_follow_what_is_planted(tmp_path):
    def statistic_alone(arm, setting):
        return 0.5 + 0.2 * (setting == "statistics" and not arm.endswith("batch"))

    found = list(_store(tmp_path / "a", "noise-norm-type", statistic_alone).values())
    assert found[0] == "holds" and found[4] == "holds" and found[6:] == ["fails", "holds", "holds"]
    assert found[1] == "fails" and found[5] == "depends", "no difference is no gain"
    found = list(
        _store(tmp_path / "b", "noise-norm-type", lambda arm, _: 0.8 if arm.endswith("topk") else 0.5).values()
    )
    assert found[0] == "depends" and found[1:5] == ["depends"] * 4


@pytest.mark.parametrize("part", ["weight", "running_mean"])
def test_what_ran_away_in_its_last_step_is_a_row_and_no_fault(part, monkeypatch):
    """Finite losses, and then weights or statistics that are not."""
    arm = STUDIES.find("noise-batchnorm")().arms("smoke")[1]
    net = replace(arm.recipe, epochs=1).begun(0).eval()
    getattr(net.bn1, part).data[0] = float("nan")
    monkeypatch.setattr("mho.studies.noise.arm.trained", lambda *_, **__: Trained(net, (2.0,)))
    (row,) = arm.rows(Job(Path(), Path(), "smoke"))
    assert not row["learned"] and "not finite without noise" in row["absent"]


def test_a_fault_that_is_no_divergence_is_raised(monkeypatch):
    arm = STUDIES.find("noise-batchnorm")().arms("smoke")[1]

    def no_file(*_, **__):
        raise BadInput("no file", "fetch it")

    monkeypatch.setattr("mho.studies.noise.arm.trained", no_file)
    with pytest.raises(BadInput, match="no file"):
        arm.rows(Job(Path(), Path(), "smoke"))


def test_answers_that_are_not_finite_count_as_wrong_or_as_guesses():
    rows = _rows([[0.4, 0.4]])
    rows[1]["not_finite"] = [0, 50]
    a = _measured("a", rows)
    np.testing.assert_allclose(a.averages("weights"), [[0.5], [0.5]])
    np.testing.assert_allclose(a.averages("weights", guessed=True), [[0.5], [(0.4 + 0.5 * 0.1) / 0.8]])
    assert a.not_finite("weights") == 50


def test_survival_is_of_what_the_network_has_on_the_same_samples():
    runs = [[*_rows([], clean=0.8), {"setting": "pcm, 1 day", "digital": d, "scores": [0.5, 0.3]}] for d in (0.9, 0.5)]
    found = survival(_measured("a", *runs), "pcm, 1 day")
    assert found.value == pytest.approx((0.3 / 0.8 + 0.3 / 0.4) / 2)


def _rates(tmp_path, worth):
    """Judges the claims of the learning rate on rows: `worth` says what is left of 0.9 at a rate, of a part and seed."""
    arms = STUDIES.find("noise-learning-rate")().arms("smoke")
    for arm in arms:
        for seed in range(3):
            rows = []
            for part in ("epochs", "loss"):
                kept = worth(arm.recipe.lr, part, seed)
                made = _rows(
                    [],
                    clean=0.9 if kept else 0.0,
                    sharpness=1 / max(kept, 0.1),
                    loss=1.0,
                    epochs=2,
                    std=1,
                    max_over_std=3,
                )
                for name in arm.settings:
                    made += _rows([[0.9 * kept + 0.001 * d for d in range(3)]] * 2, setting=name)[1:] if kept else []
                rows += [{**row, "part": part} for row in made]
            (tmp_path / arm.folder(seed)).mkdir(parents=True)
            (tmp_path / arm.folder(seed) / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "study.json").write_text(json.dumps({"study": "noise-learning-rate", "scale": "smoke"}))
    study = STUDIES.find("noise-learning-rate")()
    return [claim.judge(results(study, tmp_path)) for claim in study.claims]


def test_the_best_rate_is_chosen_on_other_seeds(tmp_path):
    """Each seed has a best rate of its own by luck: chosen on the others it is worth nothing."""
    rates = [0.001, 0.01, 0.1, 1.0]
    lucky = _rates(tmp_path / "a", lambda lr, part, seed: 0.5 + 0.2 * (rates.index(lr) == seed))
    assert lucky[0].verdict != "holds"
    inside = _rates(tmp_path / "b", lambda lr, part, seed: 0.5 + 0.2 * (lr == 0.01) + 0.001 * seed)
    assert [found.verdict for found in inside[:2]] == ["holds", "holds"] and "0.01" in inside[0].evidence
    end = _rates(tmp_path / "c", lambda lr, part, seed: 0.5 + 0.1 * rates.index(lr))
    assert end[0].verdict == "fails" and end[2].verdict == "holds"
    half = _rates(tmp_path / "d", lambda lr, part, seed: 0.0 if lr == 1.0 and seed == 1 else 0.5 + 0.1 * (lr == 0.01))
    assert "against the largest, 0.1 " in half[0].evidence, "a rate at which one seed diverged is none that learned"


@pytest.mark.slow
def test_arms_are_measured_side_by_side_to_the_same_rows(tmp_path, monkeypatch):
    out = [tmp_path / "one", tmp_path / "two"]
    for folder, workers in zip(out, (1, 2), strict=True):
        monkeypatch.setenv("MHO_TRAINED", str(folder / "trained"))
        run(STUDIES.find("noise-architectures")(), folder, "smoke", only="lenet", workers=workers)
    for seed in range(2):
        rows = [(folder / f"digits-lenet-seed{seed}" / "rows.json").read_text() for folder in out]
        assert rows[0] == rows[1]


@pytest.mark.parametrize("name", [name for name in STUDIES.names() if name.startswith("noise")])
def test_every_scale_has_its_arms(name):
    """Networks can be made, arms have names of their own, what two studies share has one recipe."""
    study = STUDIES.find(name)()
    for scale in ("smoke", "cpu", "full"):
        arms = study.arms(scale)
        assert len({arm.name for arm in arms}) == len(arms) > 2
        assert all(set(arm.settings) <= set(SETTINGS) for arm in arms)
        for arm in arms if scale != "full" else ():
            if arm.recipe.network and not getattr(arm, "published", ""):
                assert isinstance(arm.recipe.begun(0), nn.Module)
    assert DATA["cpu"][1].network("lenet?norm=l1") == "lenet?norm=l1&channels=1&size=28"


def test_studies_share_their_trainings():
    def recipes(name):
        return {arm.recipe.place(0).name for arm in STUDIES.find(name)().arms("cpu") if arm.seeds}

    assert len(recipes("noise-and-hardware") & recipes("noise-architectures")) == 13
    assert len(recipes("noise-and-hardware") & recipes("noise-batchnorm")) == 3
    assert len(recipes("noise-norm-type") & recipes("noise-batchnorm")) == 1


def test_sharpness_of_attention_is_found():
    net = mho.models.vit_cifar(dim=8, layers=1, channels=1, size=8).eval()
    assert sharpness(net, torch.randn(6, 1, 8, 8), torch.arange(6)) > 0

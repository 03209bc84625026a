"""What σ means in `cim-resnet`, cell by cell, and its slopes on planted rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.data import Dataset
from mho.errors import BadInput
from mho.studies.cim_resnet import networks
from mho.studies.cim_resnet.claims import CLAIMS
from mho.studies.cim_resnet.held import Held, interval, slope, slope_of_depth
from mho.studies.cim_resnet.networks import NETS, data_of, made, part
from mho.studies.cim_resnet.study import IMAGES, CimResNet
from mho.studies.definitions import DEFINITIONS, SIGMAS
from mho.studies.outcome import Outcome, Results
from mho.studies.study import Job


def _digits(whole):
    return torch.stack([whole % 16, whole // 16])


def _cut(mean, size):
    """Mean and variance of a normal value where what is below 0 becomes 0."""
    wide = size.clamp_min(1e-12)
    share = torch.special.ndtr(mean / wide)
    bell = wide * torch.exp(-((mean / wide) ** 2) / 2) / (2 * torch.pi) ** 0.5
    middle = mean * share + bell
    return middle, (mean**2 + wide**2) * share + mean * bell - middle**2


def _expected(name, weight, sigma):
    """Mean and standard deviation of each weight's error, from the digits that its cells hold."""
    if name.startswith("weight"):
        size = {"weight": weight.abs(), "weight-max": weight.abs().max(), "weight-std": weight.std(correction=0)}[name]
        return torch.zeros_like(weight), sigma * size.expand_as(weight)
    largest = weight.abs().max() if "tensor" in name else weight.abs().amax(1, keepdim=True)
    whole = (weight / largest * 127).round()
    place = torch.tensor([1.0, 16.0])[:, None, None]
    held = [_digits(whole.clamp_min(0)), _digits((-whole).clamp_min(0))] if "pair" in name else [_digits(whole + 128)]
    lowest = 15 / 0.9 / 10 if "ratio" in name else 0.0  # of 15 states, with g_min a tenth of g_max
    middle, variance = torch.zeros_like(weight), torch.zeros_like(weight)
    for sign, digits in zip((1, -1), held, strict=False):
        size = {"gmax": torch.tensor(15.0), "level": torch.tensor(1.0)}.get(name.split("-")[-1], digits + lowest)
        mean, square = _cut(digits + lowest, sigma * size.expand_as(digits))
        middle += sign * (place * (mean - digits - lowest)).sum(0)
        variance += (place**2 * square).sum(0)
    return middle * largest / 127, variance.clamp_min(0).sqrt() * largest / 127


@pytest.mark.parametrize(
    "name",
    [
        "ideal",
        "ideal-tensor",
        "gmax",
        "level",
        "pair",
        "ideal-ratio",
        "pair-gmax",
        "weight",
        "weight-max",
        "weight-std",
    ],
)
def test_what_sigma_does_to_a_weight(name):
    """On the chips that the study runs, but for converters: conductances are cut at 0, which shifts and narrows errors there."""
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 64, bias=False), torch.eye(64)

    def read(sigma):
        hw = replace(DEFINITIONS[name], bits=None).hardware(sigma).replace(dac={"bits": None})
        return mho.program(mho.to_analog(layer, hw, example=x)).at(0.0)(x).detach().T

    quiet = read(0.0)
    if not name.startswith("weight"):
        largest = layer.weight.abs().max() if "tensor" in name else layer.weight.abs().amax(1, keepdim=True)
        torch.testing.assert_close(quiet, (layer.weight / largest * 127).round() * largest / 127)
    for sigma in (0.05, 0.2):
        middle, size = _expected(name, layer.weight.detach(), sigma)
        found, moved = read(sigma), size > 1e-9
        error = ((found - quiet - middle) / size.clamp_min(1e-12))[moved]
        assert float(error.std()) == pytest.approx(1, abs=0.05) and abs(float(error.mean())) < 0.06
        torch.testing.assert_close(found[~moved], quiet[~moved])


def test_labels_say_where_cells_are_cut():
    for definition in DEFINITIONS.values():
        (variation,) = definition.hardware(0.2).variations
        cells = definition.redraw == "program" and not definition.relative_to.startswith("weight")
        assert variation.clip == ("positive" if cells else "none")
        assert ("cut at 0" in definition.label) == (definition.relative_to in ("gmax", "level"))


def _held(depth, kept, chips=10):
    """An arm whose networks are right for 0.9 at σ = 0, and keep `kept` of what is above chance."""
    arm = next(a for a in CimResNet().arms("cpu") if a.name == f"ideal-resnet{depth}")
    noise = np.random.default_rng(depth).normal(0, 0.01, chips)
    rows = [{"sigma": s, "scores": list(0.1 + 0.8 * (kept + noise if s else np.ones(chips)))} for s in SIGMAS]
    return Outcome(arm, {0: rows})


def test_slopes_over_depth():
    results = Results({f"ideal-resnet{d}": _held(d, 0.8 - 0.005 * d) for d in (20, 32, 44, 56)})
    nets = [Held(outcome, "cpu") for outcome in results.values()]
    assert interval(nets[0].kept()).value == pytest.approx(0.7, abs=0.01)
    for found in (slope(nets), slope_of_depth(nets)):
        assert found.value == pytest.approx(-0.06, abs=0.006) and found.low <= -0.06 <= found.high
    verdicts = [claim.judge(results).verdict for claim in CLAIMS]
    assert verdicts[:2] == ["holds", "holds"] and verdicts[2] == "open"


def _planted(name, kept, clean=0.9):
    """An arm right for `clean` at σ = 0; `kept`: chips × seeds of what is left of what is above chance at each other σ."""
    arm = next(arm for arm in CimResNet().arms("cpu") if arm.name == name)
    clean, kept = np.broadcast_to(clean, kept.shape), np.asarray(kept)
    return Outcome(arm, {
        seed: [{"sigma": s, "scores": list(0.1 + (clean - 0.1)[:, seed] * (kept[:, seed] if s else 1.0))} for s in SIGMAS]
        for seed in range(kept.shape[1])
    })  # fmt: skip


def _judged(results, words):
    (claim,) = [claim for claim in CLAIMS if words in claim.sentence]
    return claim.judge(Results(results))


def test_networks_are_compared_in_the_seeds_that_both_have():
    kept = np.random.default_rng(0).uniform(0.4, 0.6, (10, 2))
    whole = {f"ideal-width{w}": _planted(f"ideal-width{w}", kept * w / 32) for w in (8, 16, 32)}
    part = {
        name: outcome if "16" in name else Outcome(outcome.arm, {0: outcome.runs[0]}) for name, outcome in whole.items()
    }
    first = {name: Outcome(outcome.arm, {0: outcome.runs[0]}) for name, outcome in whole.items()}
    told = [_judged(found, "Narrower").evidence for found in (whole, part, first)]
    assert told[1] == told[2] != told[0]


def test_slope_of_depth_is_right_as_often_as_it_says():
    """Where chips have slopes of their own, where networks scatter, and where both do; the true slope is 0."""
    rng, x = np.random.default_rng(0), np.array([20.0, 32.0, 44.0, 56.0])
    for of_chips, of_nets in ((0.05, 0.0), (0.0, 0.05), (0.05, 0.05)):
        inside = []
        for _ in range(200):
            kept = np.outer((x - 38) / 12, of_chips * rng.normal(size=10)) + of_nets * rng.normal(size=(4, 1))
            kept = kept + 0.02 * rng.normal(size=(4, 10)) + 0.05 * rng.normal(size=10)
            nets = [SimpleNamespace(net=SimpleNamespace(factor=f), kept=lambda row=row: row[:, None])
                    for f, row in zip(x, kept, strict=True)]  # fmt: skip
            found = slope_of_depth(nets)
            assert found.half_width >= slope(nets).half_width - 1e-12
            inside.append(found.low <= 0 <= found.high)
        assert np.mean(inside) > 0.9  # 0.95, less three standard errors
    assert slope_of_depth([SimpleNamespace(net=net.net, kept=lambda: np.ones((1, 1))) for net in nets]).high == np.inf


def test_relation_is_of_one_data_set_without_tuned_copies():
    """Within both data sets less is kept by what is more accurate; together, or with copies, it looks the other way round."""
    order = ("width16", "width8", "width32", "kernel1", "kernel5", "plain3", "plain1", "plain5", "squeeze")
    there = {f"ideal-{name}": (0.6 + i / 100, 0.5 - i / 100) for i, name in enumerate(order)}
    second = [name for name, net in NETS.items() if net.data]
    there |= {f"ideal-{name}": (0.9 + i / 100, 0.9 - i / 100) for i, name in enumerate(second)}
    there |= {f"ideal-tuned{depth}": (0.99, 0.99) for depth in (20, 32, 44, 56)}
    results = {name: _planted(name, np.full((2, 1), kept), clean) for name, (clean, kept) in there.items()}
    found = _judged(results, "no clear relation")
    assert found.verdict == "fails" and found.evidence.count("-1.00 [-1.00, -1.00]") == 2
    assert "9 trained networks, CIFAR-10" in found.evidence and "6 trained networks, MNIST" in found.evidence
    few = dict(list(results.items())[:3])
    assert _judged(few, "no clear relation").verdict == "open"


@pytest.mark.parametrize(("seeds", "verdict"), [(0.0, "holds"), (0.05, "depends")])
def test_ranking_turns_on_the_same_chips(seeds, verdict):
    """Chips differ more than the networks, yet alike in both; training seeds are nobody's pair, though they differ alike, too."""
    rng = np.random.default_rng(0)
    chips, of_seeds = 0.1 * rng.normal(size=(10, 1)), seeds * np.array([[-1.0, 0.0, 1.0]])
    clean = 0.8 + 0.5 * chips + of_seeds
    kept = 0.6 + chips + of_seeds
    results = {"ideal-width16": _planted("ideal-width16", kept, clean + 0.01),
               "ideal-squeeze": _planted("ideal-squeeze", kept + 0.05, clean)}  # fmt: skip
    assert _judged(results, "behind with much").verdict == verdict
    never = {"ideal-width16": results["ideal-width16"], "ideal-squeeze": _planted("ideal-squeeze", kept - 0.05, clean)}
    assert _judged(never, "behind with much").verdict == "fails"


def _images(count):
    return Dataset("numbers", torch.arange(float(count)), torch.zeros(count, dtype=torch.int64))


def test_second_data_set_is_named_and_chance_is_that_of_its_classes(monkeypatch):
    label = {scale: data_of(NETS["second3"], scale).label for scale in IMAGES}
    assert label == {"smoke": "digits", "cpu": "MNIST", "full": "Fashion-MNIST"}
    assert {data_of(NETS["resnet20"], scale).label for scale in ("cpu", "full")} == {"CIFAR-10"}
    asked = []
    monkeypatch.setattr(
        networks, "trained", lambda recipe, *_, **__: asked.append(recipe.data) or SimpleNamespace(net=None)
    )
    monkeypatch.setattr(networks, "load", lambda name: asked.append(name) or _images(9))
    made("second3", Job(Path(), Path(), "full"), 5)
    assert len(asked) == 3 and all(name.startswith("fashion-mnist?") for name in asked)
    held = Held(_planted("ideal-second3", np.full((2, 1), 0.5)), "cpu")
    assert held.corrected(0.1) == pytest.approx(0.5)
    many = [replace(data, classes=100) for data in networks.DATA["cpu"]]
    monkeypatch.setattr(networks, "DATA", {"cpu": many})
    found = Held(_planted("ideal-second3", np.full((2, 1), 0.5)), "cpu").corrected(0.1)
    assert found == pytest.approx((0.5 - 0.01) / (0.9 - 0.01))


def test_chips_share_no_image():
    for scale in ("cpu", "full"):
        assert CimResNet.chips[scale] * IMAGES[scale] <= 10_000  # test images of CIFAR-10, MNIST and Fashion-MNIST
    data = _images(100)
    parts = [part(data, chip, IMAGES["smoke"]) for chip in range(CimResNet.chips["smoke"])]
    joined = torch.cat([each.inputs for each in parts])
    assert torch.equal(joined, data.inputs[: len(joined)]) and len(joined) == 80
    with pytest.raises(BadInput, match=r"test images are too few for 26 chips of 40 each"):
        part(data, 25, 40)


def test_arms_have_names_of_their_own():
    for scale in ("smoke", "cpu", "full"):
        names = [arm.name for arm in CimResNet().arms(scale)]
        assert len(names) == len(set(names))

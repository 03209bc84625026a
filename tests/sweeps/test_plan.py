from __future__ import annotations

import re

import pytest

from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware
from mho.sweeps import Config, Factor, Plan, trials
from mho.sweeps.balance import associations, counts

TWO = {"hardware.dac.bits": [2, 4], "hardware.noise.output": {"log": ["1e-3", 0.1], "levels": 3}}
FIXED = {
    "hardware.adc.range": ["calibrated", "fixed"],
    "hardware.adc.bound": {"values": [5, 20, 40], "when": {"hardware.adc.range": "fixed"}},
}
TRAINING = {"data": "tiny_sweep:data", "hwa": {"weights": {"kind": "gaussian", "sigma": 0.1}}}


def read(base, **more):
    return Plan.read({**base, **more})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"factrs": {}}, "unknown key 'factrs'; known here: network"),
        ({"factors": {}}, "factors"),
        ({"factors": {"hardware.dac.bits": []}}, "hardware.dac.bits: an empty list of levels"),
        ({"factors": {"hardware.dac.bits": [4]}}, "4 is the only level"),
        ({"factors": {"hardware.dac.bits": [4, 4]}}, "the level 4 stands there twice"),
        ({"factors": {"hardware.dac.bits": 4}}, "4 are no levels"),
        ({"factors": {"hardware.dac.bits": [1, 4]}}, "greater than or equal to 2, got 1"),
        ({"factors": {"hardware.dax.bits": [2, 4]}}, "there is no setting 'dax.bits'"),
        ({"factors": {"hardware.dac.bitz": [2, 4]}}, "unknown key 'bitz'"),
        ({"factors": {"chips": [2, 4]}}, "a factor begins with one of network, hardware"),
        ({"factors": {"hardware.noise.output": {"log": [0, 1], "levels": 3}}}, "begins at or below 0"),
        ({"factors": {"hardware.noise.output": {"linear": [1, 0], "levels": 3}}}, "has no length"),
        ({"factors": {"hardware.noise.output": {"linear": [0, 1]}}}, "the design 'grid' needs levels"),
        ({"factors": {"hardware.noise.output": {"linear": [0, 1], "log": [1, 2]}}}, "as linear|as log and as linear"),
        ({"factors": {"hardware.dac.bits": {"values": [2, 4], "levels": 2}}}, "levels has no effect on a list"),
        ({"factors": {"hardware.dac.bits": {"values": [2, 4], "whenn": {}}}}, "unknown key"),
        ({"factors": {"hardware.dac.bits": {"values": [2, 4], "when": {"hardware.adc.bits": 4}}}}, "no other factor"),
        ({"factors": {**TWO, "hardware.adc.bits": {"values": [2, 4], "when": {"hardware.dac.bits": 5}}}}, "no level of"),
        ({"factors": {"training.lr": [0.1, 0.2]}}, "nothing is trained"),
        ({"factors": TWO, "seeds": 2}, "2 training seeds, and nothing is trained"),
        ({"factors": TWO, "seeds": [1, 1], "training": TRAINING}, "has a seed twice"),
        ({"factors": {"training.lr": [0.1, -1]}, "training": TRAINING}, "lr"),
        ({"factors": {"training.hardware.adc.bits": [4, 8]}, "training": TRAINING}, "training has no hardware of its own"),
        ({"factors": {"training.hwa.weights.sigma": [0, "x"]}, "training": TRAINING}, "sigma"),
        ({"factors": TWO, "training": {**TRAINING, "lrr": 3}}, "unknown key"),
        ({"factors": TWO, "chips": 0}, "chips"),
        ({"factors": TWO, "hardware": "nothing"}, "unknown preset 'nothing'"),
        ({"factors": TWO, "ages": "1 parsec"}, "parsec"),
        ({"factors": TWO, "task": "guessing"}, "guessing"),
        ({"factors": TWO, "calibration": {"method": "max", "sigmas": 2}}, "sigmas"),
        ({"factors": TWO, "network": "resnet20"}, "'resnet20' without weights is a random network"),
        ({"factors": TWO, "design": "bayesien"}, "unknown design 'bayesien'"),
        ({"factors": TWO, "design": {"kind": "grid", "trials": 3}}, "unknown key"),
        ({"factors": TWO, "design": {"kind": "lhs"}}, "'trials' is missing|trials"),
        ({"factors": FIXED, "design": "one_at_a_time"}, "the base does not meet the condition"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_name(base, more, told):
    with pytest.raises(WrongSetting, match=told):
        read(base, **more)


def test_all_mistakes_are_told_at_once(base):
    factors = {"hardware.dac.bits": [1, 4], "hardware.dax.bits": [2, 3], "foo": [1, 2], "training.lr": [1, 2]}
    with pytest.raises(WrongSetting) as raised:
        read(base, factors=factors, seeds=3)
    assert all(path in str(raised.value) for path in (*factors, "seeds"))
    with pytest.raises(WrongSetting) as raised:
        read(base, factors={"hardware.dac.bits": []}, hardware="nothing", chips=0, design="none", ages="never")
    assert all(key in str(raised.value) for key in ("hardware.dac.bits", "nothing", "chips", "design", "never"))


@pytest.mark.parametrize("text", ["factors: [", "- 1\n", "network: a\nnetwork: b\n", ""])
def test_a_file_that_is_no_mapping_is_refused_with_its_path(text, tmp_path):
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(BadInput, match=re.escape(str(tmp_path / "sweep.yaml"))):
        Plan.read(tmp_path / "sweep.yaml")
    with pytest.raises(BadInput, match="no_file"):
        Plan.read(tmp_path / "no_file.yaml")


def test_the_grid_crosses_all_levels_and_conditions_hold(base):
    plan = read(base, factors={**TWO, **FIXED})
    points = plan.points()
    assert len(points) == 2 * 3 * (1 + 3)
    assert all(("hardware.adc.bound" in p) == (p["hardware.adc.range"] == "fixed") for p in points)
    found = trials(plan)
    assert found[0].levels == {
        "hardware.dac.bits": 2, "hardware.noise.output": 0.001, "hardware.adc.range": "calibrated", "hardware.adc.bound": None,
    }  # fmt: skip
    hw = Hardware.preset("pcm", dac__bits=4, noise__output=0.1, adc__range="fixed", adc__bound=40)
    assert found[-1].config.hardware == hw
    levels = [trial.levels for trial in found]
    assert counts(levels, "hardware.dac.bits") == {"2": 12, "4": 12}
    assert counts(levels, "hardware.noise.output") == {"0.001": 8, "0.01": 8, "0.1": 8}
    together = associations(levels)
    assert together[0][:2] == ("hardware.adc.range", "hardware.adc.bound") and together[0][2] > 0.9
    assert [v for _, _, v in together[1:]] == [0] * 5


def test_one_at_a_time_stays_around_the_base_and_tries_it_once(base):
    plan = read(
        base, design="one_at_a_time", factors={"hardware.dac.bits": [2, 8], "hardware.noise.output": [0.0, 0.1]}
    )
    assert [t.levels for t in trials(plan)] == [
        {"hardware.dac.bits": 8, "hardware.noise.output": 0.04}, {"hardware.dac.bits": 2, "hardware.noise.output": 0.04},
        {"hardware.dac.bits": 8, "hardware.noise.output": 0.0}, {"hardware.dac.bits": 8, "hardware.noise.output": 0.1},
    ]  # fmt: skip


def test_around_the_base_a_whole_section_keeps_its_level(base):
    plan = read(base, design="one_at_a_time", factors={"hardware": ["hermes", "reram"], "hardware.dac.bits": [2, 4]})
    at_base = Hardware.preset("pcm").as_dict()
    assert [t.levels["hardware"] for t in trials(plan)] == [at_base, "hermes", "reram", at_base, at_base]


@pytest.mark.parametrize("kind", ["random", "lhs", "sobol"])
def test_drawn_designs_stay_in_their_spans_and_depend_on_their_seed(base, kind):
    factors = {"hardware.noise.output": {"log": [0.001, 0.3]}, "hardware.dac.bits": [2, 4, 6, 8]}
    first, again, other = (
        read(base, factors=factors, design={"kind": kind, "trials": 16, "seed": seed}).points() for seed in (0, 0, 1)
    )
    assert first == again != other and len(first) == 16
    noises = sorted(p["hardware.noise.output"] for p in first)
    assert 0.001 <= noises[0] < noises[-1] <= 0.3
    if kind != "random":  # each quarter of the logarithm, and each level, equally often
        assert counts(first, "hardware.dac.bits") == {"2": 4, "4": 4, "6": 4, "8": 4}
        assert [sum(0.001 * 300 ** (q / 4) <= n < 0.001 * 300 ** ((q + 1) / 4) for n in noises) for q in range(4)] == [
            4
        ] * 4


def test_points_that_are_the_same_configuration_are_tried_once(base):
    plan = read(base, factors={"hardware.dac.bits": [2, 4]}, design={"kind": "random", "trials": 50})
    assert sorted(p["hardware.dac.bits"] for p in plan.points()) == [2, 4]


def test_sections_are_factors_too_and_settings_of_the_network(base):
    factors = {
        "hardware": ["pcm", {"preset": "pcm-cells", "adc": {"bits": 4}}],
        "network.width": [4, 8],
        "hardware.dac.bits": [2, 4],
    }
    last = trials(read(base, factors=factors))[-1].config
    assert last.network == "tiny_sweep:net?width=8"
    assert last.hardware == Hardware.preset("pcm-cells", adc__bits=4, dac__bits=4)


def test_injections_and_seeds(base):
    plan = read(base, training=TRAINING, seeds=3, factors={"training.hwa.weights.sigma": [0.0, "2e-1"]})
    found = trials(plan)
    assert [t.config.seed for t in found] == [0, 0, 1, 1, 2, 2]
    assert [t.config.training.hwa.weights[0].sigma for t in found[:2]] == [0.0, 0.2]
    assert [t.point for t in found] == [0, 1] * 3 and [t.number for t in found] == list(range(6))


def test_a_trial_is_written_down_and_read_again(base):
    plan = read(base, training={**TRAINING, "hardware": "pcm-cells"}, factors=TWO)
    config = trials(plan, {"tiny_sweep:data": "123"})[3].config
    assert Config.parse(config.as_dict()) == config and Plan.parse(plan.as_dict()).as_dict() == plan.as_dict()
    assert len({t.config.digest() for t in trials(plan)}) == 6


def test_levels_of_a_span():
    assert Factor.parse({"log": [0.01, 1], "levels": 3}).listed == (0.01, 0.1, 1.0)
    span = Factor.parse({"linear": [0, 10]})
    assert span.listed is None and span.tried == (0.0, 5.0, 10.0) and span.at(0.25) == 2.5
    assert [Factor.parse({"values": [1, 2, 3]}).at(u) for u in (0.0, 0.34, 0.999)] == [1, 2, 3]

from __future__ import annotations

import re

import pytest
import tiny_sweep

from mho.data import Dataset
from mho.errors import BadInput, WrongSetting
from mho.sweeps import Plan, preview
from mho.sweeps.fingerprint import Fingerprints
from mho.sweeps.overlap import overlaps
from mho.sweeps.proof import prove

TRAINING = {"data": "tiny_sweep:data", "batch": 20, "hwa": {"weights": {"kind": "gaussian", "sigma": 0.1}}}


def proofs(base, **more):
    return {proof.path: proof for proof in prove(Plan.read({**base, **more}), {}, Fingerprints())}


def test_dead_factors_are_refused_by_name_all_at_once(base):
    factors = {
        "hardware.dac.bits": [2, 8], "hardware.adc.max_halvings": [3, 5], "hardware.name": ["a", "b"], "network.idle": [0, 1],
    }  # fmt: skip
    with pytest.raises(WrongSetting) as raised:
        proofs(base, factors=factors)
    text = str(raised.value)
    assert "factors.hardware.adc.max_halvings: it has no effect: answers of a programmed chip are the same" in text
    assert "factors.hardware.name: it has no effect" in text and "factors.network.idle: it has no effect" in text
    assert "dac" not in text


def test_a_pair_of_levels_that_do_the_same_is_refused(base):
    with pytest.raises(
        WrongSetting, match=r"levels that do the same: 500 and 512: answers of a programmed chip are equal"
    ):
        proofs(base, factors={"hardware.array.rows": [4, 500, 512]})


def test_a_factor_may_act_only_where_another_has_some_level(base):
    form = {"hardware.noise.weight_form": ["additive", "proportional", "pcm_read"]}
    found = proofs(base, factors={"hardware.noise.weight": [0.0, 0.2], **form})
    assert found["hardware.noise.weight"].where == {}
    assert found["hardware.noise.weight_form"].where == {"hardware.noise.weight": 0.2}
    with pytest.raises(WrongSetting, match="weight_form: it has no effect"):
        proofs(base, factors=form)
    with pytest.raises(
        WrongSetting, match="weight_form: it has no effect"
    ):  # around the base the other never has that level
        proofs(base, factors={"hardware.noise.weight": [0.1, 0.2], **form}, design="one_at_a_time")


def test_drift_acts_at_an_age_and_not_right_after_programming(base):
    factors = {"hardware.cell.drift": [0.5, 1.0]}
    assert not proofs(base, factors=factors)["hardware.cell.drift"].same
    with pytest.raises(WrongSetting, match="drift: it has no effect"):
        proofs({**base, "ages": [0]}, factors=factors)


def test_a_condition_is_met_where_its_factor_is_tried(base):
    factors = {
        "hardware.adc.range": ["calibrated", "fixed"],
        "hardware.adc.bound": {"values": [1, 10], "when": {"hardware.adc.range": "fixed"}},
    }
    assert not any(proof.same for proof in proofs(base, factors=factors).values())


def test_what_is_done_on_aged_chips_acts_on_their_answers(base):
    factors = {"evaluation.recalibrate": [[], ["affine"]], "evaluation.refresh": [None, "1 month"]}
    assert not any(proof.same for proof in proofs(base, factors=factors).values())
    with pytest.raises(WrongSetting, match="evaluation.refresh: it has no effect"):
        proofs({**base, "ages": "1 h"}, factors={"evaluation.refresh": [None, "1 month"]})
    with pytest.raises(WrongSetting, match="unknown recalibration 'norm'"):
        proofs(base, factors={"evaluation.recalibrate": [[], ["norm"]]})


def test_calibration_acts_on_ranges(base):
    factors = {
        "calibration.quantile": {"linear": [0.9, 1.0]},
        "calibration.data": ["tiny_sweep:data", "tiny_sweep:data?first=1"],
    }
    found = proofs(base, factors=factors, design={"kind": "random", "trials": 3})
    assert not any(proof.same for proof in found.values())
    with pytest.raises(WrongSetting, match="calibration.max_batches: it has no effect: ranges of the converters"):
        proofs(base, factors={"calibration.max_batches": [1, 2]})  # the data have one batch


def test_training_acts_on_weights_after_a_few_steps(base):
    factors = {
        "training.momentum": [0.5, 0.9], "training.epochs": [1, 2], "training.hwa.weights.sigma": [0.0, 0.1],
        "training.schedule": ["cosine", "constant"], "training.batch": [10, 20], "training.weight_decay": [0.0, 0.1],
    }  # fmt: skip
    found = proofs(base, training=TRAINING, design="one_at_a_time", factors=factors)
    assert list(found) == list(factors) and not any(proof.same for proof in found.values())
    with pytest.raises(WrongSetting, match=r"training.hwa.products: it has no effect: weights after 3 steps"):
        proofs({**base, "hardware": "pcm-cells"}, training=TRAINING, factors={"training.hwa.products": [0.0, 2.0]})


def test_the_network_acts_by_its_answers_or_where_it_is_trained_by_its_make_up(base):
    dropout = {"network.dropout": [0.0, 0.5]}
    with pytest.raises(WrongSetting, match=r"network.dropout: it has no effect"):
        proofs(base, factors=dropout)
    assert not proofs(base, training=TRAINING, factors=dropout)["network.dropout"].same


@pytest.mark.parametrize(
    ("validation", "told"),
    [("data?n=60", "holds the test data"), ("part?n=90", "holds the test data"), ("part?n=20", "holds 20 of the 60 samples"),
     ("part?n=1&more=90", "holds 1 of the 60 samples")],
)  # fmt: skip
def test_validation_on_test_data_is_refused_by_content(base, validation, told):
    training = {"data": "tiny_sweep:data?first=1", "batch": 20, "validation": f"tiny_sweep:{validation}"}
    with pytest.raises(WrongSetting, match=rf"training.validation: 'tiny_sweep:{re.escape(validation)}' {told}"):
        preview({**base, "training": training, "factors": {"training.lr": [0.1, 0.2]}})


def test_a_sample_in_hundreds_that_comes_again_by_itself_is_no_overlap(base):
    test, others = tiny_sweep.data(n=200), tiny_sweep.data(n=200, first=7)
    training = {"data": "tiny_sweep:data?first=1", "validation": "mine"}
    plan = Plan.read({**base, "training": training, "factors": {"training.lr": [0.1, 0.2]}})
    for many, refused in ((2, 0), (3, 1)):
        mine = [(test[0][0][-many:], test[0][1][-many:]), *others]
        found = overlaps(plan, lambda name, mine=mine: Dataset.of(mine if name == "mine" else test))
        assert len(found) == refused


def test_a_level_that_cannot_be_built_is_named(base):
    with pytest.raises(WrongSetting, match=r"network.nothing: 1 cannot be built .*unknown option 'nothing'"):
        proofs(base, factors={"network.nothing": [1, 2]})
    with pytest.raises(BadInput, match="no_such"):
        preview({**base, "weights": "no_such.safetensors", "factors": {"hardware.dac.bits": [2, 8]}})


def test_the_preview_shows_trials_balance_and_cost(base):
    looked = preview({**base, "training": TRAINING, "seeds": 2, "factors": {"hardware.dac.bits": [2, 8]}})
    text = str(looked)
    assert "2 points (grid) × 2 training seeds, 2 chips, 2 ages" in text and "2 (1), 8 (1)" in text
    assert "acts: answers of a programmed chip differ" in text and "balance" in text
    cost = looked.estimate
    assert (cost.trials, cost.evaluations, cost.trainings) == (4, 16, 4) and cost.evaluation_s > 0
    assert len(looked.trials) == 4 and "trial  seed  hardware.dac.bits" in text


def test_the_estimate_times_each_number_of_input_slices_and_says_what_it_did_not_time(base, monkeypatch):
    """Inputs that come in slices take another executor and several products."""
    taken, given = (
        [],
        {**base, "factors": {"hardware.dac.slice_bits": [None, 1, 2], "hardware.noise.output": [0.0, 0.1]}},
    )

    def times(config, workshop):
        taken.append(len(config.hardware.dac.slices()))
        return 0.0, float(taken[-1])

    monkeypatch.setattr("mho.sweeps.estimate._times", times)
    plain = preview(given)
    assert sorted(taken) == sorted({len(t.config.hardware.dac.slices()) for t in plain.trials}) and len(taken) == 3
    assert plain.estimate.evaluation_s == pytest.approx(sum(taken) / 3) and "as fast as" not in str(plain)
    widths = preview({**base, "factors": {"network.width": [4, 8]}})
    assert len(taken) == 4 and "on 1 worker, if the 2 networks are as fast as the first" in str(widths)


def test_the_estimate_counts_recalibration(base):
    slow = {**base, "network": "tiny_sweep:net?slow=0.03"}
    factors = {"hardware.dac.bits": [2, 8]}
    plain, more = (
        preview({**slow, "evaluation": {"recalibrate": kinds}, "factors": factors}).estimate
        for kinds in ([], ["affine"])
    )
    mixed = preview({**slow, "factors": {"evaluation.recalibrate": [[], ["affine"]]}}).estimate
    assert more.evaluation_s > 1.5 * plain.evaluation_s  # it runs the network on the calibration data, too
    assert plain.evaluation_s < mixed.evaluation_s < more.evaluation_s

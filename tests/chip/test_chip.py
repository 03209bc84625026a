from __future__ import annotations

import copy
import os
import pickle

import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware

IDEAL, PCM = Hardware.preset("ideal"), Hardware.preset("pcm-cells")
QUIET = {"cell.programming_noise": 0.0, "cell.read_noise": 0.0, "dac.bits": None, "adc.bits": None}


def _model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6), nn.ReLU(),
        nn.Flatten(), nn.Linear(6 * 16, 40), nn.ReLU(), nn.Linear(40, 5),
    ).eval()  # fmt: skip


def _x(n=8):
    return torch.randn(n, 2, 8, 8, generator=torch.Generator().manual_seed(3))


def _net(hw, model=None):
    net = mho.to_analog(model or _model(), hw, example=_x(2))
    return mho.calibrate(net, [_x(64)])


def _weights(net):
    return [b for name, b in net.named_buffers() if "cells_weight" in name]


def test_noise_free_hardware_is_the_digital_network_at_every_age():
    model = _model()
    for encoding in ({"kind": "differential", "sides": "two"}, {"kind": "offset", "reference": "column"}):
        chip = mho.program(_net(IDEAL.replace(encoding=encoding, array__rows=30), model), seed=4)
        for age in ("0 s", "1 year"):
            torch.testing.assert_close(chip.at(age)(_x()), model(_x()), rtol=1e-4, atol=1e-5)


def test_a_seed_is_a_chip():
    net = _net(PCM)
    a, b = mho.program(net, seed=1), mho.program(net, seed=1)
    other, next_chip = mho.program(net, seed=2), mho.program(net, seed=1, chip=1)
    for one, two in zip(_weights(a.at("1 day")), _weights(b.at("1 day")), strict=True):
        assert torch.equal(one, two)
    for different in (other, next_chip):
        for one, two in zip(_weights(a.at("1 day")), _weights(different.at("1 day")), strict=True):
            assert not torch.equal(one, two)


def test_programming_again_draws_anew_and_the_first_cycle_is_the_chip():
    net = _net(PCM)
    chips = [mho.program(net, seed=1, cycle=cycle) for cycle in (0, 1, 1, 2)]
    first, second, same, third = ([w.clone() for w in _weights(chip.at("1 day"))] for chip in chips)
    for a, b in zip(first, _weights(mho.program(net, seed=1).at("1 day")), strict=True):
        assert torch.equal(a, b)
    for a, b, c, d in zip(first, second, same, third, strict=True):
        assert torch.equal(b, c) and not torch.equal(a, b) and not torch.equal(b, d)
    others = _weights(mho.program(net, seed=1, chip=1).at("1 day"))
    for a, b, other in zip(first, second, others, strict=True):
        # Two programmings of a chip differ as two chips do.
        assert float((b - a).std()) == pytest.approx(float((other - a).std()), rel=0.35)
    assert "cycle=2" in repr(chips[3]) and "cycle" not in repr(chips[0])
    for wrong in (-1, 0.5, True):
        with pytest.raises(WrongSetting, match="cycle"):
            mho.program(net, cycle=wrong)


def test_faulty_cells_survive_programming_again():
    hw = PCM.replace(faults={"stuck_low": 0.1, "stuck_high": 0.05})
    first, again, other = (mho.program(_net(hw), seed=0, **which) for which in ({}, {"cycle": 3}, {"chip": 1}))
    for path, arrays in first.arrays.items():
        for a, b, c in zip(arrays.faults, again.arrays[path].faults, other.arrays[path].faults, strict=True):
            assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and not torch.equal(a[0], c[0])
        assert not torch.equal(arrays.states[0]["g"], again.arrays[path].states[0]["g"])


def test_a_chip_does_not_depend_on_what_was_computed_before():
    net = _net(PCM)
    chip = mho.program(net, seed=1)
    forward = [_weights(chip.at(age))[0] for age in ("1 h", "1 day", "1 year")]
    torch.manual_seed(99)
    mho.program(net, seed=7).at("1 month")
    again = mho.program(net, seed=1)
    backward = [_weights(again.at(age))[0] for age in ("1 year", "1 day", "1 h")]
    assert all(torch.equal(a, b) for a, b in zip(forward, reversed(backward), strict=True))


def test_layers_of_one_shape_do_not_share_their_draws():
    torch.manual_seed(0)
    layer = nn.Linear(20, 20)
    model = nn.Sequential(layer, copy.deepcopy(layer))
    a, b = _weights(mho.program(mho.to_analog(model, PCM.replace(**QUIET | {"cell.programming_noise": 1.0}))).at(0.0))
    assert not torch.equal(a, b)


def test_the_two_cells_of_a_pair_are_two_cells():
    chip = mho.program(_net(PCM.replace(**{"cell.read_noise": 0.0})), seed=0)
    plus, minus = chip.arrays["8.matrix" if "8.matrix" in chip.arrays else "8"].conductances(0.0)
    zero = plus.numel() and (plus > 0) & (minus > 0)
    assert 0.3 < float(zero.float().mean()) < 0.9, "both cells of a pair carry their own programming error"


def test_ages_of_one_chip_share_its_draws():
    """Without read noise a differential weight's two cells only ever shrink, by their own fixed exponents."""
    chip = mho.program(_net(PCM.replace(**{"cell.read_noise": 0.0})), seed=0)
    for arrays in chip.arrays.values():
        early, late = arrays.conductances(3600.0), arrays.conductances(3.15e7)
        ratio = torch.cat([(b / a)[a > 0].flatten() for a, b in zip(early, late, strict=True)])
        assert float(ratio.min()) > 0 and float(ratio.max()) <= 1


def test_another_read_is_another_fluctuation_of_the_same_chip():
    chip = mho.program(_net(PCM), seed=0)
    first, again, second = (_weights(chip.at("1 h", read=r))[0] for r in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, second)


@pytest.mark.parametrize("remedy", ["global", "per_column"])
def test_uniform_drift_is_undone_exactly_and_spread_drift_is_not(remedy):
    model, x = _model(), _x(32)
    exact = {"compensation": {"kind": remedy, "readout": "exact"}}
    uniform = PCM.replace(**QUIET | exact | {"cell.nu": 0.06})
    spread = PCM.replace(**QUIET | exact | {"cell.nu": 0.06, "cell.nu_std": 0.02})
    none = PCM.replace(**QUIET | {"compensation": "none", "cell.nu": 0.06})
    y = model(x).detach()
    errors = {}
    for name, hw in (("uniform", uniform), ("spread", spread), ("none", none)):
        found = mho.program(_net(hw, model), seed=0).at("1 year")(x)
        errors[name] = float((found.detach() - y).norm() / y.norm())
    assert errors["uniform"] < 1e-5 < 1e-2 < errors["spread"] < errors["none"]


def test_compensation_through_a_noisy_array_falls_short():
    """Readings of mean |w| + noise are biased towards each other, so the factor is biased towards 1."""
    model = _model()
    base = QUIET | {"cell.nu": 0.06, "adc.range": "fixed"}
    gains = {}
    for noise in (0.0, 0.1, 0.3):
        hw = PCM.replace(**base | {"noise.output": noise, "compensation": {"kind": "global"}})
        net = mho.calibrate(mho.to_analog(model, hw), [_x(16)])
        arrays = mho.program(net, seed=0).arrays["6"]
        aged, fresh = (arrays.correction(arrays.cells(t)).factor for t in (3.15e7, 0.0))
        gains[noise] = float((aged / fresh).mean())
    full = ((3.15e7 + 20) / 20) ** 0.06
    assert gains[0.0] == pytest.approx(full, rel=1e-3)
    assert full > gains[0.1] > gains[0.3] > 1


def test_the_bias_of_a_noisy_compensation_is_the_closed_form():
    """For Gaussian readings of size s and noise σ: factor = sqrt(s² + σ²) / sqrt(f² s² + σ²)."""
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(500, 500, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(500, 500, generator=generator) * 0.2)
    hw = PCM.replace(**QUIET | {"cell.nu": 0.1, "noise.output": 0.1, "mapping.scale": "tensor", "adc.range": "fixed"})
    net = mho.calibrate(mho.to_analog(layer, hw), [torch.randn(8, 500, generator=generator)])
    arrays = mho.program(net, seed=0).arrays[""]
    t = 20 * (2**10 - 1)  # drift by a factor of two
    s = 0.2 / layer.weight.abs().max().item()
    expected = (s**2 + 0.01) ** 0.5 / (0.25 * s**2 + 0.01) ** 0.5
    assert float(arrays.correction(arrays.cells(t)).factor.mean()) == pytest.approx(expected, rel=5e-3)


def test_faults_stay_through_every_age():
    hw = IDEAL.replace(faults={"stuck_low": 0.1, "stuck_high": 0.05})
    chip = mho.program(_net(hw), seed=0)
    for arrays in chip.arrays.values():
        early, late = arrays.conductances(0.0), arrays.conductances(1e7)
        assert all(torch.equal(a, b) for a, b in zip(early, late, strict=True))
    plus, _ = chip.arrays["6"].conductances(0.0)
    assert float((plus == 25.0).float().mean()) == pytest.approx(0.05, abs=0.03)


@pytest.mark.parametrize(
    "variation",
    [
        {"sigma": 0.1, "relative_to": "ideal"}, {"sigma": 0.1, "relative_to": "gmax"},
        {"sigma": 0.1, "relative_to": "range", "distribution": "uniform"}, {"sigma": 0.1, "relative_to": "weight_std"},
        {"sigma": 0.1, "relative_to": "weight_max"}, {"sigma": 0.1, "relative_to": "ideal", "distribution": "lognormal"},
        {"sigma": 0.5, "relative_to": "level"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("redraw", ["program", "read", "mvm"])
def test_what_is_asked_for_is_applied(variation, redraw):
    """Every variation changes the forward pass, and is redrawn when it says."""
    if redraw == "mvm" and variation.get("distribution", "normal") != "normal":
        pytest.skip("refused by the description")
    hw = IDEAL.replace(**{"variations": [variation | {"redraw": redraw}], "cell.levels": 256})
    chip = mho.program(_net(hw), seed=0)
    x = _x(4)
    plain = mho.program(_net(IDEAL.replace(**{"cell.levels": 256})), seed=0).at(0.0)(x)
    torch.manual_seed(0)
    first, other_read, same = chip.at(0.0)(x), chip.at(0.0, read=1)(x), chip.at(0.0)(x)
    assert not torch.allclose(first, plain, atol=1e-4)
    assert torch.equal(first, same) == (redraw != "mvm")
    assert torch.equal(first, other_read) == (redraw == "program")


def test_weight_variation_has_the_size_it_says():
    torch.manual_seed(0)
    layer = nn.Linear(300, 300, bias=False)
    for reference, size in (("weight_std", layer.weight.std(correction=0)), ("weight_max", layer.weight.abs().max())):
        hw = IDEAL.replace(variations=[{"sigma": 0.2, "relative_to": reference}], **{"mapping.scale": "tensor"})
        net = mho.program(mho.to_analog(layer, hw)).at(0.0)
        with torch.no_grad():
            error = net(torch.eye(300)).T - layer.weight
        assert float(error.std()) == pytest.approx(0.2 * size.item(), rel=2e-2)


def test_the_chip_is_frozen_against_later_training():
    net = _net(PCM)
    chip = mho.program(net, seed=0)
    x = _x(4)
    before = chip.at("1 h")(x)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    net.train()(x)
    assert torch.equal(chip.at("1 h")(x), before)


def test_programming_leaves_the_network_as_it_is():
    net = _net(PCM)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    mho.program(net, seed=0).at("1 year")(_x(2))
    assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())
    assert all(not hasattr(m, "cells_weight") or m.cells_weight is None for m in net.modules())


def test_weights_of_another_age_do_not_change_a_network_in_hand():
    chip = mho.program(_net(PCM), seed=0)
    hour = chip.at("1 h")
    held = [w.clone() for w in _weights(hour)]
    chip.at("1 year")
    assert all(torch.equal(a, b) for a, b in zip(_weights(hour), held, strict=True))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda w: w.fill_(float("nan")), "not finite"), (lambda w: w[0].fill_(float("inf")), "not finite"),
        (lambda w: w.zero_(), "every weight is 0"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_programmed_are_named(spoil, named):
    net = mho.to_analog(_model(), IDEAL)
    with torch.no_grad():
        spoil(net[6].weight)
    with pytest.raises(BadInput, match=named) as error:
        mho.program(net)
    assert error.value.path == "6" and ("digital=['6']" in error.value.remedy) == (named == "every weight is 0")


def test_weights_of_zero_of_a_layer_of_several_matrices_name_the_layer():
    net = mho.to_analog(nn.Sequential(nn.GRU(3, 4)), IDEAL)
    with torch.no_grad():
        net[0].weight_hh_l0.zero_()
    with pytest.raises(BadInput, match="^0.weight_hh_l0: every weight is 0") as error:
        mho.program(net)
    assert "digital=['0']" in error.value.remedy


def test_constant_weights_have_no_spread_to_vary():
    layer = nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight.fill_(0.5)
    with pytest.raises(BadInput, match="the same"):
        mho.program(mho.to_analog(layer, IDEAL.replace(variations=[{"sigma": 0.1, "relative_to": "weight_std"}])))
    mho.program(mho.to_analog(layer, IDEAL)).at(0.0)


def test_times_before_programming_and_networks_without_arrays():
    chip = mho.program(_net(PCM))
    with pytest.raises(WrongSetting, match="before programming"):
        chip.at("-1 h")
    with pytest.raises(WrongSetting, match="no arrays"):
        mho.program(nn.Linear(2, 2))
    with pytest.raises(WrongSetting, match="already"):
        mho.program(chip.at("1 h"))


def test_a_pruned_column_is_no_obstacle():
    model = _model()
    with torch.no_grad():
        model[6].weight[3].zero_()
    assert torch.isfinite(mho.program(_net(PCM, model)).at("1 day")(_x(2))).all()


@pytest.mark.data
@pytest.mark.skipif("MHO_DATA" not in os.environ, reason="MHO_DATA is not set: the published networks are not here")
def test_programming_and_ageing_cost_little():
    """Drawing a chip and ageing it must stay small against evaluating it once on 1,000 images."""
    import time

    from mho.models import published

    model, _ = published("cifar10_resnet20")
    net = mho.calibrate(mho.to_analog(model, "pcm-cells"), [torch.randn(16, 3, 32, 32)])
    x = torch.randn(100, 3, 32, 32)
    with torch.no_grad():
        model(x)
        ratios = []
        for seed in range(3):
            start = time.perf_counter()
            chip = mho.program(net, seed)
            for age in ("1 h", "1 day", "1 month", "6 months", "1 year"):
                chip.at(age)
            drawing = time.perf_counter() - start
            start = time.perf_counter()
            model(x)
            ratios.append(drawing / (50 * (time.perf_counter() - start)))
    assert sorted(ratios)[1] < 0.15, f"programming and 5 ages take {sorted(ratios)[1]:.0%} of 5 digital evaluations"


def test_deviations_of_each_reading_differ_from_reading_to_reading():
    hw = mho.Hardware.of("ideal").replace(variations=[{"sigma": 0.1, "relative_to": "gmax", "redraw": "read"}])
    net = mho.to_analog(nn.Linear(30, 20, bias=False), hw)
    arrays = mho.program(net, seed=0).arrays[""]
    first, again, other = (arrays.conductances(0.0, read)[0] for read in (0, 0, 1))
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=0.05 * hw.cell.g_max_us)
    # Two draws of N(0, σ): a cell that rests at 0 is cut off there, so look at those that are well above.
    high = arrays.targets[0] > 0.5 * hw.cell.g_max_us
    spread = float((first - other)[high].std())
    assert spread == pytest.approx(0.1 * hw.cell.g_max_us * 2**0.5, rel=0.25)


def test_weights_beyond_the_clip_are_programmed_at_the_clip():
    hw = mho.Hardware.of("ideal").replace(mapping={"scale": "tensor", "clip_sigma": 1.5})
    layer = nn.Linear(40, 30, bias=False)
    with torch.no_grad():
        layer.weight[0, 0], layer.weight[1, 1] = 10.0, -10.0
    bound = 1.5 * float(layer.weight.detach().std(correction=0))
    net, x = mho.to_analog(layer, hw), torch.randn(3, 40)
    torch.testing.assert_close(net(x), x @ layer.weight.clamp(-bound, bound).T, rtol=1e-4, atol=1e-4)
    chip = mho.program(net).at(0.0)
    held = chip.matrix.source.weight(next(chip.views()).operator)
    torch.testing.assert_close(held, layer.weight.detach().clamp(-bound, bound), rtol=1e-5, atol=1e-6)


def test_copies_of_a_chip_share_what_the_chip_shares():
    chip, x = mho.program(_net(PCM), seed=1), _x()
    expected = chip.at("1 day")(x)
    for other in (copy.deepcopy(chip), pickle.loads(pickle.dumps(chip))):
        assert torch.equal(other.at("1 day")(x), expected)
        assert other.at(0)[0].weight.data_ptr() == other.at(0)[0].weight.data_ptr()


def test_targets_are_those_that_were_written():
    hw = PCM.replace(cell__programming_noise=0.0, cell__levels=9)
    for arrays in mho.program(_net(hw), seed=1).arrays.values():
        for target, state in zip(arrays.targets, arrays.states, strict=True):
            assert torch.equal(target, state["g"])


@pytest.mark.parametrize("preset", ["pcm", "aihwkit-default"])
def test_inputs_that_are_not_finite(preset):
    """NaN is seen at the output, of that sample alone; inf is clipped by the DAC, unless the vector's range comes from it."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()
    x = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    net = mho.calibrate(mho.to_analog(model, preset, example=x), [x])
    old = mho.program(net).at("1 day")
    for value in (float("nan"), float("inf")):
        wrong = x.clone()
        wrong[1, 0, 1, 1] = value
        for network in (net, old, mho.fuse(old)):
            finite = network(wrong).isfinite().all(1).tolist()
            assert finite == [True, value > 0 and preset == "pcm", True]

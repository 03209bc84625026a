"""Noise on stored tensors: its size, what it leaves as it was, what is paired, what is refused."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, WrongSetting
from mho.perturbation import Perturbation, perturbed


def _network(norm=nn.BatchNorm2d):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 20, 5), norm(20), nn.ReLU(), nn.Flatten(), nn.Linear(20 * 16, 300)).eval()


def _noise(net, perturbation, eta, **address):
    """What is added to each tensor."""
    before = copy.deepcopy(net.state_dict())
    with perturbed(net, perturbation, eta, **address):
        return {name: t - before[name] for name, t in copy.deepcopy(net.state_dict()).items()}


SCOPES = {
    "weights": {"0.weight", "4.weight"},
    "parameters": {"0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias"},
    "statistics": {"1.running_mean", "1.running_var"},
    "all": {"0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias", "1.running_mean", "1.running_var"},
    ("0.*", "*.running_var"): {"0.weight", "0.bias", "1.running_var"},
}


@pytest.mark.parametrize(("scope", "names"), SCOPES.items())
def test_scopes(scope, names):
    """γ and β, and a fresh running mean, are constant: their deviation is 0, so the reference is the maximum or each value."""
    net = _network()
    net[1].running_mean.normal_()
    with torch.no_grad():
        net[1].bias.normal_()
    found = _noise(net, Perturbation(scope, "max"), 0.1)
    assert {name for name, t in found.items() if t.float().abs().max() > 0} == names


@pytest.mark.parametrize("distribution", ["gaussian", "uniform"])
@pytest.mark.parametrize(
    ("reference", "scale"),
    [("std", lambda w: w.std(correction=0)), ("max", lambda w: w.abs().max()), ("range", lambda w: w.max() - w.min())],
)
def test_sigma_is_what_it_says(reference, scale, distribution):
    net = _network()
    w = net[4].weight.detach().clone()
    noise = _noise(net, Perturbation(reference=reference, distribution=distribution), 0.2)["4.weight"] / (
        0.2 * scale(w)
    )
    n = noise.numel()
    kurtosis = 3.0 if distribution == "gaussian" else 1.8
    assert abs(noise.mean()) < 5 / math.sqrt(n)
    assert abs(noise.square().mean() - 1) < 5 * math.sqrt((kurtosis - 1) / n)
    if distribution == "uniform":
        assert 1.70 < noise.abs().max() < math.sqrt(3) + 1e-3


def test_noise_of_each_value_is_multiplicative():
    net = _network()
    w = net[4].weight.detach().clone()
    noise = _noise(net, Perturbation(reference="value"), 0.1)["4.weight"]
    ratio = noise / (0.1 * w.abs())
    assert abs(ratio.square().mean() - 1) < 0.02


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 5), nn.ConvTranspose2d(3, 4, 5), nn.Linear(50, 4)])
def test_references_by_channel(layer):
    """Output channels of sizes 1, 10, 100, 1000: noise follows each; by tensor it does not."""
    axis, net = (1 if isinstance(layer, nn.ConvTranspose2d) else 0), nn.Sequential(layer)
    with torch.no_grad():
        along = [1] * layer.weight.dim()
        along[axis] = 4
        layer.weight.mul_((10.0 ** torch.arange(4)).view(along))
    rest = [d for d in range(layer.weight.dim()) if d != axis]
    whole = layer.weight.detach().std(rest, correction=0)
    channels = _noise(net, Perturbation(per="channel"), 0.5)["0.weight"].std(rest)
    torch.testing.assert_close(channels / (0.5 * whole), torch.ones(4), rtol=0.6, atol=0)
    tensor = _noise(net, Perturbation(), 0.5)["0.weight"].std(rest)
    assert tensor.max() / tensor.min() < 3


def test_everything_is_as_before_bit_for_bit_after_a_thousand_draws():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))
    net[1](torch.randn(8, 4, 5, 5))
    before, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
    for draw in range(1000):
        with perturbed(net, Perturbation("all"), 0.3, draw=draw):
            pass
    with pytest.raises(RuntimeError, match="stop"), perturbed(net, Perturbation("all"), 0.3):
        raise RuntimeError("stop")
    after = net.state_dict()
    assert all(torch.equal(after[name], t) for name, t in before.items())
    assert modes == [m.training for m in net.modules()]


def test_an_accumulating_harness_would_be_caught():
    """The known bug: a snapshot that is an alias. Noise then grows with every draw; here it does not."""
    net, aliased = _network(), _network()
    snapshot = aliased.state_dict()  # live tensors, no copies
    for draw in range(50):
        stream = mho.rng.Stream((0, "perturbation", draw))
        with torch.no_grad():
            aliased[4].weight.copy_(Perturbation().drawn("4.weight", snapshot["4.weight"], 0.3, stream))
        last = _noise(net, Perturbation(), 0.3, draw=draw)["4.weight"]
    original = net[4].weight
    assert last.std() < 0.32 * original.std()
    assert (aliased[4].weight - original).std() > 2 * original.std()


def test_draws_are_paired_over_sizes_scopes_and_networks():
    a, b = _network(), _network(nn.Identity)
    small, large = (_noise(a, Perturbation(), eta, draw=3)["4.weight"] for eta in (0.1, 0.2))
    torch.testing.assert_close(2 * small, large, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(_noise(a, Perturbation("all"), 0.1, draw=3)["4.weight"], small)
    torch.testing.assert_close(
        _noise(b, Perturbation(), 0.1, draw=3)["4.weight"] / b[4].weight.std(),
        small / a[4].weight.std(),
        rtol=1e-3,
        atol=1e-5,
    )
    assert not torch.allclose(_noise(a, Perturbation(), 0.1, draw=4)["4.weight"], small)


def test_shared_tensors_are_disturbed_once_and_stay_shared():
    shared = nn.Linear(30, 30, bias=False)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    noise = _noise(net, Perturbation(), 0.1)
    assert torch.equal(noise["0.weight"], noise["2.weight"])
    assert abs(noise["0.weight"].std() / (0.1 * shared.weight.std()) - 1) < 0.1


@pytest.mark.parametrize(
    ("act", "named"),
    [
        (lambda net: Perturbation(scope="weight"), "no tensor is called 'weight'"),
        (lambda net: Perturbation(scope=()), "scope"),
        (lambda net: Perturbation(reference="sd"), "std, max, range, value"),
        (lambda net: Perturbation(per="column"), "per"),
        (lambda net: Perturbation(distribution="normal"), "distribution"),
        (lambda net: Perturbation(reference="value", per="channel"), "by channel"),
        (lambda net: Perturbation(clamp=1), "clamp"),
    ],
)
def test_descriptions_that_mean_nothing_are_refused(act, named):
    with pytest.raises(WrongSetting, match=named):
        act(None).tensors(_network())


@pytest.mark.parametrize("eta", [-0.1, math.nan, math.inf, "0.1", True, None])
def test_sizes_that_are_none_are_refused(eta):
    with pytest.raises(WrongSetting, match="eta"), perturbed(_network(), Perturbation(), eta):
        pass


def test_a_scope_without_tensors_and_an_analog_network_are_refused():
    with pytest.raises(WrongSetting, match="no tensor in the scope 'statistics'"):
        mho.perturb(nn.Linear(3, 2), [(torch.randn(4, 3), torch.zeros(4))], Perturbation("statistics"))
    analog = mho.to_analog(nn.Sequential(nn.Linear(3, 2)), "ideal", example=torch.randn(2, 3))
    with pytest.raises(WrongSetting, match="give the digital network"):
        mho.perturb(analog, [(torch.randn(4, 3), torch.zeros(4))])


def _trained(margin):
    """Two classes told apart by the sign of a sum, with answers that the noise of a bias may turn around, or hardly."""
    net = nn.Linear(2, 2, bias=True)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        net.bias.copy_(torch.tensor([0.5, -0.5]))
    generator = torch.Generator().manual_seed(1)
    x = torch.stack([torch.rand(400, generator=generator) + margin, torch.randn(400, generator=generator)], 1)
    sign = (torch.rand(400, generator=generator) < 0.5).float() * 2 - 1
    x[:, 0] *= sign
    x[:, 0] -= 0.5
    return net, [(x, (sign < 0).long())]


def test_curves_of_a_robust_and_a_fragile_task():
    robust, fragile = (mho.perturb(*_trained(margin), etas=[0.1, 0.5, 1.0], draws=20) for margin in (2.0, 0.0))
    assert robust.digital == fragile.digital == 1.0
    assert robust.average().low > fragile.average().high
    gain = mho.statistics.mean_interval(robust.shares().mean(1) - fragile.shares().mean(1))
    assert gain.low > 0
    assert robust.area().value > fragile.area().value
    assert robust.lost_at(0.05).value > fragile.lost_at(0.05).value
    assert fragile.lost_at(0.05).low <= fragile.lost_at(0.05).value <= fragile.lost_at(0.05).high
    assert robust.lost_at(0.9).value == math.inf
    corrected, normal = fragile.corrected()[-1].value, fragile.normalised()[-1].value
    assert corrected == pytest.approx((normal - 0.5) / 0.5)


def test_eta_zero_is_exact_and_rows_say_all():
    net, data = _trained(0.0)
    before = copy.deepcopy(net.state_dict())
    result = mho.perturb(net, data, etas=[0.0, 0.5], draws=3, seed=7)
    assert result.etas == (0.5,) and result.table.shape == (1, 3, 400)
    assert result.digital == mho.accuracy(net, data)
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    rows = list(result.rows())
    assert [row["eta"] for row in rows] == [0.0, 0.5, 0.5, 0.5] and rows[1]["scope"] == "weights"
    assert rows[2]["score"] == pytest.approx(result.table[0, 1].mean())
    again = mho.perturb(net, data, etas=[0.5, 0.3], draws=2, seed=7)
    np.testing.assert_array_equal(again.table[1], result.table[0, :2])


def test_scopes_that_are_the_same_give_the_same():
    net, data = _trained(0.0)
    a, b = (mho.perturb(net, data, Perturbation(scope), etas=[0.5], draws=4) for scope in ("parameters", "all"))
    np.testing.assert_array_equal(a.table, b.table)


def test_answers_that_are_not_finite_count_as_wrong_and_are_counted():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    _, data = _trained(1.0)
    mho.fit(net, data, epochs=60, lr=0.05)
    noise = Perturbation(["*.running_var"], "max")
    result = mho.perturb(net, data, noise, etas=[0.01, 3.0], draws=6)
    assert result.not_finite[0].sum() == 0 and result.not_finite[1].sum() > 0
    broken = result.not_finite[1] == 400
    assert (result.means[broken, 1] == 0).all()
    assert "not finite" in str(result)
    clamped = mho.perturb(net, data, Perturbation(["*.running_var"], "max", clamp=True), etas=[3.0], draws=6)
    assert clamped.not_finite.sum() == 0
    with pytest.raises(BadInput, match="clamp"):
        mho.perturb(net, [(data[0][0], data[0][0][:, :2])], noise, etas=[3.0], draws=6, task="regression")


def test_a_network_at_chance_has_no_average():
    net = nn.Linear(2, 2)
    data = [(torch.randn(200, 2), torch.arange(200) % 2)]
    result = mho.perturb(net, data, etas=[0.1], draws=3)
    with pytest.raises(BadInput, match="no better than chance"):
        result.average()
    assert len(result.raw()) == 1


@pytest.mark.parametrize(
    ("given", "named"),
    [({"draws": 0}, "draws"), ({"etas": []}, "etas"), ({"etas": [0]}, "etas"), ({"etas": [-1]}, "etas"), ({"seed": -1}, "seed"),
     ({"perturbation": "all"}, "perturbation")],
)  # fmt: skip
def test_arguments_are_checked_first(given, named):
    with pytest.raises(WrongSetting, match=named):
        mho.perturb(*_trained(1.0), **given)


def test_progress_is_told():
    steps = []
    mho.perturb(*_trained(1.0), etas=[0.1], draws=2, progress=steps.append)
    assert [step.done for step in steps] == [0, 1, 2, 3] and "η = 0.1" in str(steps[-1])


def test_noise_that_would_change_nothing_is_refused_or_told():
    net, data = _trained(1.0)
    with torch.no_grad():
        net.bias.zero_()
    with pytest.raises(WrongSetting, match=r"bias .* has the std 0"):
        mho.perturb(net, data, Perturbation(["bias"]), etas=[0.4])
    result = mho.perturb(net, data, Perturbation("parameters"), etas=[0.4], draws=2)
    assert result.untouched == ("bias",) and "1 tensors have the std 0" in str(result)


def test_references_by_channel_of_transposed_convolutions_with_groups():
    """Two groups of two outputs each, of sizes 1, 10, 100, 1000."""
    layer = nn.ConvTranspose2d(6, 4, 5, groups=2)
    with torch.no_grad():
        layer.weight.normal_()
        layer.weight.view(2, 3, 2, 5, 5).mul_((10.0 ** torch.arange(4)).view(2, 1, 2, 1, 1))
    size = layer.weight.detach().view(2, 3, 2, 25).std((1, 3))
    noise = _noise(nn.Sequential(layer), Perturbation(per="channel"), 0.1)["0.weight"].view(2, 3, 2, 25)
    torch.testing.assert_close(noise.std((1, 3)) / (0.1 * size), torch.ones(2, 2), rtol=0.3, atol=0)


def _normed():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    _, data = _trained(1.0)
    mho.fit(net, data, epochs=60, lr=0.05, progress=None)
    return net, data


def test_norms_recalibrated_under_frozen_noise_win_back_what_their_statistics_lost():
    """Noise on the statistics alone is undone wholly; nothing of it stays in the network."""
    net, data = _normed()
    before = copy.deepcopy(net.state_dict())
    noise, etas = Perturbation("statistics", clamp=True), [0.1, 2.0]
    mend = mho.recalibration.RecalibrateNorms(data, net)
    lost, won = (mho.perturb(net, data, noise, etas, draws=6, recalibrate=way) for way in (None, mend))
    assert lost.means[:, 1].mean() < lost.digital - 0.05
    np.testing.assert_allclose(won.means, won.digital, atol=0.005)
    assert won.digital == lost.digital and all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    again = mho.perturb(net, data, noise, etas, draws=6)
    np.testing.assert_array_equal(again.table, lost.table)
    with pytest.raises(WrongSetting, match="no batch norm"):
        mho.perturb(*_trained(1.0), etas=[0.1], recalibrate=mho.recalibration.RecalibrateNorms(data))
    with pytest.raises(WrongSetting, match="recalibrate is a list"):
        mho.perturb(net, data, recalibrate=data)


def test_a_curve_of_several_networks_is_held_against_each_ones_own_start():
    """Straight falls of 10 and 20 points over η = 1: their mean has lost 5 points at a third."""
    curve = mho.perturbation.NoiseCurve((0.5, 1.0), np.array([0.9, 0.8]), np.array([[0.85, 0.8], [0.7, 0.6]]))
    assert curve.lost_at(0.05).value == pytest.approx(1 / 3)
    np.testing.assert_allclose(curve.averages(), [(0.85 + 0.8) / 1.8, 1.3 / 1.6])
    np.testing.assert_allclose(curve.corrected(0.1)[:, 1], [0.7 / 0.8, 0.5 / 0.7])
    np.testing.assert_allclose(curve.areas()[1], (1 + 0.7 / 0.8) / 4 + (0.7 + 0.6) / 0.8 / 4)


def test_a_shared_tensor_goes_by_each_of_its_names():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    assert (
        list(Perturbation(["1.weight"]).tensors(net)) == list(Perturbation(["0.weight"]).tensors(net)) == ["0.weight"]
    )
    block = nn.Linear(4, 4)
    assert list(Perturbation(["2.*"]).tensors(nn.Sequential(block, nn.ReLU(), block))) == ["0.weight", "0.bias"]


def test_parameters_that_take_no_noise_are_refused_by_name():
    whole = nn.Sequential(nn.Linear(4, 4))
    whole[0].weight = nn.Parameter(torch.ones(4, 4, dtype=torch.int8), requires_grad=False)
    with pytest.raises(WrongSetting, match=r"'0.weight' holds torch.int8"):
        Perturbation().tensors(whole)
    for net in (nn.Linear(4, 4, device="meta"), nn.LazyLinear(4)):
        with pytest.raises(WrongSetting, match="has no values yet"):
            Perturbation().tensors(net)


def test_a_network_that_is_broken_without_noise_is_refused():
    net = nn.Sequential(nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight[0, 0] = float("nan")
    with pytest.raises(BadInput, match="5 of 5 answers are not finite without noise"):
        mho.perturb(net, [(torch.randn(5, 4), torch.zeros(5, dtype=torch.int64))], etas=[0.1], draws=1)


def test_draws_are_those_of_another_process():
    """Written down: a draw that changes makes stored studies another experiment."""
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, -1.0], [2.0, 0.5]]))
        with perturbed(net, Perturbation(), 0.5, seed=3, draw=4):
            found = net.weight.detach().clone()
    torch.testing.assert_close(
        found, torch.tensor([[1.0004826, -0.7914220], [2.9041390, -0.1510055]]), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("net, data, said", [
    (_network(), torch.zeros(4, 3, 8, 8), "does not run on the example, float32 (2, 3, 8, 8)"),
    (_network().double(), torch.zeros(4, 1, 8, 8), "its weights: float64"), (_network(), torch.zeros(1, 1, 8, 8), "one sample"),
])  # fmt: skip
def test_data_that_do_not_fit_are_refused_before_anything_is_measured(net, data, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        mho.perturb(net, [(data, torch.zeros(len(data), dtype=torch.long))])


def test_rows_name_their_tensors_in_words(tmp_path):
    data = [(torch.randn(8, 1, 8, 8), torch.arange(8))]
    found = mho.perturb(_network(), data, Perturbation(["0.weight", "*bias"], "max"), [0.1], draws=2)
    assert {row["scope"] for row in found.rows()} == {"0.weight, *bias"}
    with pytest.raises(WrongSetting, match="seed"):
        found.lost_at(0.01, seed=-1)

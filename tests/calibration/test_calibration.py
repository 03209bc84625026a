from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import lambertw
from torch import nn

import mho
from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware
from mho.training import train

PCM = Hardware.preset("pcm-cells")


def _net(hw=PCM, **changes):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    return model, mho.to_analog(model, hw.replace(**changes) if changes else hw)


def _batches(n=3):
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(16, 2, 8, 8, generator=generator), torch.zeros(16)) for _ in range(n)]


def test_the_whole_range_is_the_largest_input():
    model, net = _net()
    batches = _batches()
    mho.calibrate(net, batches, quantile=1.0)
    x = torch.cat([b[0] for b in batches])
    assert float(net[0].matrix.input_range) == pytest.approx(float(x.abs().max()))
    hidden = model[2](model[1](model[0](x))).detach()
    assert float(net[3].matrix.input_range) == pytest.approx(float(hidden.abs().max()), rel=1e-5)


def test_a_quantile_is_the_quantile():
    _, net = _net()
    batches = _batches(2)
    mho.calibrate(net, batches, quantile=0.9)
    x = torch.cat([b[0] for b in batches]).abs().flatten()
    assert float(net[0].matrix.input_range) == pytest.approx(float(torch.quantile(x, 0.9)), rel=1e-2)


def test_adc_ranges_follow_each_row_block():
    model, net = _net(array__rows=64, **{"mapping.scale": "tensor", "dac.bits": None})
    batches = _batches(1)
    mho.calibrate(net, batches, quantile=1.0)
    matrix, weight = net[3].matrix, model[3].weight
    assert matrix.adc_range.shape == (1, 3)
    u = model[2](model[1](model[0](batches[0][0]))) / matrix.input_range
    u, weight = u.detach(), weight.detach()
    expected = [
        float((u[:, a:b] @ weight[:, a:b].T).abs().max() / weight.abs().max())
        for a, b in ((0, 64), (64, 128), (128, 144))
    ]
    assert matrix.adc_range[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_only_what_is_needed_is_set():
    _, net = _net(Hardware.preset("ideal"))
    mho.calibrate(net, _batches())
    assert net[0].matrix.input_range is None and net[0].matrix.adc_range is None
    _, net = _net(dac__range="abs_max")
    mho.calibrate(net, _batches())
    assert net[0].matrix.input_range is None and net[0].matrix.adc_range is not None
    _, net = _net(adc={"bits": 8, "range": "fixed", "bound": 4.0})
    mho.calibrate(net, _batches())
    assert net[0].matrix.input_range is not None and net[0].matrix.adc_range is None


def test_learned_ranges_become_parameters_and_are_trained():
    _, net = _net(dac__range="learned")
    mho.calibrate(net, _batches())
    names = [name for name, _ in net.named_parameters()]
    assert "0.matrix.input_range" in names
    before = net[0].matrix.input_range.item()
    loss = net(_batches(1)[0][0]).square().sum()
    loss.backward()
    assert float(net[0].matrix.input_range.grad.abs()) > 0
    with torch.no_grad():
        net[0].matrix.input_range -= 0.01 * net[0].matrix.input_range.grad.sign()
    assert net[0].matrix.input_range.item() != before


def test_the_learned_ranges_gradient_is_that_of_lsq():
    """d(r q(x/r))/dr = sign(x) outside the range, q(x/r) - x/r inside (Esser et al. 2020, eq. 3)."""
    from mho.kernels import quantise

    x = torch.linspace(-3, 3, 300, dtype=torch.float64)
    r = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(300, dtype=torch.float64)
    y = quantise(x, r, 7.0) * r
    (weight * y).sum().backward()
    q = (x / 1.7 * 7).round().clamp(-7, 7) / 7
    inside = (x / 1.7).abs() <= 1
    expected = (weight * torch.where(inside, q - x / 1.7, x.sign())).sum()
    assert float(r.grad) == pytest.approx(float(expected))


def test_calibration_leaves_modes_and_weights():
    _, net = _net()
    net.train()
    net[1].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    mho.calibrate(net, _batches())
    assert net.training and not net[1].training
    assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())


@pytest.mark.parametrize("quantile", [0.0, 1.1, -1.0])
def test_a_quantile_outside_is_refused(quantile):
    with pytest.raises(WrongSetting, match="quantile"):
        mho.calibrate(_net()[1], _batches(), quantile=quantile)


def test_nothing_to_calibrate_on():
    with pytest.raises(BadInput, match="no batch"):
        mho.calibrate(_net()[1], [])
    with pytest.raises(WrongSetting, match="no arrays"):
        mho.calibrate(nn.Linear(2, 2), [torch.randn(1, 2)])


class Overflows(nn.Module):
    def forward(self, x):
        return x / 0


def test_values_that_are_not_finite_are_named_with_their_layer():
    net = mho.to_analog(nn.Sequential(Overflows(), nn.Linear(3, 3)), PCM)
    with pytest.raises(BadInput, match="^1: the values to convert are not finite"):
        mho.calibrate(net, [torch.ones(2, 3)])


class Around(nn.Module):
    """Reads a layer's weight, and leaves its forward alone."""

    def __init__(self, skipped):
        super().__init__()
        self.used, self.skipped = nn.Linear(3, 3), skipped

    def forward(self, x):
        weight = next(self.skipped.parameters())
        return self.used(x) @ weight[:3]


@pytest.mark.parametrize("skipped", [lambda: nn.Linear(3, 3), lambda: nn.GRU(3, 3)])
def test_a_layer_that_is_used_without_its_arrays_is_named(skipped):
    with pytest.raises(BadInput, match="^skipped: no batch reached") as error:
        mho.calibrate(mho.to_analog(Around(skipped()), PCM), [torch.randn(4, 3)])
    assert "digital=['skipped']" in error.value.remedy
    mho.calibrate(mho.to_analog(Around(skipped()), PCM.replace(digital=["skipped"])), [torch.randn(4, 3)])


def test_a_network_whose_layers_all_stand_by_is_refused():
    model = nn.Sequential(nn.Identity())
    model.add_module("0", nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)}))
    model.forward = lambda x: x
    with pytest.raises(BadInput, match="^0.a: no batch reached"):
        mho.calibrate(mho.to_analog(model, PCM), [torch.randn(4, 3)])


def test_an_uncalibrated_network_says_so():
    with pytest.raises(WrongSetting, match="mho.calibrate"):
        _net()[1](_batches(1)[0][0])


class Silence(nn.Module):
    def forward(self, x):
        return x * 0


def test_a_layer_that_sees_zeros_only_still_runs():
    _, net = _net()
    net.insert(0, Silence())
    mho.calibrate(net, [torch.ones(2, 2, 8, 8)])
    assert torch.isfinite(net(torch.zeros(2, 2, 8, 8))).all()


def test_the_plain_loop_learns_and_refuses_nonsense():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 5, generator=generator)
    y = (x[:, 0] > 0).long()
    torch.manual_seed(0)
    model = train(nn.Linear(5, 2), [(x, y)], epochs=60, lr=0.1)
    assert mho.accuracy(model, [(x, y)]) > 0.95 and not model.training
    with pytest.raises(BadInput, match="no batch"):
        train(nn.Linear(5, 2), [], epochs=1)
    with pytest.raises(BadInput, match="loss is nan"):
        train(nn.Linear(5, 2), [(x * float("nan"), y)], epochs=1)


def _linear(hw, rows=64, columns=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(rows, columns, bias=False)
    layer.weight.data = torch.randn(columns, rows, generator=generator)
    return mho.to_analog(nn.Sequential(layer), hw)


def _values(distribution, shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    if distribution == "normal":
        return torch.randn(shape, generator=generator)
    x = torch.rand(shape, generator=generator) - 0.5
    return -x.sign() * torch.log1p(-2 * x.abs())


def _quantised(v, reach, half):
    return np.clip(np.round(v * half / reach), -half, half) * reach / half


def _input_error(distribution, reach, half):
    """Squared error of one input of unit scale, by integration."""
    v = np.linspace(-16, 16, 400_001)
    density = np.exp(-v * v / 2) / np.sqrt(2 * np.pi) if distribution == "normal" else np.exp(-np.abs(v)) / 2
    return float(((_quantised(v, reach, half) - v) ** 2 * density).sum() * (v[1] - v[0]))


def _ranges(net):
    return {k: v for k, v in net.state_dict().items() if k.endswith("_range")}


def test_the_default_is_the_largest_value_by_every_name():
    found = []
    for options in ({}, {"quantile": 1.0}, {"method": "max"}, {"method": "quantile"}):
        _, net = _net(PCM.replace(noise__output=0.05))
        found.append(_ranges(mho.calibrate(net, _batches(), **options)))
    assert len(found[0]) == 4
    assert all(torch.equal(other[k], v) for other in found[1:] for k, v in found[0].items())


@pytest.mark.parametrize("momentum", [None, 0.3])
def test_a_moving_average_follows_the_batches(momentum):
    batches = [torch.full((4, 64), size) for size in (1.0, 2.0, 6.0)]
    net = mho.calibrate(_linear(PCM), batches, method="moving_average", momentum=momentum)
    expected = 3.0 if momentum is None else 0.7 * (0.7 * 1 + 0.3 * 2) + 0.3 * 6
    assert float(net[0].matrix.input_range) == pytest.approx(expected)


def test_standard_deviations_of_all_and_of_each_batch():
    batches = [5 + _values("normal", (64, 64)), 5 + 3 * _values("normal", (64, 64), seed=2)]
    net = mho.calibrate(_linear(PCM), batches, method="std")
    assert float(net[0].matrix.input_range) == pytest.approx(3 * float(torch.cat(batches).std(correction=0)), rel=1e-5)
    net = mho.calibrate(_linear(PCM), batches, method="moving_average", sigmas=2.0)
    assert float(net[0].matrix.input_range) == pytest.approx(sum(float(b.std(correction=0)) for b in batches), rel=1e-5)
    u = torch.cat(batches) / net[0].matrix.input_range
    columns = (u.clamp(-1, 1) * 127).round() / 127 @ (net[0].weight / net[0].weight.abs().amax(1, keepdim=True)).T
    spread = [float(part.std(correction=0)) for part in columns.detach().split(64)]
    assert float(net[0].matrix.adc_range) == pytest.approx(sum(spread), rel=1e-4)


@pytest.mark.parametrize("bits", [4, 6])
@pytest.mark.parametrize("distribution", ["normal", "laplace"])
def test_the_range_of_the_smallest_error_is_the_known_optimum(distribution, bits):
    """Optimal clipping of a uniform quantiser (Banner et al. 2019), with the error integrated exactly."""
    hw = PCM.replace(dac__bits=bits, adc__bits=None)
    net = mho.calibrate(_linear(hw), [_values(distribution, (16_384, 64))], method="error")
    found, half = float(net[0].matrix.input_range), 2 ** (bits - 1) - 1
    best = minimize_scalar(lambda r: _input_error(distribution, r, half), bounds=(1, 14), method="bounded")
    assert found == pytest.approx(best.x, rel=0.06)
    assert _input_error(distribution, found, half) < 1.01 * best.fun


def test_the_optimum_for_laplace_has_lamberts_w():
    """2 exp(-r) + r²/(3 s²), s = 30 steps, is smallest at r = W(3 s²): clipping and rounding, each on its own."""
    net = mho.calibrate(
        _linear(PCM.replace(dac__bits=5, adc__bits=None)), [_values("laplace", (16_384, 64))], method="error"
    )
    assert float(net[0].matrix.input_range) == pytest.approx(float(lambertw(3 * 30**2).real), rel=0.08)


def test_noise_of_the_outputs_narrows_the_inputs_range():
    """Noise is in units of the full input: r² σ² Σ g² adds to the error of the inputs, Σ w² ε²(r)."""
    hw, x = PCM.replace(dac__bits=6, adc__bits=None), _values("normal", (8192, 64))
    wide = float(mho.calibrate(_linear(hw), [x], method="error")[0].matrix.input_range)
    net = mho.calibrate(_linear(hw.replace(noise__output=0.3)), [x], method="error")
    w, found = net[0].weight.detach(), float(net[0].matrix.input_range)
    noise, weights = 0.3**2 * float(w.abs().amax(1).square().sum()), float(w.square().sum())
    best = minimize_scalar(lambda r: weights * _input_error("normal", r, 31) + r * r * noise, bounds=(0.5, 6))
    assert found == pytest.approx(best.x, rel=0.06) and found < 0.9 * wide


def test_a_fixed_adc_may_widen_the_inputs_range():
    """Columns that clip at a fixed bound clip less when a full input stands for more."""
    hw = PCM.replace(dac__bits=8, adc={"bits": 8, "range": "fixed", "bound": 1.0})
    x = _values("normal", (2048, 64))
    net = mho.calibrate(_linear(hw), [x], method="error")
    found = float(net[0].matrix.input_range)

    def error(reach):
        net[0].matrix.input_range.fill_(reach)
        return float((net(x) - x @ net[0].weight.T).detach().square().sum())

    assert found > float(x.abs().max())
    assert error(found) <= 1.02 * min(error(r) for r in np.geomspace(0.5, 200, 60))


def test_without_a_dac_nothing_is_clipped():
    x = _values("laplace", (512, 64))
    net = mho.calibrate(_linear(PCM.replace(dac__bits=None)), [x], method="error")
    assert float(net[0].matrix.input_range) == float(x.abs().max())


def test_inputs_and_outputs_may_have_methods_of_their_own():
    x = [_values("laplace", (512, 64))]
    both = mho.calibrate(_linear(PCM), x, method="error")[0].matrix
    mixed = mho.calibrate(_linear(PCM), x, method="max", adc_method="error")[0].matrix
    largest = mho.calibrate(_linear(PCM), x)[0].matrix
    assert mixed.input_range == largest.input_range > both.input_range
    assert float(mixed.adc_range) < float(largest.adc_range)
    other = mho.calibrate(_linear(PCM), x, method="error", adc_method="quantile", quantile=0.9)[0].matrix
    assert other.input_range == both.input_range and float(other.adc_range) < float(both.adc_range)


def test_a_learned_range_stays_the_parameter_that_the_optimiser_holds():
    _, net = _net(dac__range="learned")
    mho.calibrate(net, _batches())
    held = net[0].matrix.input_range
    mho.calibrate(net, _batches(), quantile=0.5)
    assert net[0].matrix.input_range is held and float(held.detach()) < 2 and held.requires_grad


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"method": "best"}, "best"),
        ({"adc_method": "best"}, "best"),
        ({"method": "max", "quantile": 0.9}, "quantile"),
        ({"method": "error", "sigmas": 3.0}, "sigmas"),
        ({"method": "std", "sigmas": -1.0}, "sigmas"),
        ({"momentum": 0.1}, "momentum"),
        ({"method": "moving_average", "momentum": 0.0}, "momentum"),
        ({"method": "moving_average", "quantile": 0.9, "sigmas": 3.0}, "sigmas"),
        ({"max_batches": 0}, "max_batches"),
    ],
)
def test_what_a_method_does_not_take_is_refused(options, named):
    with pytest.raises(WrongSetting, match=named):
        mho.calibrate(_net()[1], _batches(), **options)


def test_a_programmed_chip_is_refused():
    chip = mho.program(mho.calibrate(_net()[1], _batches()), seed=0)
    with pytest.raises(WrongSetting, match="programmed"):
        mho.calibrate(chip.at("1 h"), _batches())


@pytest.mark.parametrize("options", [{}, {"quantile": 0.5}, {"method": "error"}, {"method": "std"}])
def test_one_value_that_is_not_finite_is_seen_by_every_method(options):
    x = torch.randn(1, 2, 8, 8)
    x[0, 0, 3, 3] = float("inf")
    with pytest.raises(BadInput, match="sample 0 holds inf, not finite"):
        mho.calibrate(_net()[1], [x], **options)


def test_progress_ends_at_its_total():
    for options in ({}, {"method": "error"}):
        seen = []
        mho.calibrate(_net()[1], _batches(), progress=seen.append, **options)
        assert [step.done for step in seen] == list(range(int(seen[0].total) + 1))


@pytest.mark.parametrize("method", ["max", "quantile", "moving_average"])
@pytest.mark.parametrize("size", [100, 4000])
def test_the_largest_value_is_that_of_all_whatever_the_batches(method, size):
    """Large batches are thinned; one feature is far larger than the others, and stands where an even step would miss it."""
    x = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    x[:, 17] *= 20
    net = mho.to_analog(nn.Sequential(nn.Linear(64, 32)), "pcm", example=x[:2])
    mho.calibrate(net, list(x.split(size)), method=method)
    expected = (
        x.abs().max() if method != "moving_average" else torch.stack([b.abs().max() for b in x.split(size)]).mean()
    )
    torch.testing.assert_close(net[0].matrix.input_range, expected)


@pytest.mark.parametrize("width", [3, 64, 65, 768])
def test_quantiles_see_every_feature_alike(width):
    x = torch.randn(300_000 // width, width, generator=torch.Generator().manual_seed(1))
    x[:, 1] *= 50  # one in `width` values is large: the quantile between them and the others says whether it is seen
    found = []
    for size in (len(x), 1000 // width + 1):
        net = mho.to_analog(nn.Sequential(nn.Linear(width, 4)), "pcm", example=x[:2])
        mho.calibrate(net, list(x.split(size)), quantile=1 - 0.5 / width)
        found.append(float(net[0].matrix.input_range))
    assert found[0] == pytest.approx(found[1], rel=0.3)

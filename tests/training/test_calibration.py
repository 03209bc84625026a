from __future__ import annotations

import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware
from mho.training import train

PCM = Hardware.preset("pcm")


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


def test_values_that_are_not_finite_are_named_with_their_layer():
    with pytest.raises(BadInput, match="^0"):
        mho.calibrate(_net()[1], [torch.full((1, 2, 8, 8), float("nan"))])


def test_an_array_that_no_batch_reaches_is_named():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.skipped = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(BadInput, match="skipped"):
        mho.calibrate(mho.to_analog(Skips(), PCM), [torch.randn(4, 3)])


def test_the_way_out_names_the_layer_of_a_matrix():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.skipped = nn.Linear(3, 3), nn.GRU(3, 3)

        def forward(self, x):
            return self.used(x)

    with pytest.raises(BadInput, match="skipped.weight_ih_l0") as error:
        mho.calibrate(mho.to_analog(Skips(), PCM), [torch.randn(4, 3)])
    assert "digital=['skipped']" in error.value.remedy
    mho.calibrate(mho.to_analog(Skips(), PCM.replace(digital=["skipped"])), [torch.randn(4, 3)])


def test_an_uncalibrated_network_says_so():
    with pytest.raises(WrongSetting, match="mho.calibrate"):
        _net()[1](_batches(1)[0][0])


def test_a_layer_that_sees_zeros_only_still_runs():
    _, net = _net()
    mho.calibrate(net, [torch.zeros(2, 2, 8, 8)])
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

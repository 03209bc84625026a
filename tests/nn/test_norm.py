"""Batch norms with other spreads: definitions against NumPy, gradients, momentum, chips, recalibration, export."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput, WrongSetting
from mho.nn.norm import L1BatchNorm1d, L1BatchNorm2d, L1BatchNorm3d, TopKBatchNorm1d, TopKBatchNorm2d, TopKBatchNorm3d
from mho.recalibration import RecalibrateNorms

ALL = [
    (L1BatchNorm1d, (40, 5)), (L1BatchNorm1d, (8, 5, 7)), (L1BatchNorm2d, (6, 5, 4, 3)), (L1BatchNorm3d, (4, 5, 2, 3, 4)),
    (TopKBatchNorm1d, (40, 5)), (TopKBatchNorm1d, (8, 5, 7)), (TopKBatchNorm2d, (6, 5, 4, 3)),
    (TopKBatchNorm3d, (4, 5, 2, 3, 4)),
]  # fmt: skip


def _by_numpy(x, norm):
    rows = np.moveaxis(x.double().numpy(), 1, 0).reshape(x.shape[1], -1)
    mean, n = rows.mean(1), rows.shape[1]
    away = np.sort(np.abs(rows - mean[:, None]), axis=1)
    if hasattr(norm, "k"):
        constant = 0.5 * (1 + math.sqrt(math.pi * math.log(4))) / math.sqrt(2 * math.log(n))
        return mean, constant * away[:, -norm.k :].mean(1)
    return mean, math.sqrt(math.pi / 2) * away.mean(1)


@pytest.mark.parametrize(("kind", "shape"), ALL)
def test_training_and_inference_are_the_published_formula(kind, shape):
    torch.manual_seed(0)
    x, norm = 3 * torch.randn(shape) + 2, kind(5, momentum=0.25)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
    mean, scale = _by_numpy(x, norm)
    along = (1, -1, *[1] * (x.dim() - 2))

    def affine(mean, scale):
        gain = norm.weight.detach().double().numpy() / (scale + norm.eps)
        return (x.double().numpy() - mean.reshape(along)) * gain.reshape(along) + norm.bias.detach().numpy().reshape(
            along
        )

    np.testing.assert_allclose(norm(x).detach(), affine(mean, scale), atol=2e-5)
    np.testing.assert_allclose(norm.running_mean, 0.25 * mean, rtol=1e-5)
    np.testing.assert_allclose(norm.running_scale, 0.75 + 0.25 * scale, rtol=1e-5)
    norm.eval()
    np.testing.assert_allclose(norm(x).detach(), affine(0.25 * mean, 0.75 + 0.25 * scale), atol=2e-5)


@pytest.mark.parametrize(("kind", "shape"), ALL)
def test_gradients_are_those_of_finite_differences(kind, shape):
    torch.manual_seed(1)
    x, norm = torch.randn(shape, dtype=torch.float64, requires_grad=True), kind(5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, w, b: torch.func.functional_call(norm, {"weight": w, "bias": b}, x),
                                    (x, norm.weight, norm.bias), fast_mode=True)  # fmt: skip


def test_their_spread_is_about_a_standard_deviation_for_normal_values():
    x = 3 * torch.randn(64, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert float(L1BatchNorm2d(1).statistics(x)[1]) == pytest.approx(3, rel=0.01)
    assert 3 < float(TopKBatchNorm2d(1, k=10).statistics(x)[1]) < 1.5 * 3  # the published constant leaves it larger


def test_momentum_none_is_the_mean_over_batches_and_reset_forgets_it():
    norm, batches = L1BatchNorm1d(3, momentum=None), [torch.randn(20, 3) for _ in range(3)]
    for x in batches:
        norm(x)
    wanted = torch.stack([norm.statistics(x)[1] for x in batches]).mean(0)
    torch.testing.assert_close(norm.running_scale, wanted)
    norm.reset_running_stats()
    assert norm.running_scale.tolist() == [1, 1, 1] and int(norm.num_batches_tracked) == 0


def test_options_are_those_of_torch():
    bare = TopKBatchNorm2d(4, k=3, affine=False, track_running_stats=False)
    assert not list(bare.state_dict()) and "k=3" in repr(bare)
    x = torch.randn(5, 4, 3, 3)
    assert torch.equal(bare(x), bare.eval()(x))  # always the batch's
    names = set(L1BatchNorm2d(4).state_dict())
    assert names == set(nn.BatchNorm2d(4).state_dict()) - {"running_var"} | {"running_scale"}
    assert bare(x.bfloat16()).dtype == torch.bfloat16
    for kind in (L1BatchNorm2d, TopKBatchNorm2d):
        assert (kind(4, 1e-3, 0.2).eps, kind(4, 1e-3, 0.2).momentum) == (1e-3, 0.2), "in torch's order"


@pytest.mark.parametrize(
    ("act", "error", "named"),
    [
        (lambda: L1BatchNorm2d(0), WrongSetting, "num_features"),
        (lambda: L1BatchNorm2d(3, eps=-1), WrongSetting, "eps"),
        (lambda: L1BatchNorm2d(3, momentum=2.0), WrongSetting, "momentum = 2.0"),
        (lambda: L1BatchNorm2d("3"), WrongSetting, "num_features = '3'"),
        (lambda: TopKBatchNorm2d(3, k=0), WrongSetting, "k = 0"),
        (lambda: TopKBatchNorm2d(3, k=1.5), WrongSetting, "k = 1.5"),
        (lambda: L1BatchNorm1d(3)(torch.ones(4, 3, dtype=torch.int64)), BadInput, "floating point"),
        (lambda: L1BatchNorm2d(3)(torch.randn(2, 3)), BadInput, "4 dimensions"),
        (lambda: L1BatchNorm2d(3)(torch.randn(2, 4, 5, 5)), BadInput, "3 channels"),
        (lambda: L1BatchNorm1d(3)(torch.randn(1, 3)), BadInput, "more than 1 value"),
        (lambda: TopKBatchNorm1d(3)(torch.randn(4, 3)), BadInput, "smaller k"),
    ],
)
def test_what_cannot_be_is_refused(act, error, named):
    with pytest.raises(error, match=named):
        act()


def _network(norm):
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), norm(8), nn.ReLU(), nn.Conv2d(8, 8, 3), norm(8), nn.ReLU(), nn.Flatten(),
                        nn.Linear(8 * 16, 4))  # fmt: skip
    for _ in range(20):
        net(2 * torch.randn(32, 1, 8, 8) + 1)
    return net.eval()


@pytest.mark.parametrize("norm", [L1BatchNorm2d, TopKBatchNorm2d])
def test_chips_fold_them_and_answer_alike(norm):
    net, x = _network(norm), torch.randn(6, 1, 8, 8)
    chip = mho.program(mho.calibrate(mho.to_analog(net, "pcm-cells", example=x), [x]), seed=0).at("1 day")
    fused = mho.fuse(chip)
    assert sum(isinstance(m, nn.Identity) for m in fused.modules()) == 2
    with torch.no_grad():
        torch.testing.assert_close(fused(x), chip(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", [L1BatchNorm2d, TopKBatchNorm2d])
def test_recalibration_brings_their_statistics_back(norm):
    """Another first layer that is the old one, scaled and shifted: the recalibrated network answers as before."""
    net, batches = _network(norm), [torch.randn(64, 1, 8, 8) for _ in range(3)]
    RecalibrateNorms(batches, passes="sequential").apply(net)  # so that its statistics are those of this data
    other = copy.deepcopy(net)
    with torch.no_grad():
        for i in (0, 3):
            other[i].weight.mul_(1.7)
            other[i].bias.mul_(1.7).add_(0.3)
        before = net(batches[0])
        assert not torch.allclose(other(batches[0]), before, atol=0.1)
        for recalibration in (
            RecalibrateNorms(batches, passes="sequential"),
            RecalibrateNorms(batches, digital_net=net),
        ):
            mended = copy.deepcopy(other)
            recalibration.apply(mended)
            torch.testing.assert_close(mended(batches[0]), before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("norm", [L1BatchNorm2d, TopKBatchNorm2d])
def test_networks_with_them_are_trained_and_exported(norm, tmp_path):
    from mho.models.loading import resolve

    net, x = _network(norm), torch.randn(16, 1, 8, 8)
    analog = mho.calibrate(mho.to_analog(net, "pcm-cells", example=x), [x])
    mho.fit(analog, [(x, torch.arange(16) % 4)], epochs=1, lr=0.01)
    assert not torch.equal(analog[1].running_scale, net[1].running_scale)
    torch.export.save(
        torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=2)},)), tmp_path / "net.pt2"
    )
    with torch.no_grad():
        torch.testing.assert_close(resolve(str(tmp_path / "net.pt2"))(x), net(x))

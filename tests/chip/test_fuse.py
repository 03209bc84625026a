"""Fusing: the same numbers, batch norms in the read-out only where nothing can notice, on a copy."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
import mho.errors

HW = mho.Hardware.of("pcm-cells").replace(array__rows=40)


def _trained(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """With statistics that are not those of a new norm."""
    model.train()
    for _ in range(3):
        model(x)
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return model.eval()


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.na = nn.Conv2d(3, 20, 3, padding=1), nn.BatchNorm2d(20)
        self.b, self.nb = nn.Conv2d(20, 12, 3, bias=False), nn.BatchNorm2d(12, affine=False)
        self.c, self.nc = nn.Linear(12, 7), nn.BatchNorm1d(7)
        self.twice, self.nt = nn.Linear(7, 7), nn.BatchNorm1d(7)
        self.seen, self.ns = nn.Linear(7, 7), nn.BatchNorm1d(7)
        self.bare = nn.Linear(7, 4)

    def forward(self, x):
        x = F.relu(self.na(self.a(x)))
        x = F.relu(self.nb(self.b(x))).mean((2, 3))
        x = F.relu(self.nc(self.c(x)))
        x = self.nt(self.twice(x)) + self.nt(self.twice(x.abs()))
        y = self.seen(x)
        return self.bare(F.relu(self.ns(y) + y))


@pytest.fixture
def case():
    torch.manual_seed(0)
    x = torch.randn(6, 3, 9, 9)
    return _trained(_Net(), x), x


def _left(net: nn.Module) -> list[str]:
    return [path for path, module in net.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def _chip(model: nn.Module, hw, x: torch.Tensor) -> nn.Module:
    return mho.program(mho.calibrate(mho.to_analog(model, hw), [x])).at("1 day")


DESCRIBED = {
    "ideal": mho.Hardware.of("ideal"), "pcm": HW, "lossless": HW.replace(dac__bits=None, adc={"bits": None}, noise={}),
    "abs_max": HW.replace(dac__range="abs_max"), "offset": HW.replace(encoding={"kind": "offset"}),
    "digital subtraction": HW.replace(encoding={"kind": "differential", "subtract": "digital"}),
}  # fmt: skip


@pytest.mark.parametrize("hw", DESCRIBED)
def test_fusing_changes_nothing(case, hw):
    model, x = case
    chip = _chip(model, DESCRIBED[hw], x)
    fused = mho.fuse(chip)
    assert _left(chip) == ["na", "nb", "nc", "nt", "ns"]
    assert _left(fused) == ["nc", "nt", "ns"], "only norms of convolutions that nothing else can notice are folded"
    with torch.no_grad():
        tolerance = 1e-4 if hw in ("ideal", "lossless") else 0.05  # a code of the next layer may tip over
        with mho.rng.reads("fusing"):
            found = fused(x)
        with mho.rng.reads("fusing"):
            torch.testing.assert_close(found, chip(x), rtol=tolerance, atol=tolerance)


def test_a_layer_called_alone_answers_like_torchs(case):
    model, x = case
    chip = _chip(model, HW, x)
    mho.fuse(chip)
    with torch.no_grad():
        digital, found = model.a(x), chip.a(x)
        assert float((found - digital).std() / digital.std()) < 0.2
        truncated = nn.Sequential(chip.a, nn.ReLU())(x)
        assert torch.allclose(truncated, F.relu(found))
        chip(x)
        fresh = torch.randn_like(found)
        assert all(torch.equal(chip.na(fresh.clone()), model.na(fresh)) for _ in range(50))


@pytest.mark.parametrize("what", ["hook on the layer", "hook on the norm", "no statistics", "replaced"])
def test_norms_work_on_their_own_where_folding_would_show(case, what):
    model, x = case
    chip = _chip(model, DESCRIBED["lossless"], x)
    if what == "hook on the layer":
        chip.a.register_forward_hook(lambda m, i, o: 2 * o)
    elif what == "hook on the norm":
        chip.na.register_forward_pre_hook(lambda m, i: (2 * i[0],))
    elif what == "no statistics":
        chip.na.running_mean = chip.na.running_var = None
    else:
        chip.na = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(mho.fuse(chip)(x), chip(x), rtol=1e-4, atol=1e-4)


def test_new_statistics_are_those_that_are_fused(case):
    model, x = case
    chip = _chip(model, HW, x)
    with torch.no_grad():
        before = mho.fuse(chip)(x)
        chip.na.running_mean += 1.0
        chip.nb.running_var *= 2.0
        found, expected = mho.fuse(chip)(x), chip(x)
    assert not torch.allclose(found, before, atol=1e-2)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_copies_and_in_place(case):
    model, x = case
    chip = _chip(model, HW, x)
    fused = mho.fuse(chip)
    for twin in (copy.deepcopy(fused), pickle.loads(pickle.dumps(fused))):
        with torch.no_grad():
            assert torch.equal(twin(x), fused(x))
    assert mho.fuse(chip, inplace=True) is chip and _left(chip) == ["nc", "nt", "ns"]
    with pytest.raises(mho.errors.WrongSetting, match="no chip"):
        mho.fuse(model)


def test_a_network_that_cannot_be_traced_keeps_its_norms(case):
    class Choosy(_Net):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else -x)

    model = _trained(Choosy(), case[1])
    chip = _chip(model, HW, case[1])
    fused = mho.fuse(chip)
    assert _left(fused) == _left(chip) and not fused.a.matrix.source.channels_last


def test_layers_with_a_forward_of_their_own(case):
    class Same(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias)

    class Doubles(nn.Conv2d):
        def forward(self, x):
            return 2 * F.conv2d(x, self.weight, self.bias)

    model = nn.Sequential(Same(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), Doubles(5, 6, 3), nn.BatchNorm2d(6))
    model = _trained(model, case[1])
    net = mho.fuse(mho.program(mho.to_analog(model, "ideal", example=case[1])).at(0))
    assert _left(net) == ["4"]
    assert not net[0].matrix._forward_hooks and not net[3].matrix._forward_hooks, "what looked is gone"
    with torch.no_grad():
        torch.testing.assert_close(net(case[1]), model(case[1]), rtol=1e-4, atol=1e-4)


class _Images(nn.Module):
    """Convolutions, then what `end` makes of the images."""

    def __init__(self, end) -> None:
        super().__init__()
        self.a, self.b, self.end = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 3, groups=1), end
        self.linear = nn.Linear(5, 4)

    def forward(self, x):
        return self.end(self, F.max_pool2d(F.relu(self.b(F.relu(self.a(x)))), 2))


ENDS = {
    "flatten": (lambda net, x: net.linear(x.mean((2, 3))), True),
    "softmax": (lambda net, x: F.softmax(torch.flatten(x, 1), -1), True),
    "view": (lambda net, x: net.linear(x.view(len(x), 5, -1).mean(-1)), False),
    "view method": (lambda net, x: net.linear(x.view(x.size(0), 5, -1).mean(-1)), False),
    "images": (lambda net, x: x, False),
    "strides": (lambda net, x: net.linear(x.mean((2, 3))) * x.stride(1), False),
}


@pytest.mark.parametrize("name", ENDS)
def test_images_stay_in_rows_only_where_nobody_can_notice(name):
    torch.manual_seed(0)
    end, rows = ENDS[name]
    model, x = _Images(end), torch.randn(4, 3, 12, 12)
    net = mho.calibrate(mho.to_analog(model, HW.replace(noise__output=0.1, digital=["linear"])), [x])
    chip = mho.program(net).at("1 day")
    fused = mho.fuse(chip)
    assert [layer.matrix.source.channels_last for layer in (fused.a, fused.b)] == [rows, rows]
    with torch.no_grad():
        assert fused(x).stride() == model(x).stride()
        with mho.rng.reads("rows"):
            found = fused(x)
        with mho.rng.reads("rows"):
            torch.testing.assert_close(chip(x), found, rtol=1e-5, atol=0.05)  # a code may tip over
        assert chip.a(x).is_contiguous()


@pytest.mark.parametrize("length", [6, 5])
def test_a_norm_behind_a_linear_layer_normalises_what_torchs_does(length):
    """BatchNorm1d on (batch, positions, features) takes the positions for channels."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(length), nn.ReLU(), nn.Linear(6, 3))
    x = torch.randn(20, length, 6)
    model = _trained(model, x)
    chip = mho.program(mho.to_analog(model, "ideal", example=x)).at(0)
    with torch.no_grad():
        torch.testing.assert_close(mho.fuse(chip)(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_network_that_reads_a_layers_own_tensors_keeps_its_norm():
    class Reads(nn.Module):
        def __init__(self, what):
            super().__init__()
            self.c, self.b, self.f, self.what = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3), what

        def forward(self, x):
            y = self.f(self.b(self.c(x)).mean((2, 3)))
            return y + (self.c.bias if self.what == "bias" else self.b.running_mean).sum()

    x = torch.randn(6, 3, 9, 9)
    for what in ("bias", "mean"):
        chip = _chip(_trained(Reads(what), x), DESCRIBED["lossless"], x)
        with torch.no_grad():
            torch.testing.assert_close(mho.fuse(chip)(x), chip(x), rtol=1e-4, atol=1e-5)


def test_what_is_fused_has_no_way_back(case):
    model, x = case
    chip = _chip(model, HW, x)
    with pytest.raises(mho.errors.WrongSetting, match="folded into its arrays"):
        mho.to_digital(mho.fuse(chip))
    with pytest.raises(mho.errors.WrongSetting, match="converted already"):
        mho.to_analog(chip, "pcm-cells")
    with pytest.raises(mho.errors.WrongSetting, match="no chip"):
        mho.fuse(mho.program(mho.calibrate(mho.to_analog(model, HW), [x])))


@pytest.mark.parametrize("kind", ["pads", "standardises", "views", "reads strides", "fails"])
def test_images_stay_in_rows_behind_a_layer_of_ones_own_that_answers_the_same(kind):
    class Own(nn.Conv2d):
        def forward(self, x):
            if kind == "fails" and len(x) == 2:
                raise RuntimeError("not for two")
            if kind == "standardises":
                return F.conv2d(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)
            y = F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias)
            y = y.view(len(x), -1).view(y.shape) if kind == "views" else y
            return y * y.stride(1) if kind == "reads strides" else y

    torch.manual_seed(0)
    x = torch.randn(5, 3, 8, 8)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), Own(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = mho.calibrate(mho.to_analog(model.eval(), HW.replace(noise__output=0.0), example=x), [x])
    chip = mho.program(net).at("1 day")
    fused = mho.fuse(chip)
    assert (
        fused[0].matrix.source.channels_last
        is fused[2].matrix.source.channels_last
        is (kind in ("pads", "standardises"))
    )
    with torch.no_grad():
        torch.testing.assert_close(fused(x), chip(x), rtol=1e-3, atol=0.02)
    assert not chip.training and net.train()[2].matrix.training


def test_a_layer_of_ones_own_may_mind_the_layout():
    class Flat(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight, self.bias).view(len(x), -1)

    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), Flat(8, 4, 3), nn.Linear(64, 3)), torch.randn(5, 3, 8, 8)
    net = mho.calibrate(mho.to_analog(model, HW.replace(noise__output=0.01), example=x), [x])
    chip = mho.program(net).at("1 day")
    with torch.no_grad():
        assert mho.fuse(chip)(x).shape == chip(x).shape
    mho.HWA().attach(net.train(), steps=1)
    net(x).sum().backward()

"""Batch norms folded into the read-out: the same numbers, only where nothing can notice."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.nn.norm import FoldedNorm

HW = mho.Hardware.of("pcm").replace(array__rows=40)


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


def _unlinked(net: nn.Module) -> nn.Module:
    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, mho.nn.AnalogMatrix):
            module._behind = None
    return net


def _folded(net: nn.Module) -> list[str]:
    return [path for path, module in net.named_modules() if isinstance(module, FoldedNorm)]


def test_only_norms_that_nothing_else_can_notice_are_linked(case):
    assert _folded(mho.to_analog(case[0], HW)) == ["na", "nb", "nc"]


@pytest.mark.parametrize("hw", ["ideal", "pcm", "abs_max", "offset"])
def test_folding_changes_nothing(case, hw):
    model, x = case
    described = {
        "ideal": mho.Hardware.of("ideal"), "pcm": HW, "abs_max": HW.replace(dac__range="abs_max"),
        "offset": HW.replace(encoding={"kind": "offset"}),
    }[hw].replace(dac__bits=None, adc={"bits": None}) if hw != "abs_max" else HW.replace(dac__range="abs_max")  # fmt: skip
    net = mho.calibrate(mho.to_analog(model, described), [x])
    chip = mho.program(net).at("1 day")
    apart = _unlinked(chip)
    with torch.no_grad():
        calls = []
        for norm in ("na", "nb", "nc"):
            forward = nn.modules.batchnorm._BatchNorm.forward
            assert forward is not None
            chip.get_submodule(norm).register_load_state_dict_pre_hook(lambda *_: None)
        with torch.autograd.profiler.profile() as profile:
            found = chip(x)
        calls = sum(event.name == "aten::batch_norm" for event in profile.function_events)
        expected = apart(x)
    assert calls == 3, "two calls of nt and one of ns are left"
    tolerance = 1e-4 if hw != "abs_max" else 0.05  # a code of the next layer may tip over
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("what", ["training", "gradients", "hook", "replaced", "no statistics", "autocast"])
def test_norms_work_on_their_own_where_folding_would_show(case, what):
    model, x = case
    net = mho.calibrate(mho.to_analog(model, HW.replace(dac__bits=None, adc={"bits": None})), [x])
    chip = mho.program(net).at("1 day")
    seen = []
    if what == "training":
        chip.na.train()
    elif what == "hook":
        chip.a.register_forward_hook(lambda m, i, o: seen.append(o.clone()))
    elif what == "replaced":
        chip.na = nn.Identity()
    elif what == "no statistics":
        chip.na.running_mean = chip.na.running_var = None
    apart = _unlinked(chip)
    seen.clear()
    with torch.set_grad_enabled(what == "gradients"), torch.autocast("cpu", enabled=what == "autocast"):
        found, first = chip(x), seen[:1]
        seen.clear()
        expected = apart(x)
    tolerance = 3e-2 if what == "autocast" else 1e-4
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    for a, b in zip(first, seen, strict=True):
        torch.testing.assert_close(a, b)


def test_new_statistics_are_used_at_once(case):
    model, x = case
    chip = mho.program(mho.calibrate(mho.to_analog(model, HW), [x])).at("1 day")
    with torch.no_grad():
        before = chip(x)
        chip.na.running_mean += 1.0
        chip.nb.running_var *= 2.0
        found, expected = chip(x), _unlinked(chip)(x)
    assert not torch.allclose(found, before, atol=1e-2)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_copies_and_the_way_back(case):
    model, x = case
    net = mho.calibrate(mho.to_analog(model, HW), [x])
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert _folded(twin) == _folded(net)
        with torch.no_grad():
            assert torch.equal(twin.eval()(x), net.eval()(x))
        twin.na.running_mean += 1.0
        assert not torch.equal(twin.na.running_mean, net.na.running_mean)
        assert twin.a.matrix._behind.norm is twin.na
    digital = mho.to_digital(net)
    assert [type(m) for m in digital.modules()] == [type(m) for m in model.modules()]
    assert set(net.state_dict()) >= set(model.state_dict())
    with torch.no_grad():
        assert torch.equal(digital.eval()(x), model(x))


def test_a_network_that_cannot_be_traced_keeps_its_norms(case):
    class Choosy(_Net):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else -x)

    model = _trained(Choosy(), case[1])
    assert _folded(mho.to_analog(model, HW)) == []


def test_layers_with_a_forward_of_their_own(case):
    class Same(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias)

    class Doubles(nn.Conv2d):
        def forward(self, x):
            return 2 * F.conv2d(x, self.weight, self.bias)

    model = nn.Sequential(Same(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), Doubles(5, 6, 3), nn.BatchNorm2d(6))
    model = _trained(model, case[1])
    net = mho.to_analog(model, "ideal", example=case[1])
    assert _folded(net) == ["1"]
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(case[1]), model(case[1]), rtol=1e-4, atol=1e-4)


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
    assert [layer.matrix.rows for layer in (chip.a, chip.b)] == [rows, rows]
    with torch.no_grad():
        assert chip(x).stride() == model(x).stride()
        with mho.rng.reads("rows"):
            found = chip(x)
        chip.a.matrix.rows = chip.b.matrix.rows = False
        with mho.rng.reads("rows"):
            torch.testing.assert_close(chip(x), found, rtol=1e-5, atol=0.05)  # a code may tip over
        assert chip.a(x).is_contiguous()

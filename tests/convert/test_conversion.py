from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mho.convert import register, to_analog, to_digital
from mho.convert.rules import LAYERS
from mho.errors import BadInput, MhoError, NeverPossible, NotYet, UseInstead, WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogConv2d, AnalogLayer, AnalogLinear, MatrixView
from mho.nn.linear import LINEAR

IDEAL = Hardware.preset("ideal")


class SameConv(nn.Conv2d):
    """A convolution with a forward of its own, as TensorFlow ports have it."""

    def forward(self, x):
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class Sneaky(nn.Module):
    """Reads a layer's weight without calling the layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return F.linear(self.first(x), self.second.weight, self.second.bias)


class FunctionalHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.head = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        return F.linear(self.body(x), self.head)


class Shared(nn.Module):
    """One module at two paths, and two modules with one parameter."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = self.a
        self.c = nn.Linear(4, 4)
        self.c.weight = self.a.weight

    def forward(self, x):
        return self.c(self.b(self.a(x)))


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3))

    def forward(self, x):
        return F.linear(x, self.weight)


class AnalogScaled(AnalogLayer, Scaled):
    def forward(self, x):
        return self.matrix(x, self.weight, LINEAR)

    def views(self):
        yield MatrixView("weight", self.matrix, self.weight, LINEAR)


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        return x @ self.weight


class AnalogTransposed(AnalogLayer, Transposed):
    """Holds its weight as GPT-2 does: the matrix is the transpose."""

    def forward(self, x):
        return self.matrix(x, self.weight.T, LINEAR)

    def views(self):
        yield MatrixView("weight", self.matrix, self.weight.T, LINEAR)


def _state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def test_the_callers_model_is_bit_identical_afterwards():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).train()
    before, training = _state(model), [m.training for m in model.modules()]
    to_analog(model, "pcm", example=torch.randn(2, 3, 8, 8))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert [m.training for m in model.modules()] == training
    assert type(model[0]) is nn.Conv2d and not hasattr(model, "placement")


def test_layers_keep_names_parameters_and_class():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    net = to_analog(model, IDEAL)
    assert isinstance(net[0], AnalogConv2d) and isinstance(net[0], nn.Conv2d) and isinstance(net[1], AnalogLinear)
    assert list(net.state_dict()) == list(model.state_dict())
    assert [n for n, _ in net.named_parameters()] == [n for n, _ in model.named_parameters()]


def test_a_single_layer_is_a_network():
    net = to_analog(nn.Linear(3, 2), IDEAL, example=torch.randn(4, 3))
    assert isinstance(net, AnalogLinear) and len(net.placement) == 2


def test_one_module_at_two_paths_stays_one_and_ties_are_reported():
    model = Shared()
    net = to_analog(model, IDEAL, example=torch.randn(2, 4))
    assert net.a is net.b and net.a.weight is net.c.weight
    tied = {w.path: w.tied_to for w in net.placement if w.weight == "weight"}
    assert tied == {"a": None, "c": "a.weight"}


def test_a_forward_of_the_users_own_converts_right():
    model = nn.Sequential(SameConv(3, 6, 3, stride=2, groups=3), nn.ReLU(), SameConv(6, 2, 3))
    x = torch.randn(2, 3, 9, 9)
    net = to_analog(model, IDEAL.replace(array__rows=20), example=x)
    assert isinstance(net[0], SameConv) and isinstance(net[0], AnalogLayer)
    torch.testing.assert_close(copy.deepcopy(net)(x), model(x))


class MyLSTM(nn.LSTM):
    def forward(self, x):
        return super().forward(x)[0]


def _two(second=None):
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2) if second is None else second)


# name: (model, changes of the hardware, example, error, its words)
REFUSED = {
    "a matrix of no layer": (FunctionalHead, {}, None, NotYet, r"'head' \(3, 4\)"),
    "a layer without a rule": (
        lambda: _two(nn.Bilinear(2, 2, 2)), {}, None, NotYet, r"^1: no rule maps Bilinear.*digital=\['1'\]",
    ),
    "a forward of its own": (lambda: nn.Sequential(MyLSTM(3, 4)), {}, None, NotYet, "MyLSTM overrides"),
    "a hidden weight": (
        lambda: _two(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))), {}, None, UseInstead, "remove_parametrizations",
    ),
    "an unborn weight": (lambda: nn.Sequential(nn.LazyLinear(3)), {}, None, UseInstead, "one batch"),
    "nothing to map": (lambda: nn.Sequential(nn.ReLU()), {}, None, NeverPossible, "no layer that goes onto arrays"),
    "a digital pattern of nothing": (_two, {"digital": ["layer9*"]}, None, WrongSetting, "layer9"),
    "a token that is not there": (
        lambda: nn.Sequential(nn.Embedding(3, 4), nn.Linear(4, 2)), {}, torch.tensor([5]), BadInput, "does not run",
    ),
    "an example that does not fit": (lambda: nn.Linear(3, 2), {}, torch.randn(4, 5), BadInput, "does not run on the example"),
} | {
    f"a layer pattern of nothing: {pattern}": (
        lambda: _two(nn.ReLU()), {"layers": {pattern: {"adc.bits": 5}}}, None, WrongSetting, "no layer on arrays matches",
    )
    for pattern in ("1", "stem", "0.weight")
}  # fmt: skip


@pytest.mark.parametrize(("make", "changes", "example", "error", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_converted_is_refused_by_name(make, changes, example, error, words):
    with pytest.raises(error, match=words):
        to_analog(make(), IDEAL.replace(**changes), example=example)


@pytest.mark.parametrize(
    ("make", "digital", "example", "analog"),
    [
        (Sneaky, ["second"], torch.randn(2, 4), {"first"}),
        (FunctionalHead, ["head"], torch.randn(2, 4), {"body"}),
        (lambda: _two(nn.Bilinear(2, 2, 2)), ["1"], None, {"0"}),
        (lambda: nn.Sequential(_two(), nn.Linear(2, 2)), ["0"], torch.randn(2, 2), {"1"}),
        (lambda: nn.Sequential(_two(), nn.Linear(2, 2)), ["*.1"], torch.randn(2, 2), {"0.0", "1"}),
        (_two, [], torch.randn(2, 2), {"0", "1"}),
    ],
)
def test_what_is_chosen_stays_digital(make, digital, example, analog):
    net = to_analog(make(), IDEAL.replace(digital=digital), example=example)
    assert {path for path, module in net.named_modules() if isinstance(module, AnalogLayer)} == analog
    matrices = [w for w in net.placement if len(w.shape) > 1]
    assert {w.path for w in matrices if w.placed == "analog"} == analog
    assert all("chosen" in w.reason for w in matrices if w.placed == "digital")


@pytest.mark.parametrize(("digital", "analog"), [(Scaled, AnalogScaled), (Transposed, AnalogTransposed)])
def test_registered_layers_are_used(digital, analog):
    register(digital, analog)
    try:
        net = to_analog(nn.Sequential(digital()), IDEAL, example=torch.randn(2, 3))
        assert isinstance(net[0], analog) and net.placement.analog_share == 1.0
    finally:
        del LAYERS._registered[f"{digital.__module__}.{digital.__qualname__}"]
    with pytest.raises(NotYet):
        to_analog(nn.Sequential(digital()), IDEAL)


def test_there_and_back():
    model = nn.Sequential(
        SameConv(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.Flatten(), nn.Linear(4 * 25, 2)
    )
    x = torch.randn(2, 3, 8, 8)
    back = to_digital(to_analog(model, "pcm", example=x))
    assert [type(m) for m in back.modules()] == [type(m) for m in model.modules()]
    assert torch.equal(back(x), model(x)) and list(back.state_dict()) == list(model.state_dict())
    assert not any(isinstance(m, AnalogLayer) for m in back.modules()) and not hasattr(back, "placement")


def test_errors_are_all_of_one_family():
    assert all(issubclass(e, MhoError) for e in (BadInput, NeverPossible, NotYet, UseInstead, WrongSetting))


DATA = os.environ.get("MHO_DATA")


@pytest.mark.data
@pytest.mark.skipif(DATA is None, reason="MHO_DATA is not set: the published networks are not here")
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cifar10_resnet20", (2, 3, 32, 32)), ("cifar10_resnet20b_crosssim", (2, 3, 32, 32)),
        ("cifar10_resnet8_mlperf", (2, 3, 32, 32)), ("kws_dscnn_mlperf", (2, 1, 49, 10)),
        ("vww_mobilenetv1_025_mlperf", (2, 3, 96, 96)), ("imagenet_squeezenet10_dc", (1, 3, 227, 227)),
        ("imagenet_mobilenet_v1_025_128_q8", (1, 3, 128, 128)), ("stories260k", None),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_networks_written_by_others_convert_right(name, shape):
    """The definitions beside the weights hold what breaks converters; none of them was written for mho."""
    tools = str(Path(DATA) / "tools")
    sys.path.insert(0, tools)
    try:
        import load
    finally:
        sys.path.remove(tools)
    model, _, _ = load.net(name)
    x = torch.randint(0, 500, (2, 12)) if shape is None else 50 * torch.rand(shape)
    net = to_analog(model, IDEAL, example=x)
    assert net.placement.analog_share > 0.9 and net.placement.arrays > 5
    if name.startswith("imagenet_squeezenet"):
        assert next(w.shape for w in net.placement if w.path == "conv_final") == (1000, 512, 1, 1)


def test_layers_on_other_hardware_of_their_own():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5))
    hw = Hardware.preset("pcm", layers={"0": {"adc.bits": 5, "encoding.pairs": 2}, "3": {"mapping.scale": "tensor"}})
    net = to_analog(model, hw, example=torch.randn(2, 3, 6, 6))
    assert (net[0].hw.adc.bits, net[3].hw.adc.bits) == (5, 8) and net[3].matrix.hw.mapping.scale == "tensor"
    assert net.placement.hardware is hw
    plain = to_analog(model, "pcm").placement
    assert next(w.utilisation for w in net.placement) == pytest.approx(2 * next(w.utilisation for w in plain))


def test_a_chip_has_the_pairs_of_its_layers():
    import mho

    model = nn.Sequential(nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False))
    hw = Hardware.preset("pcm", layers={"1": {"encoding.pairs": 9}})
    net = mho.calibrate(to_analog(model, hw), [torch.randn(8, 64)])
    chip = mho.program(net, 0)
    assert [len(arrays.states) for arrays in chip.arrays.values()] == [2, 18]
    errors = []
    for layer in chip.at(0):
        weight = layer.matrix.source.weight(next(layer.views()).operator)
        errors.append(float((weight - layer.weight.detach()).std() / layer.weight.detach().std()))
    assert errors[0] / errors[1] == pytest.approx(3, rel=0.1)

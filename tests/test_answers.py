"""Wrong answers that the package once gave, each with the right one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mho
from mho.convert.rules import LAYERS, register
from mho.crossbar import Operator
from mho.errors import BadInput, NotYet, WrongSetting
from mho.nn import AnalogLayer, MatrixView
from mho.recalibration import RecalibrateAffine


class ConvNormRelu(nn.Module):
    """Two blocks, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3, bias=False)
        self.norm_b, self.last = nn.BatchNorm2d(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.a(x)))
        return self.last(F.relu(self.norm_b(self.b(x))).mean((2, 3)))


@pytest.fixture(scope="module", params=["converted", "programmed"])
def case(request) -> tuple[nn.Module, nn.Module, Tensor]:
    """The digital network with norms that do much, and the analog one."""
    torch.manual_seed(0)
    model, x = ConvNormRelu(), 2 + 3 * torch.randn(16, 3, 8, 8)
    for norm in (model.norm, model.norm_b):
        nn.init.uniform_(norm.weight, 0.5, 3)
        nn.init.normal_(norm.bias)
    for _ in range(5):
        model.train()(x)
    net = mho.calibrate(mho.to_analog(model.eval(), "pcm-cells", example=x), [x])
    return model, net if request.param == "converted" else mho.program(net).at("1 day"), x


def near(found: Tensor, expected: Tensor, other: Tensor) -> None:
    """Within what a day on a chip may cost, and far from another answer."""
    assert float((found - expected).std()) < 0.3 * min(float(expected.std()), float((expected - other).std()))


@torch.no_grad()
def test_a_layer_alone_is_that_layer_alone(case):
    model, net, x = case
    net(x)  # nothing is left behind for the next call
    for before in (False, True):
        y, normed = model.a(x), model.norm(model.a(x))
        near(net.a(x), y, normed)
        near(nn.Sequential(net.a, nn.ReLU())(x), F.relu(y), F.relu(normed))
        near(net.norm(net.a(x)), normed, y)
        with torch.enable_grad():
            near(net.a(x).detach(), y, normed)
        if not before:
            net = copy.deepcopy(net)


@torch.no_grad()
def test_a_feature_extractor_sees_what_torchs_layers_give(case):
    model, net, x = case
    seen: dict[str, Tensor] = {}
    for path in ("a", "norm", "b"):
        hook = getattr(net, path).register_forward_hook(lambda m, i, y, path=path: seen.__setitem__(path, y.clone()))
        net(x)
        hook.remove()
    y = model.a(x)
    near(seen["a"], y, model.norm(y))
    near(seen["norm"], model.norm(y), y)
    near(seen["b"], model.b(F.relu(model.norm(y))), model.norm_b(model.b(F.relu(model.norm(y)))))
    children = list(nn.Sequential(net.a, net.norm, nn.ReLU(), net.b, net.norm_b).children())
    near(nn.Sequential(*children[:1])(x), y, model.norm(y))
    near(nn.Sequential(*children[:2])(x), model.norm(y), y)


@torch.no_grad()
def test_a_norm_alone_normalises_whatever_it_is_given(case):
    """The outputs of a layer are freed at once, so that fresh tensors are often the same objects at the same place."""
    model, net, x = case
    for _ in range(1500):
        net.a(x[:2])
        fresh = torch.randn(2, 8, 8, 8)
        found = net.norm(fresh)
        assert torch.equal(found, model.norm(fresh))


class ByHand(nn.Conv2d):
    """Convolves without any of torch's products."""

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, self.kernel_size).unsqueeze(1)
        y = (patches * self.weight.flatten(1)[:, :, None]).sum(2) + self.bias[:, None]
        return y.unflatten(-1, (x.shape[-2] - self.kernel_size[0] + 1, -1))


@pytest.mark.parametrize("hw", ["squeezenet-2022", "pcm", "ideal"])
def test_a_forward_that_reads_no_arrays_is_refused_wherever_it_runs(hw):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), ByHand(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)).eval()
    x, y = torch.randn(5, 3, 8, 8), torch.randint(0, 3, (5,))
    net = mho.to_analog(model, mho.Hardware.preset(hw, dac__range="abs_max", adc={"bits": 8, "range": "fixed"}))
    words = r"^1: the forward of ByHand does not give its own weight.*digital=\['1'\]"
    chip = mho.program(net).at("1 day")
    for run in (
        lambda: net(x), lambda: chip(x), lambda: mho.fuse(chip)(x), lambda: mho.accuracy(chip, [(x, y)]),
        lambda: mho.drift(net, [(x, y)], times=["1 day"], chips=2),
        lambda: mho.calibrate(mho.to_analog(model, "pcm-cells"), [x]),
    ):  # fmt: skip
        with pytest.raises(NotYet, match=words):
            run()
    with pytest.raises(NotYet, match=r"1: .*digital=\['1'\]"):
        mho.to_analog(model, hw, example=x)
    kept = mho.to_analog(model, mho.Hardware.preset("ideal", digital=["1"]), example=x)
    torch.testing.assert_close(kept(x), model(x), rtol=1e-4, atol=1e-4)


class Mixture(nn.Module):
    """Each sample goes to one of three experts; no data here goes to the last one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.experts = nn.Linear(6, 8), nn.ModuleList(nn.Linear(8, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h, chosen = self.first(x).relu(), 2 * (x[:, 0] > 50) + (x[:, 0] > 0) * (x[:, 0] <= 50)
        y = h.new_zeros(len(x), 3)
        for i, expert in enumerate(self.experts):
            if bool((chosen == i).any()):
                y[chosen == i] = expert(h[chosen == i])
        return y


@pytest.mark.parametrize("method", ["quantile", "error"])
def test_an_expert_that_never_runs_is_listed_and_everything_works(method, caplog):
    torch.manual_seed(0)
    model, x = Mixture().eval(), torch.randn(80, 6)
    net = mho.to_analog(model, "pcm-cells", example=x)
    said = {w.path: w.reason for w in net.placement if w.placed == "analog"}
    assert [path for path, reason in said.items() if "does not reach it" in reason] == ["experts.2"]
    caplog.set_level("WARNING", "mho")
    mho.calibrate(net, [x], method=method)
    (said,) = caplog.messages
    assert "1 of 4 arrays" in said and "refuse inputs: experts.2 ->" in said and "digital=['experts.2']" in said
    assert [e.matrix.input_range is None for e in net.experts] == [False, False, True]
    assert [e.matrix.adc_range is None for e in net.experts] == [False, False, True]
    chip = mho.program(net).at("1 month")
    with torch.no_grad():
        assert float((chip(x) - model(x)).std()) < 0.3 * float(model(x).std())
        assert torch.isfinite(mho.fuse(chip)(x)).all()
    result = mho.drift(net, [(x, model(x).argmax(1))], times=["1 day"], chips=2)
    assert float(result.scores.mean()) > 0.8
    rare = x.clone()
    rare[0, 0] = 99
    for some in (net, chip):
        with pytest.raises(
            WrongSetting,
            match=r"^experts\.2: the converters have no range yet: .*batch reached .*digital=",
        ):
            some(rare)
    mho.calibrate(net, [x, rare], method=method)(rare)
    assert caplog.messages == [said], "only once, and nothing where every array is reached"


class Mixed(nn.Module):
    """A layer of a user's own: y = x W + b, with W as (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)
        self.register_parameter("bias", nn.Parameter(torch.randn(outputs)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.kernel
        return y if self.bias is None else y + self.bias


class Mixes(nn.Module):
    """Another: a 1×1 convolution of images with their channels in front, which no class of torch's stands behind."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.bias = nn.Parameter(torch.randn(5, 4, 1, 1) / 2), None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel)


class AnalogMixed(AnalogLayer, Mixed):
    """On arrays."""

    def forward(self, x: Tensor) -> Tensor:
        return self.matrix(x, self.kernel.T, Operator(), self.bias)

    def views(self) -> Any:
        yield MatrixView("kernel", self.matrix, self.kernel.T, Operator())


class AnalogMixes(AnalogLayer, Mixes):
    """On arrays."""

    operator = Operator(2, (1, 1), (0, 0), (1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.matrix(x, self.kernel, self.operator)

    def views(self) -> Any:
        yield MatrixView("kernel", self.matrix, self.kernel, self.operator)


@pytest.fixture
def _registered(monkeypatch):
    monkeypatch.setattr(LAYERS, "_registered", dict(LAYERS._registered))
    register(Mixed, AnalogMixed)
    register(Mixes, AnalogMixes)


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("fit", ["moments", "regression"])
@pytest.mark.parametrize("converted", [False, True])
def test_layers_of_ones_own_are_recalibrated_too(fit, converted):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.ReLU(),
        Mixes(),
        nn.ReLU(),
        nn.Flatten(),
        Mixed(80, 9, True),
        nn.ReLU(),
        Mixed(9, 4, False),
    )
    x = torch.randn(60, 3, 6, 6)
    hw = mho.Hardware.preset("pcm-cells").replace(
        **{"cell.programming_noise": 0.0, "cell.read_noise": 0.0, "dac.bits": None, "adc.bits": None, "cell.nu": 0.06,
           "cell.nu_std": 0.0, "compensation": "none"}
    )  # fmt: skip
    net = mho.calibrate(mho.to_analog(model, hw, example=x), [x])
    chip = mho.program(net).at("1 year")
    with torch.no_grad():
        drifted = float((chip(x) - model(x)).norm() / model(x).norm())
        RecalibrateAffine([x], net if converted else model, fit=fit)(chip)
        left = float((chip(x) - model(x)).norm() / model(x).norm())
    # `Mixes` has no room for a bias among its parameters, so it is said and left alone.
    (line,) = chip.recalibrations
    assert line.endswith(": 3 layers; left alone: 2 (Mixes)")
    assert drifted > 0.5 and left < 1e-4 and chip[7].bias is not None and net[7].bias is None


@pytest.mark.parametrize("rows", [64, 7])
@pytest.mark.parametrize("dac", ["calibrated", "abs_max"])
def test_an_offset_is_summed_from_codes_without_the_noise_behind_the_dac(rows, dac):
    """The columns see x + n and the digital side takes x away: what stays is n times what the cells hold, 1 + w."""
    torch.manual_seed(0)
    layer, x = nn.Linear(20, 5, bias=False), torch.rand(20)
    x[0] = 1
    hw = mho.Hardware.preset("ideal", encoding={"kind": "offset"}, noise={"input": 0.1}, array={"rows": rows})
    net = mho.to_analog(layer, hw.replace(dac__range=dac))
    if dac == "calibrated":
        mho.calibrate(net, [x[None]])
    reach = torch.ones(20)
    if dac == "abs_max":
        reach = torch.cat([part.max().expand(len(part)) for part in x.split(rows)])
    scale = layer.weight.detach().abs().amax(1, keepdim=True)
    expected = 0.1 * ((layer.weight.detach() + scale) * reach).square().sum(1).sqrt()
    with torch.no_grad():
        for some in (net, mho.program(net).at(0.0)):
            noise = some(x.expand(8000, -1)) - layer(x)
            torch.testing.assert_close(noise.std(0), expected, rtol=0.04, atol=0)


def test_noise_of_inputs_is_refused_where_it_would_do_nothing():
    hw = mho.Hardware.preset("ideal", noise={"input": 0.1}, dac={"bits": 8, "range": "abs_max"})
    with pytest.raises(NotYet, match=r"^0: noise of the inputs"):
        mho.to_analog(nn.Sequential(nn.Conv2d(3, 4, 3)), hw)
    mho.to_analog(nn.Linear(3, 4), hw)


@pytest.mark.parametrize("aged", [False, True])
def test_forward_derivatives_are_those_of_the_way_back(aged):
    torch.manual_seed(0)
    model, x = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval(),
        torch.randn(2, 3, 6, 6),
    )
    net = mho.calibrate(mho.to_analog(model, "pcm-cells"), [x])
    net = mho.program(net).at("1 h") if aged else net.eval()
    forwards = torch.func.jacfwd(lambda z: net(z[None])[0])(x[0])
    assert forwards.abs().sum() > 1
    torch.testing.assert_close(forwards, torch.func.jacrev(lambda z: net(z[None])[0])(x[0]))


def test_an_expert_that_never_runs_has_no_part_in_the_sensitivity():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.last = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.last(torch.relu(self.a(x)))

    torch.manual_seed(0)
    x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
    net = mho.calibrate(mho.to_analog(Experts(), "pcm-cells", example=x), [x])
    found = mho.sensitivity(net, [(x, y)], chips=1)
    assert {layer.path: layer.estimate.quadratic == 0 for layer in found.layers} == {
        "a": False,
        "b": True,
        "last": False,
    }


def test_a_drift_of_inputs_that_are_not_finite_is_refused():
    torch.manual_seed(0)
    x, y = torch.randn(40, 6), torch.randint(0, 3, (40,))
    net = mho.calibrate(mho.to_analog(nn.Sequential(nn.Linear(6, 3)), "pcm-cells"), [x])
    spoiled = x.clone()
    spoiled[3, 2] = torch.nan
    with pytest.raises(BadInput, match="sample 3 holds nan"):
        mho.drift(net, [(spoiled, y)], ["1 h"], chips=2)

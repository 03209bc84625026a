"""A training step through `crossbar.step` against the differentiable reference, and what it keeps for the way back."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
import mho.errors
from mho.crossbar import step
from mho.crossbar.codes import Codes, Single
from mho.nn.source import Injected
from mho.rng import reads

HW = mho.Hardware.of("pcm-cells").replace(array__rows=40, array__cols=64)
CASES = {
    "linear": (lambda: nn.Linear(90, 13), (6, 90)),
    "linear one vector": (lambda: nn.Linear(20, 13), (20,)),
    "linear sequences": (lambda: nn.Linear(20, 13, bias=False), (3, 5, 20)),
    "conv1d": (lambda: nn.Conv1d(17, 6, 3, padding=1), (2, 17, 12)),
    "conv2d": (lambda: nn.Conv2d(10, 21, 3, 2, 1), (3, 10, 9, 8)),
    "conv2d valid": (lambda: nn.Conv2d(3, 4, 3, padding="valid"), (3, 3, 9, 8)),
    "one image": (lambda: nn.Conv2d(10, 21, 3, 2, 1), (10, 9, 8)),
    "cut inside the kernel": (lambda: nn.Conv2d(2, 5, 7, padding=3), (2, 2, 9, 9)),
    "grouped": (lambda: nn.Conv2d(24, 36, 3, padding=2, dilation=2, groups=2), (2, 24, 9, 9)),
    "depthwise": (lambda: nn.Conv2d(20, 20, 3, padding=1, groups=20), (2, 20, 9, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(12, 5, 3, 2, 1, 1), (2, 12, 6, 6)),
    "conv3d": (lambda: nn.Conv3d(4, 5, 3, padding=1), (2, 4, 5, 6, 7)),
}


def _calibrated(model, hw, x, quantile=1.0):
    """No output lies exactly at a converter's range, where rounding would decide whether it is clipped."""
    net = mho.calibrate(mho.to_analog(model, hw), [x], quantile=quantile)
    for module in net.modules():
        if isinstance(module, mho.nn.AnalogMatrix) and module.adc_range is not None:
            module.adc_range *= 1.003
    return net


def _gradients(net, x, g):
    net.zero_grad()
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = net(x)
    y.backward(g)
    return [y, x.grad, *(p.grad for p in net.parameters())]


def _reference(monkeypatch):
    monkeypatch.setattr(step, "suits", lambda *_: False)


@pytest.mark.parametrize("learned", [False, True], ids=["calibrated", "learned"])
@pytest.mark.parametrize("encoding", ["one readout", "two readouts"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_reference(name, encoding, learned, monkeypatch):
    make, shape = CASES[name]
    torch.manual_seed(0)
    hw = HW.replace(dac__range="learned") if learned else HW
    if encoding == "two readouts":
        hw = hw.replace(encoding={"kind": "differential", "subtract": "digital"})
    x = torch.randn(shape)
    net = _calibrated(nn.Sequential(make()), hw, x, 0.9)
    with torch.no_grad():
        g = torch.randn_like(net(x))
    found = _gradients(net, x, g)
    assert "_Product" in str(found[0].grad_fn) or found[0].dim() != x.dim()
    _reference(monkeypatch)
    expected = _gradients(net, x, g)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-5 * max(1.0, float(b.detach().abs().max())))


def test_clipped_outputs_pass_no_gradient(monkeypatch):
    torch.manual_seed(0)
    hw = HW.replace(adc__range="fixed", adc__bound=0.5)
    x = torch.randn(50, 30)
    net = mho.calibrate(mho.to_analog(nn.Sequential(nn.Linear(30, 8)), hw), [x])
    found = _gradients(net, x, torch.ones(50, 8))
    _reference(monkeypatch)
    expected = _gradients(net, x, torch.ones(50, 8))
    with torch.no_grad():
        ideal = net[0].bias + (x.clamp(-net[0].matrix.input_range, net[0].matrix.input_range) @ net[0].weight.T)
    assert bool(((expected[0] - ideal).abs() > 0.05).any()), "nothing was clipped"
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["linear", "conv2d", "cut inside the kernel"])
def test_gradients_of_gradients(name, monkeypatch):
    make, shape = CASES[name]
    torch.manual_seed(0)
    x = torch.randn(shape)
    net = _calibrated(nn.Sequential(make()), HW, x)

    def penalty():
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(net(leaf).square().sum(), leaf, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), [net[0].weight])[0]

    found = penalty()
    _reference(monkeypatch)
    torch.testing.assert_close(found, penalty(), rtol=1e-3, atol=1e-3)


def test_noise_is_drawn_anew_and_has_its_address():
    hw = HW.replace(noise__output=0.1)
    x = torch.randn(4, 10, 9, 9)
    net = mho.calibrate(mho.to_analog(nn.Sequential(nn.Conv2d(10, 8, 3)), hw), [x])
    with reads("a"):
        first = net(x)
    with reads("a"):
        again = net(x)
    assert torch.equal(first, again) and not torch.equal(first, net(x))


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.conv2, self.bn2 = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


def _saved(net, x) -> int:
    """Bytes that a forward pass keeps for the way back, every memory counted once, as it is kept."""
    seen: dict[int, int] = {}

    def add(t):
        seen[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()

    pack = Codes._pack

    def packed(self, t):
        found = pack(self, t)
        add(found.kept.codes if isinstance(found, Single) else found[0])
        return found

    def plain(t):
        add(t)
        return t

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Codes, "_pack", packed)
        with torch.autograd.graph.saved_tensors_hooks(plain, lambda t: t):
            y = net(x)
    todo, nodes = [y.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in nodes:
            continue
        nodes.add(node)
        for kept in getattr(node, "kept", []):
            if kept.mask is not None:
                add(kept.mask)
        todo += [following for following, _ in node.next_functions]
    return sum(seen.values())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_less_is_kept_than_in_the_digital_network(layout):
    x = torch.randn(4, 4, 32, 32).to(memory_format=layout)
    model = _Block()
    net = mho.calibrate(mho.to_analog(model, HW.replace(array__rows=512, noise__output=0.04)), [x])
    model.train(), net.train()
    session = mho.HWA().attach(net, steps=1)
    assert _saved(net, x) < 0.75 * _saved(model, x)
    session.detach()
    assert _saved(net, x) > 0.9 * _saved(model, x), "without a session nothing is kept as codes"


@pytest.mark.parametrize(("steps", "as_codes"), [(254, True), (255, False), (256, False), (253, False), (8, True)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_norms_train_from_codes_as_from_their_inputs(layout, steps, as_codes):
    """Codes are kept where they are whole numbers of a byte, up to ±127."""
    torch.manual_seed(1)
    x = torch.randn(8, 4, 12, 12).to(memory_format=layout)
    hw = HW.replace(array__rows=512, adc={"steps": steps})
    twin = mho.calibrate(mho.to_analog(_Block(), hw), [x]).train()
    assert next(twin.conv1.views()).matrix.scheme(twin.conv1.weight, twin.conv1._operator()).fits_a_byte == as_codes
    net = copy.deepcopy(twin)
    mho.HWA().attach(net, steps=1)
    g = torch.randn(8, 16, 12, 12)
    found, expected = _gradients(net, x, g), _gradients(twin, x, g)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
    for name, buffer in twin.named_buffers():
        assert torch.equal(buffer, net.get_buffer(name))


def test_a_layer_called_by_itself_answers_in_the_layout_of_its_input_during_a_session():
    x = torch.randn(4, 4, 12, 12)
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(512, 3))
    net = mho.calibrate(mho.to_analog(model, HW), [x]).train()
    seen = []
    net[0].register_forward_hook(lambda _layer, _inputs, y: seen.append(y.is_contiguous()))
    session = mho.HWA().attach(net, steps=1)
    net(x)
    net[0](x)
    nn.Sequential(net[0], net[1])(x)
    session.detach()
    net(x)
    assert seen == [False, True, True, True]


def test_a_weight_of_another_shape_has_other_conversions():
    """As pruning leaves it: fewer inputs, fewer outputs."""
    layer = mho.to_analog(nn.Linear(90, 13), mho.Hardware.preset("ideal", array__rows=40))
    x = torch.randn(3, 90)
    layer(x)
    for rows, columns in ((30, 13), (30, 5)):
        layer.weight, layer.bias = nn.Parameter(torch.randn(columns, rows)), None
        torch.testing.assert_close(layer(x[:, :rows]), x[:, :rows] @ layer.weight.T, rtol=1e-4, atol=1e-4)
        operator = next(layer.views()).operator
        scheme = layer.matrix.scheme(layer.weight, operator)
        assert scheme.plan.rows == rows and layer.matrix.scheme(layer.weight, operator) is scheme, "made once"
        assert mho.program(layer).at(0)(x[:, :rows]).shape == (3, columns)


def test_an_output_that_is_written_to_is_not_taken_for_its_codes():
    torch.manual_seed(1)
    net = mho.calibrate(mho.to_analog(nn.Sequential(nn.Linear(20, 8)), HW), [torch.randn(30, 20)]).train()
    mho.HWA().attach(net, steps=1)

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net

        def forward(self, x):
            y = self.inner[0](x)
            y.mul_(3.0)
            return (y * y).sum()

    codes = net[0].matrix.source.codes
    x = torch.randn(30, 20)
    codes.begin()
    loss = Wrapped()(x)
    codes.end()
    loss.backward()
    found = net[0].weight.grad.clone()
    net.zero_grad()
    Wrapped()(x).backward()
    assert torch.equal(found, net[0].weight.grad)
    assert not codes.inside


def _attached(hw=HW):
    torch.manual_seed(1)
    net = mho.calibrate(mho.to_analog(nn.Sequential(nn.Linear(20, 8), nn.Tanh()), hw), [torch.randn(30, 20)]).train()
    return net, mho.HWA().attach(net, steps=4)


def test_autograd_still_notices_what_is_written_over():
    net, _ = _attached()

    class Writes(nn.Module):
        def forward(self, x):
            y = torch.sigmoid(x)
            z = y.square()
            y.mul_(3.0)
            return z

    net.add_module("writes", Writes())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        net(torch.randn(30, 20)).sum().backward()


def test_an_interrupted_pass_leaves_no_hooks():
    net, session = _attached()

    class Interrupted(nn.Module):
        def forward(self, x):
            raise KeyboardInterrupt

    net.add_module("stop", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        net(torch.randn(30, 20))
    session.detach()
    torch.func.grad(lambda x: x.square().sum())(torch.ones(3))  # refused while there are hooks


def test_copies_detaching_and_steps_afterwards():
    net, session = _attached()
    copied = copy.deepcopy(net)
    assert all(not isinstance(m, Injected) for m in copied.modules())
    copied(torch.randn(3, 20)).sum().backward()
    other = mho.HWA().attach(copied, steps=4)
    session.detach()
    session.detach()
    assert any(isinstance(m, Injected) for m in copied.modules())
    with pytest.raises(mho.errors.WrongSetting, match="detached"):
        session.step()
    other.step()


def test_transforms_work_while_a_session_is_attached():
    net, _ = _attached()
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    x = torch.randn(30, 20)
    found = torch.func.grad(lambda p: torch.func.functional_call(net, p, (x,)).sum())(parameters)
    assert set(found) == set(parameters)

"""Layers of a user's that compute in a forward of their own: which of its products the arrays answer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import mho
from mho.errors import NotYet
from mho.nn.layer import held
from mho.nn.matrix import matrices
from mho.nn.source import Exact


class Twice(nn.Linear):
    def forward(self, x):
        return F.linear(torch.relu(F.linear(x, self.weight, self.bias)), self.weight)


class Decodes(nn.Linear):
    """Reads its weight both ways; arrays answer one of them."""

    def forward(self, x):
        return F.linear(torch.relu(F.linear(x, self.weight, self.bias)), self.weight.T)


class FromLeft(nn.Linear):
    def forward(self, x):
        return (self.weight @ x.T).T


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(input=x, weight=weight, bias=self.bias, stride=2, padding=1, dilation=2)


class Normed(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.weight / self.weight.norm()) + self.bias


class NamedWeight(nn.Linear):
    def forward(self, x):
        return F.linear(x, bias=self.bias, weight=2 * self.weight)


class Series(nn.Conv1d):
    def forward(self, x):
        return F.conv1d(x, torch.tanh(self.weight), self.bias, self.stride, self.padding, self.dilation, self.groups)


class Pools(nn.Conv2d):
    """Another convolution on the way, whose weight is not the layer's."""

    def forward(self, x):
        return super().forward(F.conv2d(x, torch.ones(3, 1, 2, 2), groups=3))


class PoolsAndComputes(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(F.conv2d(x, torch.ones(3, 1, 2, 2), groups=3), 2 * self.weight, self.bias)


CASES = {
    "twice": (lambda: Twice(6, 6), (4, 6), 2), "both ways": (lambda: Decodes(6, 4), (4, 6), 1),
    "both ways, square": (lambda: Decodes(6, 6), (4, 6), 1), "from the left": (lambda: FromLeft(6, 5), (4, 6), 1),
    "standardised": (lambda: Standardised(3, 4, 3), (2, 3, 8, 9), 1), "normed": (lambda: Normed(6, 5), (4, 6), 1),
    "named weight": (lambda: NamedWeight(6, 5), (4, 6), 1),
    "series": (lambda: Series(4, 6, 3, 2, 1, 2, 2), (2, 4, 9), 1), "pools": (lambda: Pools(3, 4, 3), (2, 3, 7, 7), 1),
    "pools and computes": (lambda: PoolsAndComputes(3, 4, 3), (2, 3, 7, 7), 1),
}  # fmt: skip


@pytest.mark.parametrize("rows", [512, 8])
@pytest.mark.parametrize("name", CASES)
def test_what_is_read_is_answered_as_torch_does(name, rows):
    make, shape, reads = CASES[name]
    layer, x, calls = make(), torch.randn(shape, requires_grad=True), []
    net = mho.to_analog(layer, mho.Hardware.preset("ideal", array__rows=rows))
    net.matrix.source = Exact()
    assert type(net).__doc__ == type(layer).__doc__ and type(net).__name__ == f"Analog{type(layer).__name__}"
    net.matrix.register_forward_hook(lambda *_: calls.append(1))
    found = []
    for module in (layer, net):
        y = module(x)
        g = torch.linspace(-1, 1, y.numel()).reshape(y.shape)
        wanted = [x, *(p for p in module.parameters())]
        found.append([y, *torch.autograd.grad((y * g).sum(), wanted, allow_unused=True)])
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert len(calls) == reads


@pytest.mark.parametrize("name", CASES)
def test_a_chip_holds_the_weight_that_the_operator_is_given(name):
    make, shape, _ = CASES[name]
    layer, x = make(), torch.randn(shape)
    net = mho.to_analog(layer, mho.Hardware.preset("pcm-cells", dac__bits=None, adc={"bits": None}), example=x)
    with torch.no_grad():
        exact, chip = layer(x), mho.program(net).at("1 h")(x)
        quiet = mho.program(mho.to_analog(layer, "ideal", example=x)).at(0)(x)
    torch.testing.assert_close(quiet, exact, rtol=1e-4, atol=1e-4)
    assert 1e-3 < float((chip - exact).std() / exact.std()) < 0.5


def test_a_forward_that_multiplies_with_nothing_of_its_own_is_refused():
    class Ones(nn.Linear):
        def forward(self, x):
            return x @ torch.ones(6, 5) + self.bias

    net = mho.to_analog(Ones(6, 5), "ideal")
    with pytest.raises(NotYet, match="Ones does not give its own weight") as error:
        net(torch.zeros(2, 6))
    assert error.value.path == ""


class Heads(nn.Module):
    """Parameters read otherwise than they lie in memory."""

    def __init__(self):
        super().__init__()
        self.heads, self.plain = nn.Parameter(torch.randn(2, 4, 3)), nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        return torch.einsum("btd,hdk->bhtk", x @ self.plain, self.heads)


def test_what_a_change_of_a_weight_in_place_is_made_to():
    model = Heads()
    net = mho.to_analog(model, "ideal", example=torch.randn(2, 5, 4))
    assert type(net).__doc__ == Heads.__doc__ and type(net).__name__ == "AnalogHeads"
    views = {view.parameter: view for view in net.views()}
    assert len(views) == len(matrices(net)) == 2
    held(net, views["plain"]).fill_(2.0)
    assert bool((net.plain == 2).all())
    with pytest.raises(NotYet, match="no matrix in memory") as error:
        held(net, views["heads"])
    assert error.value.path == "heads"
    normed = mho.to_analog(Normed(6, 5), "ideal")
    held(normed, next(normed.views())).fill_(2.0)
    assert bool((normed.weight == 2).all())

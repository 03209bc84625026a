"""Looking at a network changes nothing of it: watchers, sources, conversion, fusing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mho.chip import fuse, program
from mho.convert import to_analog
from mho.hardware import Hardware
from mho.nn.matrix import digitally, matrices, watched
from mho.nn.source import Digital, Exact, sources

IDEAL = Hardware.preset("ideal")


class CountingNorm(nn.BatchNorm2d):
    def forward(self, x):
        self.num_batches_tracked.add_(1)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class CountingConv(nn.Conv2d):
    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return F.conv2d(x, self.weight, self.bias)


class Replaces(nn.Module):
    """Puts another tensor in a buffer's place, and keeps what it saw."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("last", torch.zeros(()), persistent=False)
        self.seen = []

    def forward(self, x):
        self.count, self.last = self.count + 1, x.max()
        self.seen.append(x.mean())
        return x


PARTS = {"norm": lambda: CountingNorm(4), "convolution": lambda: CountingConv(4, 4, 1), "buffers": Replaces}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
@pytest.mark.parametrize("example", [None, torch.randn(2, 3, 6, 6)], ids=["no example", "example"])
def test_the_converted_network_starts_with_the_models_state(part, example):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), part(), nn.BatchNorm2d(4))
    net = to_analog(model, IDEAL, example=example)
    assert getattr(net[1], "seen", []) == []
    fuse(program(net).at(0), inplace=True)
    found, given = dict(net.named_buffers()), dict(model.named_buffers())
    assert all(type(found[name]) is torch.Tensor and torch.equal(found[name], value) for name, value in given.items())


def test_watchers_stack_and_change_no_answer():
    net, x = to_analog(nn.Linear(4, 3), IDEAL), torch.randn(2, 4)
    told = []

    def watch(name):
        return lambda matrix, x, weight, operator, y: told.append((name, matrix.path, y.shape))

    expected = net(x)
    with watched(net, watch("outer")):
        with watched(net, watch("inner")), digitally(net):
            assert torch.equal(net(x), expected)
        net(x)
    net(x)
    assert [name for name, *_ in told] == ["outer", "inner", "outer"]


def test_sources_are_put_back_whatever_happens():
    net = to_analog(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), IDEAL)
    before = [matrix.source for matrix in matrices(net)]
    with pytest.raises(ZeroDivisionError), digitally(net), sources(matrices(net)[:1], lambda _: Exact()):
        assert [type(m.source) for m in matrices(net)] == [Exact, Digital]
        _ = 1 / 0
    assert [matrix.source for matrix in matrices(net)] == before


def test_a_compiled_network_that_has_run_is_watched_all_the_same():
    torch.manual_seed(0)
    x, told = torch.randn(8, 4), []
    net = to_analog(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), IDEAL).eval()
    compiled = torch.compile(net, backend="eager")
    with torch.no_grad():
        expected = compiled(x)
        with watched(compiled, lambda matrix, *_: told.append(matrix.path)):
            assert torch.equal(compiled(x), expected)
    assert told == ["0", "2"]

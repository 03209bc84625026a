"""A conversion leaves no trace: neither in the model, nor in the example, nor in torch's generators."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mho.convert import self_test, to_analog
from mho.errors import BadInput, NotYet
from mho.hardware import Hardware

IDEAL = Hardware.preset("ideal")


class CountingNorm(nn.BatchNorm2d):
    """Counts its batches in eval mode, too."""

    def forward(self, x):
        self.num_batches_tracked.add_(1)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class CountingConv(nn.Conv2d):
    def __init__(self, *args):
        super().__init__(*args)
        self.register_buffer("calls", torch.zeros(()))
        self.seen = 0

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        return F.conv2d(x, self.weight, self.bias)


class Statistics(nn.Module):
    """Keeps statistics in a buffer, in a parameter and in an attribute."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.scale, self.calls = nn.Parameter(torch.ones(4)), 0

    def forward(self, x):
        self.mean.mul_(0.9).add_(0.1 * x.mean((0, 2, 3)))
        self.scale.data.clamp_(max=0.5)
        self.calls += 1
        return x * self.scale[:, None, None]


class AlwaysDrops(nn.Module):
    def forward(self, x):
        return F.dropout(x, 0.5)


class OwnTrain(nn.Module):
    """Something of the user's happens when the mode changes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("switched", torch.zeros(()))

    def train(self, mode=True):
        self.switched += 1
        return super().train(mode)

    def forward(self, x):
        return x


class InPlace(nn.Module):
    def forward(self, x):
        return x.mul_(-1)


PARTS = {
    "a norm that counts": lambda: CountingNorm(4),
    "a convolution that counts": lambda: CountingConv(4, 4, 1),
    "statistics": Statistics,
    "random numbers": AlwaysDrops,
    "a train() of its own": OwnTrain,
    "batch norm": lambda: nn.BatchNorm2d(4),
    "spectral norm of a digital layer": lambda: nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1))
    ),
}


def _whole_state(model):
    buffers = {name: (id(b), b.clone()) for name, b in (*model.named_buffers(), *model.named_parameters())}
    modes = [
        (module.training, len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()
    ]
    plain = [{k: repr(v) for k, v in m.__dict__.items() if not k.startswith("_")} for m in model.modules()]
    return buffers, modes, plain


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_the_callers_model_example_and_generator_stay_as_they_were(part, training):
    model = nn.Sequential(InPlace(), nn.Conv2d(3, 4, 3), part(), nn.Flatten(), nn.Linear(4 * 16, 3))
    for module in model.modules():
        module.training = training
    calls = []
    model[1].register_forward_hook(lambda *_: calls.append(1))
    hw = IDEAL.replace(digital=["2"]) if isinstance(model[2], nn.Sequential) else IDEAL
    x = torch.randn(2, 3, 6, 6)
    given, (tensors, modes, plain), draws = x.clone(), _whole_state(model), torch.get_rng_state()
    to_analog(model, hw, example=x)
    after = _whole_state(model)
    assert {name: known for name, (known, _) in tensors.items()} == {
        name: known for name, (known, _) in after[0].items()
    }
    assert all(torch.equal(value, after[0][name][1]) for name, (_, value) in tensors.items())
    assert (modes, plain) == after[1:]
    assert torch.equal(x, given) and torch.equal(draws, torch.get_rng_state())


def test_the_self_test_and_the_count_leave_the_converted_network_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Statistics())
    net, x = to_analog(model, IDEAL), torch.randn(2, 3, 6, 6)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    training = [module.training for module in net.modules()]
    calls = net[1].calls
    self_test(model, net, x)
    net.placement.counted(net, x)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert training == [module.training for module in net.modules()] and net[1].calls == calls


def test_a_model_that_draws_numbers_is_compared_with_the_same_draws():
    x = torch.randn(3, 8)
    to_analog(nn.Sequential(nn.Linear(8, 8), AlwaysDrops()), IDEAL, example=x)
    model = nn.Sequential(nn.Linear(8, 8), AlwaysDrops())
    net = to_analog(model, IDEAL)
    with torch.no_grad():
        net[0].weight.add_(1)
    with pytest.raises(NotYet, match="differs"):
        self_test(model, net, x)


class Answers(nn.Module):
    """Wraps what a layer answers."""

    def __init__(self, wrap):
        super().__init__()
        self.layer, self.wrap = nn.Linear(4, 3), wrap

    def forward(self, x):
        return self.wrap(self.layer(x))


@dataclass
class Output:
    logits: torch.Tensor
    extra: object = None


ANSWERS = {
    "a tensor": lambda y: y,
    "nested": lambda y: {"a": [y, (y + 1,)], "b": None},
    "a data class": lambda y: Output(y, extra="text"),
    "an object": lambda y: SimpleNamespace(logits=y),
    "a flag beside": lambda y: (y > 0, y),
    "a choice beside": lambda y: (y.argmax(-1), y),
    "ruled out": lambda y: torch.cat([y, torch.full_like(y, -torch.inf)]),
    "not a number": lambda y: torch.cat([y, torch.full_like(y, torch.nan)]),
    "double": lambda y: y.double(),
    "complex": lambda y: torch.complex(0 * y, y),
    "huge": lambda y: 1e30 * y,
}


@pytest.mark.parametrize("wrap", ANSWERS.values(), ids=ANSWERS.keys())
def test_every_kind_of_answer_is_compared(wrap):
    model, x = Answers(wrap), torch.randn(5, 4)
    net = to_analog(model, IDEAL, example=x)
    with torch.no_grad():
        net.layer.weight.mul_(1.1)
    with pytest.raises(NotYet, match="differs"):
        self_test(model, net, x)


def test_an_answer_without_tensors_is_said():
    with pytest.raises(NotYet, match="answers with list, in which no tensor"):
        to_analog(Answers(lambda y: y.tolist()), IDEAL, example=torch.randn(5, 4))


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (torch.zeros(2, 2, 5), r"^1: .* float32 \(2, 2, 5\) \(its weights: float32\): RuntimeError: mat1 and mat2 shapes"),
        (torch.zeros(2, 2, 4).double(), r"^0: .*float64 \(2, 2, 4\) \(its weights: float32\).* -> give inputs .*dtype"),
        ((torch.zeros(2, 4), [torch.zeros(3)]), r"^the .*a tuple of float32 \(2, 4\), a list of float32 \(3,\).*TypeError"),
        ({"x": torch.zeros(4), "y": 3}, r"^0: .*a dict of x: float32 \(4,\), y: a int .*TypeError.* tuple, int\) -> give"),
    ],
)  # fmt: skip
def test_an_example_that_does_not_fit_says_what_was_given_and_where_it_failed(example, words):
    with pytest.raises(BadInput, match=words) as caught:
        to_analog(nn.Sequential(nn.Conv1d(2, 2, 1), nn.Linear(4, 3)), IDEAL, example=example)
    assert "\n" not in str(caught.value)

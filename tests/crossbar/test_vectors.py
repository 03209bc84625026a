"""The executors for vectors with ranges of their own against the reference: geometry, sizes, layouts, threads, repetitions,
and the way back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mho
from mho.crossbar import Held, Operator, Scheme, hold, ideal_cells, product, reference, vectors, vectors_step
from mho.crossbar.codes import Codes
from mho.hardware import Hardware
from mho.kernels.cpu_library import library
from mho.training import HWA, Gaussian

pytestmark = pytest.mark.skipif(library() is None, reason="no C++ compiler here: the reference computes it")

CONV = Operator(2, (1, 1), (1, 1), (1, 1))
# The operator, the weight's shape, the input's.
KINDS: dict[str, tuple[Operator, tuple[int, ...], tuple[int, ...]]] = {
    "conv": (CONV, (40, 16, 3, 3), (3, 16, 9, 13)),
    "few channels": (CONV, (7, 3, 3, 3), (2, 3, 11, 8)),
    "strides": (Operator(2, (2, 3), (1, 0), (1, 1)), (33, 20, 3, 2), (3, 20, 12, 13)),
    "dilated": (Operator(2, (1, 2), (3, 2), (3, 2)), (18, 5, 3, 3), (2, 5, 10, 11)),
    "wider than the image": (Operator(2, (1, 1), (4, 4), (2, 2)), (6, 5, 5, 5), (2, 5, 3, 2)),
    "a kernel of even size": (Operator(2, (1, 1), (1, 0), (1, 1)), (6, 17, 2, 4), (2, 17, 6, 7)),
    "pointwise": (Operator(2, (1, 1), (0, 0), (1, 1)), (50, 70, 1, 1), (2, 70, 7, 9)),
    "pointwise, strides": (Operator(2, (2, 2), (0, 0), (1, 1)), (50, 24, 1, 1), (2, 24, 7, 9)),
    "valid": (Operator(2, (1, 1), "valid", (1, 1)), (6, 5, 3, 3), (2, 5, 6, 7)),
    "grouped": (Operator(2, (1, 1), (1, 1), (1, 1), 4), (24, 5, 3, 3), (2, 20, 8, 9)),
    "grouped, wide": (Operator(2, (2, 1), (1, 1), (1, 1), 2), (80, 17, 3, 3), (2, 34, 8, 9)),
    "depthwise": (Operator(2, (1, 1), (1, 1), (1, 1), 37), (37, 1, 3, 3), (3, 37, 8, 9)),
    "depthwise, strides": (Operator(2, (2, 2), (2, 2), (2, 1), 16), (16, 1, 5, 3), (2, 16, 8, 9)),
    "depthwise, two a group": (Operator(2, (1, 1), (1, 1), (1, 1), 6), (12, 1, 3, 3), (2, 6, 5, 5)),
    "signals": (Operator(1, (1,), (2,), (1,)), (20, 17, 5), (3, 17, 31)),
    "signals, grouped": (Operator(1, (2,), (3,), (2,), 2), (12, 9, 4), (2, 18, 40)),
    "signals, depthwise": (Operator(1, (1,), "valid", (1,), 18), (18, 1, 7), (2, 18, 33)),
    "linear": (Operator(), (70, 90), (250, 90)),
    "linear, sequences": (Operator(), (17, 40), (3, 5, 40)),
}
CONVERTERS: dict[str, dict[str, Any]] = {
    "plain": {"dac": {"bits": 7, "range": "abs_max"}, "adc": {"bits": 9, "range": "fixed", "bound": 6.0}},
    "half a code": {"dac": {"steps": 13, "range": "abs_max"}, "adc": {"bits": None}},
    "repeated": {
        "dac": {"bits": 7, "range": "abs_max"},
        "adc": {"bits": 9, "range": "fixed", "bound": 1.0, "on_clip": "halve_input", "max_halvings": 3},
    },
    "repeated, one range": {
        "dac": {"bits": 7}, "adc": {"bits": 9, "range": "fixed", "bound": 1.0, "on_clip": "halve_input", "max_halvings": 2},
    },
    "repeated, not converted": {
        "dac": {"bits": 7, "range": "abs_max"},
        "adc": {"bits": None, "range": "fixed", "bound": 1.0, "on_clip": "halve_input", "max_halvings": 2},
    },
}  # fmt: skip
REACH = 1.5
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
Case = tuple[Held, Operator, Tensor, Tensor, Tensor, Tensor]


def case(kind: str, layout: str = "contiguous", dtype: torch.dtype = torch.float32, **settings: Any) -> Case:
    operator, shape, size = KINDS[kind]
    draw = torch.Generator().manual_seed(len(kind))
    scheme = Scheme.of(operator, shape, Hardware.preset("ideal", **settings))
    matrix = operator.to_matrix(torch.rand(shape, generator=draw, dtype=torch.float64) - 0.5)
    held = hold(ideal_cells(matrix.to(dtype), scheme), operator, scheme)
    x = torch.randn(size, generator=draw, dtype=torch.float64).to(dtype)
    x = x.contiguous(memory_format=LAYOUTS[layout]) if x.dim() == 4 else x
    ranges = torch.ones(len(scheme.readouts.columns), len(scheme.blocks), dtype=dtype)
    bias = torch.randn(shape[0], generator=draw, dtype=torch.float64).to(dtype)
    return held, operator, x, torch.tensor(REACH, dtype=dtype), ranges, bias


def layouts(kind: str) -> tuple[str, ...]:
    """Of its inputs."""
    return tuple(LAYOUTS) if len(KINDS[kind][2]) == 4 else ("contiguous",)


def alike(found: Tensor, expected: Tensor, *, share: float = 0.004) -> None:
    """Equal but for the order of sums; a few outputs that lie half way between two codes may fall to either side."""
    differing = (found - expected).abs() > 2e-5 * expected.abs().max()
    assert float(differing.float().mean()) <= share
    assert float((found - expected).abs().max()) < 0.2 * float(expected.abs().max())


@pytest.mark.parametrize("rows", [512, 40])
@pytest.mark.parametrize("converters", CONVERTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_geometry_in_every_layout_is_the_reference(kind, converters, rows):
    for layout in layouts(kind):
        arguments = case(kind, layout, array__rows=rows, **CONVERTERS[converters])
        held, operator, x = arguments[:3]
        expected = reference.compute(*arguments)
        assert vectors.suits(held, operator, x)
        with torch.no_grad():
            found = product(*arguments)
        alike(found, expected)
        if "repeated" in converters:  # something was
            once = held._replace(scheme=Scheme.of(operator, held.scheme.shape, _once(held.scheme.hw)))
            assert not torch.allclose(reference.compute(once, *arguments[1:]), expected, atol=1e-3)
        if operator.dims:
            plain = operator(x, torch.zeros(held.scheme.shape))
            assert found.stride() == plain.stride() or layout == "channels_last"


def _once(hw: Hardware) -> Hardware:
    return hw.replace(adc={**hw.adc.model_dump(), "on_clip": "clip"})


@pytest.mark.parametrize("kind", ["conv", "grouped, wide", "depthwise", "linear"])
@pytest.mark.parametrize("converters", ["plain", "repeated"])
def test_the_number_of_threads_changes_nothing(kind, converters):
    arguments = case(kind, array__rows=100, **CONVERTERS[converters])
    try:
        found = []
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            with torch.no_grad():
                found.append(product(*arguments))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("kind", ["conv", "depthwise", "grouped", "linear"])
def test_noise_and_repetitions_have_the_references_distribution(kind):
    """Means and variances of outputs over draws; noise decides with who clips, so some vectors are repeated in some draws."""
    settings = {**CONVERTERS["repeated"], "noise": {"output": 0.05}, "array__rows": 60}
    held, operator, x, *ranges = case(kind, **settings)
    many = x[:1].expand(400, *x.shape[1:]).contiguous()
    with torch.no_grad():
        ours, theirs = (execute(held, operator, many, *ranges) for execute in (product, reference.compute))
    spread = (ours.var(0) + theirs.var(0)).sqrt()
    z = (ours.mean(0) - theirs.mean(0)) / (spread / 20).clamp(min=1e-3 * float(spread.max()))
    assert bool((spread > 0).any()) and float(z.abs().max()) < 6
    assert float(ours.var(0).sum() / theirs.var(0).sum()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "extra", [{"noise": {"weight": 0.05}}, {"ir_drop": {"scale": 1.0, "conductance_ratio": 100.0}}]
)
@pytest.mark.parametrize("converters", ["plain", "repeated"])
def test_noise_of_weights_and_ir_drop_of_patches(extra, converters):
    held, operator, x, *ranges = case("grouped", **CONVERTERS[converters], **extra)
    assert vectors.suits(held, operator, x)
    many = x[:1].expand(300, *x.shape[1:]).contiguous()
    with torch.no_grad():
        ours, theirs = (execute(held, operator, many, *ranges) for execute in (product, reference.compute))
    if "ir_drop" in extra:
        alike(ours, theirs)
        return
    assert float(ours.var(0).sum() / theirs.var(0).sum()) == pytest.approx(1, abs=0.1)
    assert float((ours.mean(0) - theirs.mean(0)).abs().max()) < 6 * float((ours.var(0) / 150).sqrt().max())


def test_what_it_cannot_is_left_to_others():
    """Doubles, one vector, what is differentiated, noise behind the DAC."""
    held, operator, x, *ranges = case("linear", **CONVERTERS["repeated"])
    assert vectors.suits(held, operator, x) and not vectors.suits(held, operator, x[0])
    assert not vectors.suits(held, operator, x.double()) and not vectors.suits(held, operator, x[:0])
    assert not vectors.suits(held, operator, x.clone().requires_grad_())
    with torch.no_grad():
        for other in (x[0], x[:0]):
            alike(
                product(held, operator, other, *ranges), reference.compute(held, operator, other, *ranges), share=0.1
            ) if other.numel() else product(held, operator, other, *ranges)
    noisy = case("linear", **CONVERTERS["plain"], noise={"input": 0.1})
    assert not vectors.suits(*noisy[:3])


@pytest.mark.parametrize("kind", ["conv", "depthwise", "linear"])
@pytest.mark.parametrize("converters", ["plain", "repeated"])
def test_without_a_compiler_plain_torch_answers_the_same(kind, converters, monkeypatch):
    held, operator, x, *ranges = case(kind, array__rows=100, **CONVERTERS[converters])
    with torch.no_grad():
        fast = product(held, operator, x, *ranges)
        monkeypatch.setattr(mho.kernels.cpu, "library", lambda: None)
        assert not vectors.suits(held, operator, x)
        alike(fast, product(held, operator, x, *ranges))


@pytest.mark.parametrize("kind", ["conv", "signals", "linear"])
def test_half_precision_knows_vectors_of_zeros_and_of_small_numbers(kind):
    """The smallest range is 0 in half precision, and codes per unit of a small one are more than it holds."""
    held, operator, x, *others = case(kind, dtype=torch.float64, **CONVERTERS["plain"])
    x = x * 1e-3
    x[0] = 0
    expected = reference.compute(held, operator, x, *others)
    operands = tuple(o._replace(weight=o.weight.half(), gain=o.gain.half()) for o in held.operands)
    half = (held._replace(operands=operands), operator, *(t.half() for t in (x, *others)))
    with torch.no_grad():
        found = product(*half)
    assert found.dtype == torch.float16
    assert float((found.double() - expected).norm() / expected.norm()) < 0.01


def test_slices_of_tensors_are_not_written_to():
    held, operator, x, *ranges = case("conv", "channels_last", **CONVERTERS["repeated"])
    wide = torch.randn(3, 20, 9, 13).contiguous(memory_format=torch.channels_last)
    wide[:, 2:18] = x
    before = wide.clone()
    with torch.no_grad():
        assert torch.equal(product(held, operator, wide[:, 2:18], *ranges), product(held, operator, x, *ranges))
    assert torch.equal(wide, before)


def test_what_is_not_a_number_stays_in_its_patches():
    held, operator, x, *ranges = case("conv", **CONVERTERS["plain"])
    x[1, 3, 4, 5], x[2, 0, 0, 0] = float("nan"), float("inf")
    with torch.no_grad():
        assert torch.equal(
            product(held, operator, x, *ranges).isnan(), reference.compute(held, operator, x, *ranges).isnan()
        )


# Training

SETTINGS: dict[str, Any] = {
    "dac": {"bits": 5, "range": "abs_max"}, "adc": {"bits": 6, "range": "fixed", "bound": 3.0},
}  # fmt: skip


def leaves(given: Case, dtype: torch.dtype) -> tuple[Case, list[Tensor]]:
    """The case in that precision, and what is differentiated: input, bias, weights."""
    held, operator, x, reach, ranges, bias = given
    found = [
        t.detach().to(dtype).clone(memory_format=torch.preserve_format).requires_grad_()
        for t in (x, bias, *(o.weight for o in held.operands))
    ]
    operands = tuple(o._replace(weight=w, gain=o.gain.to(dtype)) for o, w in zip(held.operands, found[2:], strict=True))
    return (held._replace(operands=operands), operator, found[0], reach.to(dtype), ranges.to(dtype), found[1]), found


def gradients(execute: Any, given: Case, dtype: torch.dtype) -> list[Tensor]:
    """The outputs, and the gradients of a random sum of them."""
    given, of = leaves(given, dtype)
    y = execute(*given)
    g = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return [y.detach(), *torch.autograd.grad((y * g.to(dtype)).sum(), of)]


def fast(held: Any, operator: Operator, x: Tensor, reach: Tensor, ranges: Tensor, bias: Tensor) -> Tensor:
    assert vectors_step.suits(held, operator, x, ranges, bias)
    return product(held, operator, x, reach, ranges, bias)


def agree(ours: list[Tensor], theirs: list[Tensor]) -> None:
    """Equal but for the order of sums, and for outputs that lie half way between two codes."""
    flips = float((ours[0] - theirs[0]).abs().gt(1e-4 * theirs[0].abs().max()).double().mean())
    assert flips < 0.005
    for a, b in zip(ours, theirs, strict=True):
        limit = (1e-5 if flips == 0 else 0.05) * float(b.abs().max())
        assert float((a - b).abs().max()) < limit and bool(b.any())


REPEATED = {"bits": 6, "range": "fixed", "bound": 0.8, "on_clip": "halve_input", "max_halvings": 2}


@pytest.mark.parametrize("adc", [SETTINGS["adc"], REPEATED], ids=["once", "repeated"])
@pytest.mark.parametrize("rows", [512, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_references(kind, rows, adc):
    for layout in layouts(kind):
        # The largest input has code 16, half of it 8: no code lies half way between two.
        given = case(kind, layout, array__rows=rows, dac={"steps": 32, "range": "abs_max"}, adc=adc)
        found = gradients(fast, given, torch.float32)
        agree(found, gradients(reference.compute, given, torch.float64))
        x = given[2]
        assert found[1].stride() == x.stride() or layout == "channels_last"


@pytest.mark.parametrize("kind", ["conv", "strides", "grouped", "depthwise", "linear"])
@pytest.mark.parametrize("steps", [31, 8])
def test_zeros_and_equal_inputs_share_the_gradient_of_the_range_as_the_reference_says(kind, steps):
    """Powers of two are converted without an error of the last bit, so that the same inputs lie inside."""
    held, operator, x, *others = case(
        kind, array__rows=100, **{**SETTINGS, "dac": {"steps": steps, "range": "abs_max"}}
    )
    x = torch.exp2(x.mul(1.5).round().clamp(-1, 1)) * x.sign() * (x.abs() > 1)
    x[0] = 0
    given = (held, operator, x, *others)
    ours, theirs = (gradients(f, given, d) for f, d in ((fast, torch.float32), (reference.compute, torch.float64)))
    agree(ours, theirs)


@pytest.mark.parametrize("kind", ["conv", "grouped, wide", "depthwise", "linear"])
def test_the_number_of_threads_changes_no_gradient(kind):
    given, found = case(kind, array__rows=100, **SETTINGS), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(gradients(fast, given, torch.float32))
    finally:
        torch.set_num_threads(1)
    for other in found[1:]:
        for i, (a, b) in enumerate(zip(found[0], other, strict=True)):
            same = torch.equal if i != 1 else torch.allclose  # of the input: torch's own way back
            assert same(a, b)


def test_many_positions_are_summed_in_segments():
    """More than a segment's worth, against the whole in double precision."""
    held, operator, _, reach, ranges, bias = case("conv", **SETTINGS)
    x = torch.randn(9, 16, 31, 33, generator=torch.Generator().manual_seed(0))
    given = (held, operator, x, reach, ranges, bias)
    agree(gradients(fast, given, torch.float32), gradients(reference.compute, given, torch.float64))


def learns_as_the_reference(net, x, monkeypatch):
    found = []
    for execute in (product, reference.compute):
        monkeypatch.setattr(mho.nn.matrix, "product", execute)
        found.append(torch.autograd.grad(net(x).square().sum(), list(net.parameters())))
    for ours, theirs in zip(*found, strict=True):
        assert float((ours - theirs).abs().max()) < 0.02 * float(theirs.abs().max())


def test_layers_do_not_share_what_they_keep(monkeypatch):
    """Ranges and masks of the first of two layers are needed when the second has run."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, 8, 3, padding=1))
    net, x = mho.to_analog(model, mho.Hardware.preset("ideal", **SETTINGS)), torch.randn(2, 8, 9, 9)
    learns_as_the_reference(net, x, monkeypatch)


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_gradients_can_be_differentiated_again(kind):
    found = []
    for execute in (fast, reference.compute):
        given, of = leaves(case(kind, **SETTINGS), torch.float32)
        slopes = torch.autograd.grad(execute(*given).square().sum(), of, create_graph=True)
        found.append(torch.autograd.grad(sum(s.square().sum() for s in slopes), of))
    for a, b in zip(*found, strict=True):
        assert float((a - b).abs().max()) < 0.02 * float(b.abs().max())


def test_what_needs_no_gradient_gets_none():
    held, operator, x, _, ranges, bias = case("conv", **SETTINGS)
    weight = held.operands[0].weight.detach().requires_grad_()
    held = held._replace(operands=(held.operands[0]._replace(weight=weight),))
    y = vectors_step.forward(held, operator, x, ranges, None)
    y.sum().backward()
    assert weight.grad is not None and x.grad is None
    only_x = x.clone().requires_grad_()
    plain = held._replace(operands=(held.operands[0]._replace(weight=weight.detach()),))
    vectors_step.forward(plain, operator, only_x, ranges, bias).sum().backward()
    assert only_x.grad is not None and bool(only_x.grad.any())


@pytest.mark.parametrize("more", [{}, {"noise": {"weight": 0.02}}, {"ir_drop": {"scale": 1.0}}])
def test_a_network_learns(more):
    """Noise of products and IR drop, too, which training passes as constants."""
    torch.manual_seed(0)
    hw = mho.Hardware.preset("ideal", **SETTINGS, **({"noise": {"output": 0.02}} | more))
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    net, x = mho.to_analog(model, hw), torch.randn(64, 3, 6, 6)
    y = torch.randint(0, 4, (64,))
    optimizer, losses = torch.optim.Adam(net.parameters(), 1e-2), []
    session = mho.HWA().attach(net, steps=60)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        session.step()
        losses.append(float(loss.detach()))
    session.detach()
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("make", [
    lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(inplace=True), nn.Conv2d(6, 5, 3)),
    lambda: nn.Sequential(nn.Flatten(), nn.Linear(4 * 49, 6), nn.ReLU(inplace=True), nn.Linear(6, 3)),
    lambda: _Adds(),  # noqa: PLW0108 (defined below)
], ids=["conv", "linear", "add"])  # fmt: skip
def test_what_comes_behind_may_write_into_the_answer(make, monkeypatch):
    torch.manual_seed(0)
    net, x = mho.to_analog(make(), mho.Hardware.preset("ideal", **SETTINGS)), torch.randn(3, 4, 7, 7)
    learns_as_the_reference(net, x, monkeypatch)


class _Adds(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        y = self.first(x)
        y += x
        return self.second(y)


@pytest.mark.parametrize("training", [False, True])
def test_axes_of_length_one_with_odd_strides(training):
    images = torch.randn(1, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    net = mho.to_analog(nn.Sequential(nn.Conv2d(8, 5, 1)), mho.Hardware.preset("ideal", **SETTINGS))
    with torch.set_grad_enabled(training):
        for x in (images[:, :, :1, :1], images[:, :, ::6, ::6], images[:, :, :1]):
            torch.testing.assert_close(net(x), net(x.contiguous()), rtol=0, atol=1e-5)


@pytest.mark.skipif(library() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("planar", [False, True])
def test_norms_behind_read_the_codes_and_find_the_answer_as_it_was(planar, monkeypatch):
    def gradients():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, bias=True), torch.nn.BatchNorm2d(8))
        net = mho.to_analog(
            model, mho.Hardware.of("pcm").replace(dac__range="abs_max", adc__range="fixed", adc__bound=4.0)
        )
        HWA(weights=Gaussian(sigma=0.05)).attach(net.train(), steps=1)
        x = torch.randn(4, 3, 9, 9)
        x = x if planar else x.contiguous(memory_format=torch.channels_last)
        net(x.requires_grad_()).pow(3).sum().backward()
        return [p.grad for p in net.parameters()] + [x.grad]

    noted = []
    note = Codes.note
    monkeypatch.setattr(Codes, "note", lambda self, y, single: (noted.append(single), note(self, y, single)))
    with_codes = gradients()
    assert noted and noted[0].each is not None and noted[0].kept.codes.dtype == torch.int8
    monkeypatch.setattr(Codes, "note", lambda self, y, single: None)
    for found, expected in zip(with_codes, gradients(), strict=True):
        assert torch.equal(found, expected)

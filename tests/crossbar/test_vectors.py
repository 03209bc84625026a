"""The executor for vectors with ranges of their own against the reference: geometry, sizes, layouts, threads, repetitions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from mho.crossbar import Held, Operator, Scheme, hold, ideal_cells, product, reference, vectors
from mho.hardware import Hardware
from mho.kernels.cpu_library import library

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


def alike(found: Tensor, expected: Tensor, *, share: float = 0.004) -> None:
    """Equal but for the order of sums; a few outputs that lie half way between two codes may fall to either side."""
    differing = (found - expected).abs() > 2e-5 * expected.abs().max()
    assert float(differing.float().mean()) <= share
    assert float((found - expected).abs().max()) < 0.2 * float(expected.abs().max())


@pytest.mark.parametrize("rows", [512, 40])
@pytest.mark.parametrize("converters", CONVERTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_geometry_in_every_layout_is_the_reference(kind, converters, rows):
    for layout in LAYOUTS if len(KINDS[kind][2]) == 4 else ("contiguous",):
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


@pytest.mark.parametrize("extra", [{"noise": {"weight": 0.05}}, {"ir_drop": {"scale": 1.0, "conductance_ratio": 100.0}}])
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
            alike(product(held, operator, other, *ranges), reference.compute(held, operator, other, *ranges), share=0.1) \
                if other.numel() else product(held, operator, other, *ranges)
    noisy = case("linear", **CONVERTERS["plain"], noise={"input": 0.1})
    assert not vectors.suits(*noisy[:3])


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
        assert torch.equal(product(held, operator, x, *ranges).isnan(), reference.compute(held, operator, x, *ranges).isnan())

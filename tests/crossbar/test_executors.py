"""The fused executor against the reference: any three settings of a product meet in at least one row of a table.

Without noise they are equal, in double precision but for the order of sums, in single precision but for outputs that lie
half way between two codes; with noise their draws have the same mean, variance and covariance of columns.
"""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from mho.chip.arrays import program_matrix
from mho.crossbar import Held, Operator, Scheme, columns, fused, hold, ideal_cells, product, reference, step
from mho.crossbar.scaling import scaled
from mho.hardware import Hardware
from mho.rng import Stream

FACTORS: dict[str, dict[str, Any]] = {
    "encoding": {
        "one-sided": {"kind": "differential"},
        "one-sided, digital": {"kind": "differential", "subtract": "digital"},
        "two-sided": {"kind": "differential", "sides": "two", "pairs": 2},
        "two-sided, digital": {"kind": "differential", "sides": "two", "subtract": "digital"},
        "offset, digital": {"kind": "offset"},
        "offset, column": {"kind": "offset", "reference": "column"},
    },
    "dac": {
        "calibrated": {"bits": 6},
        "abs_max": {"bits": 6, "range": "abs_max"},
        "none": {"bits": None},
        "none, abs_max": {"bits": None, "range": "abs_max"},
    },
    "adc": {
        "none": {"bits": None},
        "fixed": {"bits": 9, "range": "fixed", "bound": 4.0},
        "calibrated": {"steps": 253},
        "repeats": {"bits": 7, "range": "fixed", "bound": 0.9, "on_clip": "halve_input", "max_halvings": 2},
    },
    "variation": {
        "none": [],
        "programmed": [{"sigma": 0.1, "relative_to": "gmax"}],
        "cells, per product": [{"sigma": 0.1, "relative_to": "ideal", "redraw": "mvm"}],
        "weights, per product": [{"sigma": 0.1, "relative_to": "weight_max", "redraw": "mvm"}],
    },
    "noise": {"none": {}, "output": {"output": 0.05}, "weight": {"weight": 0.05}, "input": {"input": 0.05}},
    "ir_drop": {"none": {}, "large": {"scale": 1.0, "conductance_ratio": 100.0}},
    "kind": {
        "linear": (Operator(), (5, 12), (12,)),
        "linear, sequences": (Operator(), (5, 12), (3, 12)),
        "conv": (Operator(2, (1, 2), (1, 0), (1, 1)), (5, 4, 2, 3), (4, 4, 5)),
        "dilated": (Operator(1, (1,), (2,), (2,)), (4, 6, 3), (6, 7)),
        "grouped": (Operator(2, (1, 1), (1, 1), (1, 1), 2), (4, 3, 3, 2), (6, 4, 4)),
        "depthwise": (Operator(2, (2, 2), (1, 1), (1, 1), 4), (4, 1, 3, 3), (4, 5, 5)),
        "transposed": (Operator(2, (2, 2), (1, 1), (1, 1), 1, True, (1, 1)), (4, 3, 3, 3), (4, 3, 3)),
    },
    "rows": {"one block": 512, "several": 18, "inside the kernel": 4},
    "layout": {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last},
}  # fmt: skip
Row = dict[str, str]
ONLY_BY_REFERENCE = {
    "a converter is unipolar": {"bits": 6, "unipolar": True},
}
REACH = 0.8  # of normal inputs: some are clipped
DRAWS = 700


def impossible(row: Row) -> bool:
    """What the library refuses, and settings that mean nothing for a kind of layer."""
    if "kind" not in row:
        return all(impossible({**row, "kind": kind}) for kind in FACTORS["kind"])
    own_ranges, kind = "abs_max" in row.get("dac", ""), row["kind"]
    if own_ranges and (kind == "transposed" or (row.get("noise") == "input" and kind not in LINEAR)):
        return True
    if row.get("layout") == "channels_last" and kind in ("dilated", *LINEAR):
        return True
    return row.get("rows") == "inside the kernel" and kind == "dilated"


LINEAR = ("linear", "linear, sequences")


def meetings() -> set[frozenset[tuple[str, str]]]:
    """Every three settings of different factors that can meet."""
    found = set()
    for names in itertools.combinations(FACTORS, 3):
        for values in itertools.product(*(FACTORS[name] for name in names)):
            row = dict(zip(names, values, strict=True))
            if not impossible(row):
                found.add(frozenset(row.items()))
    return found


def table() -> list[Row]:
    """Rows in which every three settings meet: each takes, one factor after the other, the setting that adds most."""
    wanted, rows = meetings(), []
    while wanted:
        row: Row = dict(sorted(min(map(sorted, wanted))))
        for name in [n for n in FACTORS if n not in row]:
            pairs = list(itertools.combinations(row.items(), 2))
            possible = [v for v in FACTORS[name] if not impossible({**row, name: v})]
            added = [sum(frozenset({(name, v), *pair}) in wanted for pair in pairs) for v in possible]
            row[name] = possible[added.index(max(added))]
        rows.append(row)
        wanted -= {frozenset(three) for three in itertools.combinations(row.items(), 3)}
    return rows


TABLE = table()


def title(row: Row) -> str:
    return "; ".join(value for value in row.values() if value not in ("none", "contiguous"))


def hardware(row: Row) -> Hardware:
    parts = {name: FACTORS[name][row[name]] for name in ("encoding", "dac", "adc", "noise", "ir_drop")}
    cell = {"kind": "ideal", "g_min_us": 2.0}
    return Hardware(
        name="table", cell=cell, array={"rows": FACTORS["rows"][row["rows"]]}, compensation={"kind": "none"},
        variations=FACTORS["variation"][row["variation"]], **parts,
    )  # fmt: skip


def case(row: Row, dtype: torch.dtype) -> tuple[Held, Operator, Tensor, Tensor, Tensor, Tensor]:
    """What is multiplied, the operator, inputs, ranges and bias."""
    operator, shape, size = FACTORS["kind"][row["kind"]]
    draw = torch.Generator().manual_seed(3)
    weight = (torch.rand(shape, generator=draw, dtype=torch.float64) - 0.5).to(dtype)
    scheme = Scheme.of(operator, shape, hardware(row))
    if row["variation"] == "programmed":
        unit, scale = scaled(operator.to_matrix(weight), scheme)
        cells = program_matrix(unit, scale, scheme, Stream(("chip", 0))).cells(0.0)
    else:
        cells = ideal_cells(operator.to_matrix(weight), scheme)
    x = torch.randn(3, *size, generator=draw, dtype=torch.float64).to(dtype)
    if row["layout"] == "channels_last":
        x = x.to(memory_format=torch.channels_last)
    bias = torch.randn(scheme.plan.groups * scheme.plan.columns, generator=draw)
    held, reach = hold(cells, operator, scheme), torch.tensor(REACH)
    adc_range = torch.zeros(len(scheme.readouts.columns), len(scheme.blocks))
    torch.manual_seed(3)  # inputs may be noisy
    for column in columns(held, operator, x, reach):
        if column.conversion.readout >= 0:  # some outputs are clipped
            at = column.conversion.readout, column.conversion.block
            adc_range[at] = 0.8 * column.clean.abs().max()
    return held, operator, x, reach, adc_range, bias.to(dtype)


def one_code(held: Held, adc_range: Tensor, reach: float) -> float:
    """The largest step of the output, one code of each converter."""
    total = 0.0
    for c in held.scheme.conversions:
        if c.half_steps is not None:
            bound = float(c.range(adc_range, torch.float64))
            total += float(held.operands[c.operand].gain.abs().max()) * reach * bound / c.half_steps
    return total


def quiet(row: Row) -> Row:
    """The same without anything that is drawn for a product."""
    kept = row["variation"] if row["variation"] == "programmed" else "none"
    return {**row, "noise": "none", "variation": kept}


def test_the_table_is_complete_and_small():
    met = {frozenset(three) for row in TABLE for three in itertools.combinations(row.items(), 3)}
    assert met == meetings() and not any(impossible(row) for row in TABLE)


@pytest.mark.parametrize("row", TABLE, ids=title)
def test_without_noise_they_are_equal(row, monkeypatch):
    row = quiet(row)
    for dtype, digits in ((torch.float64, 1e-12), (torch.float32, 3e-5)):
        held, operator, x, reach, adc_range, bias = case(row, dtype)
        arguments = (held, operator, x, reach, adc_range, bias)
        expected = reference.compute(*arguments)
        assert not held.scheme.only_by_reference
        with torch.no_grad():
            found = product(*arguments)
            with monkeypatch.context() as few:
                few.setattr(fused, "_CACHED", 1)  # one image at a time
                assert product(*arguments).allclose(found, rtol=digits, atol=digits * float(found.abs().max()))
        assert found.dtype == dtype and found.shape == expected.shape and bool(expected.any())
        off, size = (found - expected).abs(), float(expected.abs().max())
        differing = off > digits * size
        if dtype == torch.float64:
            assert not bool(differing.any())
        else:  # a rounding of one code where an output lies half way between two
            largest = REACH if held.scheme.needs_input_range else float(x.abs().max())
            assert float(differing.float().mean()) < 0.02
            assert float(off.max()) <= 1.01 * one_code(held, adc_range, largest) + digits * size


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_what_is_not_a_number_stays_so_where_torch_has_it(dtype):
    for row in TABLE:
        held, operator, x, reach, adc_range, bias = case(row, dtype)
        x = x.clone(memory_format=torch.preserve_format)
        x[1][(0,) * (x.dim() - 1)] = float("nan")
        expected = operator(x, torch.ones(held.scheme.shape, dtype=dtype)).isnan()
        assert bool(expected.any()) and not bool(expected[0].any())
        for execute in (reference.compute, product):
            with torch.no_grad():
                assert torch.equal(execute(held, operator, x, reach, adc_range, bias).isnan(), expected), title(row)


def drawn(execute: Any, row: Row, seed: int) -> Tensor:
    """Outputs of the same inputs over and over, (draws, outputs)."""
    held, operator, x, reach, adc_range, bias = case(row, torch.float32)
    layout = torch.channels_last if row["layout"] == "channels_last" else torch.contiguous_format
    many = x[:1].expand(DRAWS, *x.shape[1:]).clone(memory_format=layout)
    torch.manual_seed(seed)
    with torch.no_grad():
        return execute(held, operator, many, reach, adc_range, bias).flatten(1).double()


@cache
def noisy_rows() -> list[Row]:
    return [row for row in TABLE if quiet(row) != row]


@pytest.mark.parametrize("row", noisy_rows(), ids=title)
def test_noise_has_the_same_mean_variance_and_covariance(row):
    ours, theirs = drawn(product, row, 1), drawn(reference.compute, row, 2)
    spread = (ours.var(0) + theirs.var(0)).sqrt()
    assert bool((spread > 0).any())
    z = (ours.mean(0) - theirs.mean(0)) / (spread / math.sqrt(DRAWS)).clamp(min=1e-6 * float(spread.max()))
    assert float(z.abs().max()) < 6
    # Of the variances, of that of the sum of all outputs (what columns share), and of that of alternating ones.
    signs = torch.ones(ours.shape[1], dtype=ours.dtype)
    signs[::2] = -1
    several = math.sqrt(2 / DRAWS) * math.sqrt(2)
    assert float(ours.var(0).sum() / theirs.var(0).sum()) == pytest.approx(1, abs=4.5 * several)
    for a, b in ((ours.sum(1), theirs.sum(1)), (ours @ signs, theirs @ signs)):
        assert float(a.var() / b.var()) == pytest.approx(1, abs=4.5 * several)
    assert len(torch.unique(ours, dim=0)) > DRAWS / 4  # no two products are alike


@pytest.mark.parametrize("execute", [fused.forward, reference.compute])
def test_a_variance_that_rounding_makes_negative_is_none(execute):
    """Fast algorithms for convolutions give -1e-9 where the sum of squares is 0."""
    row = {name: next(iter(values)) for name, values in FACTORS.items()}
    row |= {"noise": "weight", "kind": "conv", "adc": "none"}
    held, operator, x, reach, adc_range, bias = case(row, torch.float32)
    quiet = held._replace(operands=tuple(o._replace(variance=None) for o in held.operands))
    held = held._replace(operands=tuple(o._replace(variance=torch.full_like(o.weight, -1e-9)) for o in held.operands))
    with torch.no_grad():
        found = execute(held, operator, x, reach, adc_range, bias)
        torch.testing.assert_close(found, execute(quiet, operator, x, reach, adc_range, bias))


@pytest.mark.parametrize("why", ONLY_BY_REFERENCE)
def test_what_only_the_reference_computes_says_why(why, monkeypatch):
    operator, shape, size = FACTORS["kind"]["conv"]
    plain = {name: next(iter(values)) for name, values in FACTORS.items()}
    hw = hardware(plain)
    scheme = Scheme.of(operator, shape, hw.replace(adc=ONLY_BY_REFERENCE[why]))
    assert scheme.only_by_reference == why and Scheme.of(operator, shape, hw).only_by_reference == ""
    held = hold(ideal_cells(operator.to_matrix(torch.randn(shape)), scheme), operator, scheme)
    arguments = (held, operator, torch.randn(2, *size), torch.tensor(REACH), torch.ones(1, 1))
    with torch.no_grad():
        assert torch.equal(product(*arguments), reference.compute(*arguments))
        assert not torch.allclose(fused.forward(*arguments, None), reference.compute(*arguments), atol=0.01)


def trained(row: Row) -> bool:
    """What `step` takes: no range for each vector, no noise, IR drop or offset to differentiate."""
    return (
        row["dac"] in ("calibrated", "none") and row["ir_drop"] == "none" and row["encoding"] != "offset, digital"
        and row["adc"] != "repeats"
    )  # fmt: skip


@pytest.mark.parametrize("row", [row for row in TABLE if trained(row)], ids=title)
@pytest.mark.parametrize("learned", [False, True], ids=["", "learned"])
def test_the_steps_gradients_are_the_references(row, learned):
    row = quiet(row)
    found = []
    for execute in (step.forward, reference.compute):
        held, operator, x, reach, adc_range, bias = case(row, torch.float64)
        leaves = [
            x.clone(memory_format=torch.preserve_format),
            *(o.weight.detach().clone() for o in held.operands),
            bias,
        ]
        reach = reach.double()
        leaves += [reach] if learned else []
        for leaf in leaves:
            leaf.requires_grad_()
        operands = tuple(o._replace(weight=w) for o, w in zip(held.operands, leaves[1:], strict=False))
        held = held._replace(operands=operands)
        if execute is step.forward:
            assert step.suits(held, operator, leaves[0], reach, adc_range)
        y = execute(held, operator, leaves[0], reach, adc_range, bias)
        weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(5), dtype=y.dtype)
        found.append(torch.autograd.grad((y * weight).sum(), leaves))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9 * max(1.0, float(theirs.abs().max())))

"""Every field of a hardware changes its cost, is named as not counted, or is said to take nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import mho
from mho.chip.compensation import GlobalDrift
from mho.costs import Cost, Technology, cost, cost_of_placement
from mho.crossbar.bit_slices import BitSliced
from mho.crossbar.encodings import Differential, Offset
from mho.hardware import Hardware
from mho.hardware.parts import Cell

TEXT = (Path(__file__).parents[2] / "docs" / "cost.md").read_text(encoding="utf-8")
PARTS = {
    "cell": Cell, "differential": Differential, "offset": Offset, "bit_sliced": BitSliced, "compensation": GlobalDrift,
    **{name: type(getattr(Hardware.preset("ideal"), name))
       for name in ("array", "mapping", "dac", "adc", "noise", "ir_drop", "wires", "columns", "write_verify")},
}  # fmt: skip
SLICES = {"encoding": {"kind": "bit_sliced", "bits": 5, "cell_bits": 2}, "array__cols": 16}
DIGITS = {**SLICES, "encoding": {**SLICES["encoding"], "sign": "offset"}}
FIXED = {"adc": {"range": "fixed", "bits": 6}}
HALVED = {"adc": {"range": "fixed", "bits": 6, "on_clip": "halve_input"}}

CHANGES = {  # the field: what stands beside it, and the change
    "array.rows": ({}, {"array__rows": 10}), "array.cols": ({}, {"array__cols": 8}),
    "cell.g_min_us": ({}, {"cell__g_min_us": 1.0}), "cell.g_max_us": ({}, {"cell__g_max_us": 20.0}),
    "mapping.scale": ({"mapping__scale": "tensor"}, {"mapping__scale": "array"}),
    "mapping.clip_sigma": ({"mapping__scale": "tensor"}, {"mapping__clip_sigma": 1.0}),
    "dac.bits": ({}, {"dac__bits": 6}), "dac.steps": ({}, {"dac": {"steps": 100}}),
    "dac.range": ({}, {"dac__range": "abs_max"}), "dac.slice_bits": ({}, {"dac__slice_bits": 2}),
    "dac.shift_and_add": ({"dac__slice_bits": 2}, {"dac__shift_and_add": "analog"}),
    "adc.bits": ({}, {"adc__bits": 5}), "adc.steps": ({}, {"adc": {"steps": 40}}),
    "adc.unipolar": ({"adc": {"steps": 40}}, {"adc__unipolar": True}), "adc.columns": ({}, {"adc__columns": 4}),
    "write_verify.rounds": ({}, {"write_verify__rounds": 3}),
    "write_verify.share": ({"write_verify__rounds": 3}, {"write_verify__share": 0.5}),
    "differential.sides": ({}, {"encoding__sides": "two"}), "differential.subtract": ({}, {"encoding__subtract": "digital"}),
    "differential.columns": ({}, {"encoding__columns": 2}), "differential.pairs": ({}, {"encoding__pairs": 2}),
    "offset.reference": ({"encoding": "offset"}, {"encoding__reference": "column"}),
    "bit_sliced.bits": (SLICES, {"encoding__bits": 4}), "bit_sliced.cell_bits": (SLICES, {"encoding__cell_bits": 4}),
    "bit_sliced.sign": (SLICES, {"encoding__sign": "offset"}), "bit_sliced.quantiser": (SLICES, {"encoding__quantiser": "wage"}),
    "bit_sliced.reference": (DIGITS, {"encoding__reference": "column"}),
    "bit_sliced.subtract": (SLICES, {"encoding__subtract": "digital"}),
    "bit_sliced.shift_and_add": (SLICES, {"encoding__shift_and_add": "analog"}),
}  # fmt: skip
NAMED = {  # not counted, and named: what stands beside it, the change, and the words
    "dac.shift_and_add": ({"dac__slice_bits": 2}, {"dac__shift_and_add": "analog"}, "dac.shift_and_add"),
    "bit_sliced.shift_and_add": (SLICES, {"encoding__shift_and_add": "analog"}, "encoding.shift_and_add"),
    "adc.range": ({}, {"adc__range": "batch"}, "adc.range: batch"), "adc.on_clip": (FIXED, HALVED, "halve_input"),
    "adc.max_halvings": (FIXED, {"adc": {**HALVED["adc"], "max_halvings": 2}}, "halve_input"),
    "adc.circuit": ({}, {"adc__circuit": {"kind": "sar"}}, "adc.circuit"),
    "wires.column": ({}, {"wires__column": 1e5}, "wires"), "wires.row": ({}, {"wires__row": 1e5}, "wires"),
    "ir_drop.scale": ({}, {"ir_drop__scale": 1.0}, "ir_drop"),
    "ir_drop.conductance_ratio": ({}, {"ir_drop": {"scale": 1.0, "conductance_ratio": 1e4}}, "ir_drop"),
    "compensation.readout": ({}, {"compensation": {"kind": "global"}}, "compensation 'global'"),
    "compensation.reference": ({}, {"compensation": {"kind": "global", "reference": "ideal"}}, "compensation 'global'"),
}  # fmt: skip
NOTHING = {  # errors and ranges, which take no time and no energy
    "cell.levels": {"cell__levels": 16}, "adc.bound": {"adc": {"range": "fixed", "bits": 6, "bound": 3.0}},
    "noise.output": {"noise__output": 0.1}, "noise.input": {"noise__input": 0.1}, "noise.weight": {"noise__weight": 0.1},
    "noise.weight_form": {"noise": {"weight": 0.1, "weight_form": "additive"}},
    "columns.offset": {"columns__offset": 0.1}, "columns.reference": {"columns": {"offset": 0.1, "reference": 1.0}},
    "columns.nonlinearity": {"columns__nonlinearity": 0.1},
    "columns.nonlinearity_std": {"columns": {"nonlinearity": 0.1, "nonlinearity_std": 0.1}},
    "columns.exact_at": {"columns": {"nonlinearity": 0.1, "exact_at": 1.0}},
}  # fmt: skip


@pytest.fixture(scope="module")
def found(hardware: Hardware, round_numbers: Technology):
    """The cost of a small layer with changes, each computed once."""
    known: dict[str, Cost] = {}

    def of(*changes: dict) -> Cost:
        if (key := repr([each for each in changes if each])) not in known:
            known[key] = made(*changes)
        return known[key]

    def made(*changes: dict) -> Cost:
        hw = hardware
        for each in changes:
            hw = hw.replace(**each)
        if hw.mapping == hardware.mapping:  # what is known without the weights needs no network
            return cost_of_placement(rows, hw, technology=open_)
        return cost(net(hw), example=torch.zeros(1, 50), technology=open_)

    def net(hw: Hardware) -> nn.Module:
        torch.manual_seed(0)
        return mho.to_analog(nn.Linear(50, 6).eval(), hw, example=torch.zeros(1, 50))

    rows, open_ = net(hardware).placement.rows(), round_numbers.replace(timing__columns_per_adc=None)
    return of


def _numbers(found: Cost) -> tuple:
    return found.entries, found.layers, found.pieces, found.capacity


def test_every_field_is_in_one_of_these_lists():
    fields = {f"{part}.{name}" for part, spec in PARTS.items() for name in spec.model_fields if name != "kind"}
    assert fields == {*CHANGES, *NAMED, *NOTHING}
    assert not set(NOTHING) & {*CHANGES, *NAMED}
    whole = set(Hardware.model_fields) - {*PARTS, "encoding"}
    assert whole == {"version", "name", "sources", "beyond", "variations", "faults", "digital", "layers"}


@pytest.mark.parametrize("field", CHANGES)
def test_what_changes_the_cost(field, found):
    beside, change = CHANGES[field]
    assert _numbers(found(beside, change)) != _numbers(found(beside))


@pytest.mark.parametrize("field", NAMED)
def test_what_is_not_counted_is_named(field, found):
    beside, change, words = NAMED[field]
    assert not any(words in note for note in found(beside).not_counted)
    assert any(words in note for note in found(beside, change).not_counted)


@pytest.mark.parametrize("field", NOTHING)
def test_what_takes_nothing_is_said(field, found):
    assert _numbers(found(NOTHING[field])) == _numbers(found())
    said = TEXT.partition(" take nothing")[0].rpartition("Errors and ranges")[2]
    assert f"`{field}`" in said or f"`{field.partition('.')[0]}`" in said

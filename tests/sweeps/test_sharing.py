"""What trials share changes no number: chips are programmed once for all settings that only say how they are read."""

from __future__ import annotations

import pytest
import tiny_sweep
import torch
from test_engine import here

import mho
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.sweeps import Plan, keys, workshop
from mho.sweeps.designs import Grid

NORMAL = {"sigma": 0.1, "relative_to": "gmax"}
SLICED = {"kind": "bit_sliced", "sign": "offset"}
CHANGES = {
    "version": [], "layers": [{"layers": {"body.1": {"adc.bits": 4}}}], "name": [{"name": "other"}],
    "sources": [{"sources": ("a",)}], "beyond": [{"beyond": ("sneak paths",)}],
    "dac": [{"dac.bits": 3}, {"dac.range": "abs_max"}, {"dac.slice_bits": 2, "dac.shift_and_add": "analog"}],
    "adc": [
        {"adc.bits": 3}, {"adc.range": "fixed", "adc.bound": 3.0}, {"adc.unipolar": True}, {"adc.range": "batch"},
        {"adc.circuit": {"kind": "sar", "mismatch": 0.1}}, {"adc.circuit": {"kind": "uniform", "gain": 0.1}, "adc.columns": 2},
    ],
    "wires": [{"wires.column": 100.0}, {"wires.row": 100.0}],
    "columns": [{"columns.offset": 0.1, "columns.reference": 0.5}, {"columns.nonlinearity": 0.1}],
    "noise": [{"noise.output": 0.1}, {"noise.weight": 0.1}, {"noise.input": 0.1}],
    "ir_drop": [{"ir_drop.scale": 1.0}],
    "compensation": [{"compensation": {"kind": "none"}}],
    "cell": [{"cell.programming_noise": 2.0}, {"cell.drift": 2.0}, {"cell.read_noise": 0.0}],
    "encoding": [
        {"encoding.subtract": "digital"}, {"encoding": {"kind": "offset"}}, {"encoding": SLICED},
        {"encoding": {**SLICED, "quantiser": "wage"}}, {"encoding": {**SLICED, "reference": "fixed_column"}},
    ],
    "array": [{"array.rows": 8}, {"array.cols": 4}],
    "mapping": [{"mapping.scale": "tensor"}, {"mapping.scale": "unit"}, {"mapping.scale": "none"}],
    "write_verify": [{"write_verify.rounds": 3}], "faults": [{"faults.stuck_low": 0.2}],
    "variations": [
        {"variations": [NORMAL]}, {"variations": [{**NORMAL, "redraw": "read"}]},
        {"variations": [{**NORMAL, "redraw": "mvm", "clip": "none"}]},
        {"variations": [{"sigma": 0.1, "relative_to": "weight_std"}]},
        {"variations": [{**NORMAL, "redraw": "read"}, NORMAL]},
    ],
    "digital": [{"digital": ("body.1",)}],
}  # fmt: skip
READ = {"name", "sources", "beyond", "dac", "adc", "noise", "ir_drop", "wires", "columns", "compensation"}


def states(hw):
    net = mho.calibrate(mho.to_analog(tiny_sweep.net(), hw), tiny_sweep.data())
    chip = mho.program(net, 0, chip=1)
    found = {}
    for path, arrays in chip.arrays.items():
        for p, state in enumerate(arrays.states):
            found |= {f"{path} {p} {name}": value for name, value in state.items()}
        for p, faults in enumerate(arrays.faults or ()):
            found |= {f"{path} {p} stuck {i}": value for i, value in enumerate(faults)}
    return found


def test_every_setting_of_the_hardware_is_known_to_change_what_is_programmed_or_not():
    assert set(CHANGES) == set(Hardware.model_fields)


@pytest.mark.parametrize("field", CHANGES)
def test_equal_keys_of_programming_are_equal_cells_to_the_digit(base, field):
    plan = Plan.read({**base, "factors": {"hardware.dac.bits": [2, 4]}})
    before = states(plan.hardware)
    for change in CHANGES[field]:
        other = plan.base.model_copy(update={"hardware": plan.hardware.replace(**change)})
        same_key = keys.programmed(other) == keys.programmed(plan.base)
        after = states(other.hardware)
        same = after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
        assert same or not same_key, change
        assert same_key or field not in READ, change  # what is known to be read only is shared


def test_rows_with_shared_chips_are_those_without_to_the_digit(base, tmp_path, monkeypatch):
    hardware = {
        "preset": "pcm", "noise": {"output": 0.1},
        "variations": [{**NORMAL, "redraw": "read"}, {"sigma": 0.05, "relative_to": "ideal"}],
        "faults": {"stuck_low": 0.05},
    }  # fmt: skip
    factors = {
        "hardware.adc.bits": [3, 8], "hardware.cell.drift": [1.0, 2.0], "hardware.variations.0.sigma": [0.1, 0.3],
        "evaluation": [{}, {"refresh": "1 month"}, {"recalibrate": ["affine"]}],
    }  # fmt: skip
    given = {**base, "ages": "1 h, 1 year", "hardware": hardware, "factors": factors}
    kept = here(given, tmp_path / "kept")
    monkeypatch.setattr(workshop, "CHIPS_BYTES", 0)
    monkeypatch.setitem(workshop._KEPT, "ranges", 0)
    anew = here(given, tmp_path / "anew")
    assert len(kept.rows) == 24 * 5 and kept.rows == anew.rows
    total = {
        side: sum(t["shared"].get("chips found", 0) for t in r.trials) for side, r in (("kept", kept), ("anew", anew))
    }
    assert sum(t["shared"]["ranges asked"] - t["shared"].get("ranges found", 0) for t in kept.trials) == 2  # ADC bits
    asked = sum(t["shared"]["chips asked"] for t in kept.trials)
    assert total["anew"] == 0 and asked - total["kept"] == 2 * 2 * 2  # drifts, chips, and each refreshed once
    assert "programmed chips" in str(kept) and isinstance(kept.plan.design, Grid)


def test_chips_are_shared_by_wires_columns_and_converters_with_errors(base, tmp_path, monkeypatch):
    factors = {
        "hardware.wires": [{}, {"column": 50.0}], "hardware.columns.offset": [0.0, 0.3],
        "hardware.adc.circuit": [None, {"kind": "sar", "offset": 0.5}],
    }  # fmt: skip
    given = {**base, "ages": "1 year", "chips": 1, "factors": factors}
    kept = here(given, tmp_path / "kept")
    asked, found = (sum(t["shared"].get(f"chips {what}", 0) for t in kept.trials) for what in ("asked", "found"))
    assert asked - found == 1
    monkeypatch.setattr(workshop, "CHIPS_BYTES", 0)
    monkeypatch.setitem(workshop._KEPT, "ranges", 0)
    assert here(given, tmp_path / "anew").rows == kept.rows
    assert len({row["loss"] for row in kept.rows if row["chip"] == 0}) == 8


def test_a_chip_is_not_read_by_a_network_on_other_arrays():
    nets = [mho.to_analog(tiny_sweep.net(), Hardware.preset("pcm", array__rows=rows)) for rows in (512, 8)]
    for net in nets:
        mho.calibrate(net, tiny_sweep.data())
    with pytest.raises(WrongSetting, match="other arrays"):
        mho.program(nets[0]).under(nets[1])


def test_learned_ranges_stay_with_the_hardware_that_they_were_learned_on_whatever_the_order_of_trials(base, tmp_path):
    """Both hardwares have the same ranges before training; those that it leaves are of the first alone."""
    hardware = {"preset": "pcm", "dac": {"range": "learned"}}
    training = {"data": "tiny_sweep:data", "batch": 20, "epochs": 2, "lr": 0.5, "hardware": hardware}
    given = {**base, "network": "tiny_sweep:random", "hardware": hardware, "training": training}
    scores = []
    for name, levels in (("up", [0.0, 0.2]), ("down", [0.2, 0.0])):
        result = here({**given, "factors": {"hardware.faults.stuck_low": levels}}, tmp_path / name)
        rows = [(r["hardware.faults.stuck_low"], r["chip"], r["age_s"], r["score"], r["loss"]) for r in result.rows]
        scores.append(sorted(rows))
    assert len(scores[0]) == 2 * 5 and scores[0] == scores[1]

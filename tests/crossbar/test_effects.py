"""Which effect applies to which encoding: the table of docs/effects.md is made here, and checked.

Every cell of it is tried: the effect changes the answer of a programmed chip, or is refused by name; nothing is ignored.
`python tests/crossbar/test_effects.py` writes the page anew.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

import mho
from mho.errors import MhoError
from mho.hardware import Hardware
from mho.rng import reads

PAGE = Path(__file__).parents[2] / "docs" / "effects.md"
SLICED = {"kind": "bit_sliced", "bits": 5, "cell_bits": 2}
ENCODINGS = {
    "differential": {"kind": "differential"},
    "differential, polarities converted": {"kind": "differential", "subtract": "digital"},
    "offset": {"kind": "offset"},
    "offset, column": {"kind": "offset", "reference": "column"},
    "slices: pair": {**SLICED},
    "slices: pair, polarities converted": {**SLICED, "subtract": "digital"},
    "slices: pair, analog sum": {**SLICED, "shift_and_add": "analog"},
    "slices: offset": {**SLICED, "sign": "offset"},
    "slices: offset, column": {**SLICED, "sign": "offset", "reference": "column"},
    "slices: offset, fixed column converted": {
        **SLICED,
        "sign": "offset",
        "reference": "fixed_column",
        "subtract": "digital",
    },
    "slices: two's complement": {**SLICED, "sign": "twos_complement"},
}
LOSSY = {"bits": 12, "range": "maximum"}


def variation(relative_to: str, redraw: str = "program", sigma: float = 0.1) -> dict:
    return {"variations": [{"sigma": sigma, "relative_to": relative_to, "redraw": redraw}]}


EFFECTS = {
    "programming noise, drift, read noise (cell)": {"cell": {"kind": "pcm", "g_min_us": 0.5, "levels": 4}},
    "stuck-at faults": {"faults": {"stuck_low": 0.05, "stuck_high": 0.05}},
    **{f"variation of {of}, per program": variation(of)
       for of in ("ideal", "gmax", "range", "level", "weight_std", "weight_max")},
    **{f"variation of ideal, per {redraw}": variation("ideal", redraw) for redraw in ("read", "mvm", "conversion")},
    "IR drop, first order": {"ir_drop": {"scale": 1.0, "conductance_ratio": 300.0}},
    "IR drop, columns solved": {"wires": {"column": 200.0}},
    "IR drop, rows and columns solved": {"wires": {"column": 200.0, "row": 200.0}},
    "offsets of columns": {"columns": {"offset": 0.1}},
    "reference cells that columns' offsets add": {"columns": {"offset": 0.1, "reference": 0.5}},
    "nonlinear columns": {"columns": {"nonlinearity": 0.1, "nonlinearity_std": 0.1}},
    "output noise": {"noise": {"output": 0.2}},
    "weight noise per product": {"noise": {"weight": 0.1}},
    "input noise": {"noise": {"input": 0.1}},
    "input noise, bit-serial inputs": {"noise": {"input": 0.1}, "dac": {"bits": 4, "slice_bits": 1}},
    "bit-serial inputs, lossy ADC": {"dac": {"bits": 4, "slice_bits": 1}, "adc": {"bits": 4, "range": "maximum"}},
    "unipolar ADC": {"adc": {**LOSSY, "unipolar": True}},
    "ADC range of the batch": {"adc": {"bits": 5, "range": "batch"}},
    "ADC range granular": {"adc": {"bits": 3, "range": "granular"}},
    "repeated vectors that clip": {"adc": {"bits": 5, "range": "fixed", "bound": 0.5, "on_clip": "halve_input"}},
    **{f"{kind} ADC with errors": {"adc": {**LOSSY, "circuit": {"kind": kind, "offset": 0.5}}}
       for kind in ("uniform", "sar", "ramp", "pipeline", "cyclic")},
    "drift compensation": {"cell": {"kind": "pcm", "g_min_us": 0.5, "levels": 4}, "compensation": {"kind": "global"}},
}  # fmt: skip
BESIDE = {
    "drift compensation": EFFECTS["programming noise, drift, read noise (cell)"],
    "reference cells that columns' offsets add": {"columns": {"offset": 0.1}},
    "input noise, bit-serial inputs": {"dac": {"bits": 4, "slice_bits": 1}},
    "bit-serial inputs, lossy ADC": {"adc": {"bits": 4, "range": "maximum"}},
    "ADC range of the batch": {"adc": {"bits": 5, "range": "maximum"}},
    "ADC range granular": {"adc": {"bits": 3, "range": "maximum"}},
    "repeated vectors that clip": {"adc": {"bits": 5, "range": "fixed", "bound": 0.5}},
}
"""What an effect is compared with, where it is not the network without any: all of its settings but the one it is named for."""


BASE = Hardware.preset("ideal").as_dict()


def hardware(encoding: dict, changes: dict) -> Hardware:
    cell = {"kind": "ideal", "g_min_us": 1.0, "levels": 4}
    settings = {"cell": cell, "array": {"rows": 8}, "dac": {"bits": 4}, "adc": LOSSY} | changes
    return Hardware.parse(BASE | {"encoding": encoding} | settings)


def answer(encoding: dict, changes: dict) -> torch.Tensor:
    return _answer(json.dumps(encoding), json.dumps(changes))


@cache
def _answer(of: str, on: str) -> torch.Tensor:
    encoding, changes = json.loads(of), json.loads(on)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = mho.to_analog(nn.Sequential(nn.Linear(18, 5)).double(), hardware(encoding, changes))
        x = torch.randn(6, 18, dtype=torch.float64)
    net[0].matrix.set_range("input_range", torch.tensor(2.0, dtype=torch.float64))
    with torch.no_grad(), reads(0):
        return mho.program(net).at("1 day")(x)


def outcome(encoding: dict, name: str) -> str:
    """What becomes of an effect: computed, or refused; an assertion where it is ignored."""
    before = BESIDE.get(name, {})
    try:
        found = answer(encoding, EFFECTS[name])
    except MhoError as error:
        assert error.problem and error.remedy
        return "refused"
    assert bool(torch.isfinite(found).all())
    assert not torch.allclose(found, answer(encoding, before), rtol=1e-6, atol=1e-9), f"'{name}' is ignored"
    return "computed"


def table() -> str:
    lines = ["| | " + " | ".join(ENCODINGS) + " |", "|---" * (len(ENCODINGS) + 1) + "|"]
    for name in EFFECTS:
        marks = ["yes" if outcome(e, name) == "computed" else "**refused**" for e in ENCODINGS.values()]
        lines.append(f"| {name} | " + " | ".join(marks) + " |")
    return "\n".join(lines)


def page() -> str:
    return f"""# Which effect applies to which encoding

Made and checked by `tests/crossbar/test_effects.py`: *yes*, the effect changes the answer of a programmed chip;
**refused**, converting or programming says why not. Nothing is ignored. Cells of four states, arrays of 8 rows.

{table()}

- Weight noise and variation per *product* are applied at the outputs, per *conversion* by one draw of the weights for a whole
  batch (DNN+NeuroSim's redraw per input bit). A column of the array that all columns share has one draw of what is frozen (one
  for all arrays, too, where columns are cut over several: placement and cost count one on each), and noise of products of its own
  for each column that it serves.
- Noise of the inputs is refused where inputs come in slices.
- A granular ADC range needs cells of a known number of states and coded inputs. Its codes hold every output exactly
  only where the currents of the lowest states cancel in front of the converter, or are 0.
- Rows with resistance are refused for grouped convolutions.
- Effects of one description add up in the order of the signal: inputs, cells (programming, drift, read, faults), wires, offset of
  the column, noise of weights, curve of the column, noise of the output, converter. `test_all_of_them_at_once` tries them
  together.
"""


def test_the_page_is_true():
    assert PAGE.read_text(encoding="utf-8") == page(), f"python {Path(__file__).name} writes it anew"


@pytest.mark.parametrize("name", ["differential", "slices: pair", "slices: offset, fixed column converted"])
def test_all_of_them_at_once(name):
    """Each changes the answer beside all others."""
    parts = {
        "faults": {"stuck_low": 0.05}, "columns": {"offset": 0.1, "nonlinearity": 0.1}, "wires": {"column": 200.0, "row": 300.0},
        "noise": {"output": 0.1, "weight": 0.05}, "cell": {"kind": "pcm", "g_min_us": 0.5, "levels": 4},
        "adc": {"bits": 6, "range": "maximum", "circuit": {"kind": "sar", "mismatch": 0.1, "offset": 0.5}},
        "dac": {"bits": 4, "slice_bits": 2},
        "variations": [{"sigma": 0.05, "relative_to": of, "redraw": r} for of, r in (("ideal", "program"), ("gmax", "read"),
                       ("level", "mvm"), ("ideal", "conversion"))],
    }  # fmt: skip
    encoding = ENCODINGS[name]
    together = answer(encoding, parts)
    assert bool(torch.isfinite(together).all())
    for part in parts:
        assert not torch.equal(answer(encoding, {k: v for k, v in parts.items() if k != part}), together), part


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")

"""What every cell must do, for those who write one: ``mho.testing.check_cell(MyCell())``."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mho.hardware import Cell, Hardware
from mho.rng import Stream

AGES_S = (0.0, 1e-9, 1.0, 20.0, 3600.0, 86400.0, 3.15e7, 3.15e8)


def check_cell(cell: Cell, *, ages_s: Iterable[float] = AGES_S) -> None:
    """Check the laws that the rest of `mho` relies on.

    Shapes and dtypes are kept; conductances are finite and not negative at every age; an address decides a chip and
    different addresses differ where anything is random; nothing given is changed; the description survives YAML.

    Raises:
        AssertionError: With the law that is broken.
    """
    for dtype in (torch.float32, torch.float64):
        target = torch.linspace(cell.g_min_us, cell.g_max_us, 240, dtype=dtype).reshape(2, 4, 30)
        _check_states(cell, target, ages_s)
    _check_address(cell)
    _check_description(cell)


def _check_states(cell: Cell, target: Tensor, ages_s: Iterable[float]) -> None:
    draw, before = Stream(("check", 0)), target.clone()
    state = cell.program(target, draw)
    assert "g" in state, "program() must return the conductances as 'g'"
    for name, value in state.items():
        assert value.shape == target.shape, f"'{name}' has shape {tuple(value.shape)}, not {tuple(target.shape)}"
        assert value.dtype == target.dtype, f"'{name}' has dtype {value.dtype}, not {target.dtype}"
        assert bool(torch.isfinite(value).all()), f"'{name}' is not finite"
    held = {name: value.clone() for name, value in state.items()}
    moved = cell.age({**state, "g": state["g"] + 0.01 * cell.g_max_us}, 1e4)
    assert not torch.equal(moved, cell.age(state, 1e4)), "age() must start from 'g', which variations and faults change"
    assert torch.equal(cell.age(state, 0.0), state["g"]), "at age 0 the conductances are those right after programming"
    for t_s in ages_s:
        aged = cell.age(state, t_s)
        kept = aged.clone()
        seen = cell.read(aged, state, t_s, draw / "read")
        for what, g in (("age", aged), ("read", seen)):
            assert g.shape == target.shape and g.dtype == target.dtype, f"{what}() changed shape or dtype at {t_s} s"
            assert bool(torch.isfinite(g).all()), f"{what}() is not finite at {t_s} s"
            assert bool((g >= 0).all()), f"{what}() gives a negative conductance at {t_s} s"
        assert torch.equal(aged, kept), f"read() changed the conductances it was given at {t_s} s"
    assert torch.equal(target, before), "program() changed the targets it was given"
    assert all(torch.equal(state[n], v) for n, v in held.items()), "age() or read() changed the state"


def _check_address(cell: Cell) -> None:
    target = torch.linspace(cell.g_min_us, cell.g_max_us, 1000)

    def chip(number: int) -> Tensor:
        draw = Stream(("check", number))
        state = cell.program(target, draw)
        return torch.stack([cell.read(cell.age(state, t), state, t, draw / "read") for t in AGES_S])

    first = chip(0)
    torch.manual_seed(torch.initial_seed() + 1)
    assert torch.equal(first, chip(0)), "the same address must give the same cell, whatever else was drawn"
    random = not torch.equal(first, chip(1))
    told = bool(cell.definitions())
    assert random == told, (
        "definitions() must name every random quantity"
        if random
        else "definitions() names something that is not random"
    )


def _check_description(cell: Cell) -> None:
    hw = Hardware(name="check", cell=cell, encoding="differential", compensation="none")
    assert Hardware.parse(hw.as_dict()).cell == cell, "the description must survive YAML"
    for definition in cell.definitions():
        assert definition.sigma and definition.reference and definition.redraw in {"program", "read", "mvm"}

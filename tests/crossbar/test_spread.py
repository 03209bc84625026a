"""What each σ of the description does to the outputs of a programmed chip, against its closed form in NumPy.

The error of column c for an input x is Σ_j e_cj x_j with independent e_cj of variance v_cj: its standard deviation is
sqrt(Σ_j v_cj x_j²) times what a full weight stands for. Only what a user sees is used: `to_analog`, `calibrate`, `program`, `at`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import mho
from mho.errors import BadInput

G_MIN, G_MAX, LEVELS = 2.0, 25.0, 17
ENCODINGS: dict[str, dict[str, str]] = {
    "one-sided": {"kind": "differential"},
    "one-sided, digital": {"kind": "differential", "subtract": "digital"},
    "two-sided": {"kind": "differential", "sides": "two"},
    "two-sided, digital": {"kind": "differential", "sides": "two", "subtract": "digital"},
    "offset": {"kind": "offset"},
}
DIGITAL = ("one-sided, digital", "two-sided, digital")
FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "additive": np.ones_like, "proportional": np.abs, "pcm_read": lambda w: np.sqrt(np.abs(w)),
}  # fmt: skip
COLUMNS, ROWS = 300, 12
SIGMA = 0.03


IDEAL = mho.Hardware.preset("ideal", cell__g_min_us=G_MIN, cell__g_max_us=G_MAX, cell__levels=LEVELS)


def layer() -> nn.Linear:
    """Weights that the 17 levels hold exactly, another scale for each column: multiples of 1/8 with a whole one among them."""
    rng = np.random.default_rng(0)
    unit = rng.integers(-8, 9, (COLUMNS, ROWS)) / 8
    unit[np.arange(COLUMNS), rng.integers(0, ROWS, COLUMNS)] = 1.0
    made = nn.Linear(ROWS, COLUMNS).double()
    with torch.no_grad():
        made.weight.copy_(torch.from_numpy(unit * rng.uniform(0.2, 2, (COLUMNS, 1))))
    return made


LAYER = layer()
SCALE = LAYER.weight.detach().abs().amax(1).numpy()
UNIT = LAYER.weight.detach().numpy() / SCALE[:, None]
X = torch.from_numpy(np.random.default_rng(1).normal(size=ROWS))


def hardware(encoding: str, **changes: Any) -> mho.Hardware:
    return IDEAL.replace(encoding=ENCODINGS[encoding], **changes)


def network(hw: mho.Hardware) -> nn.Module:
    return mho.calibrate(mho.to_analog(nn.Sequential(LAYER), hw), [X[None]])


def errors(net: nn.Module, redraw: str) -> np.ndarray:
    """Errors of the outputs, (draws, columns), where every draw has its own chip, reading, or product."""
    with torch.no_grad():
        if redraw == "program":
            seen = [mho.program(net, seed=0, chip=k).at("1 day")(X) for k in range(20)]
        elif redraw == "read":
            chip = mho.program(net)
            seen = [chip.at("1 day", read=k)(X) for k in range(20)]
        else:
            seen = list(mho.program(net).at("1 day")(X.expand(20, ROWS)))
        return (torch.stack(seen) - LAYER(X)).numpy()


def agrees(found: np.ndarray, sigma: np.ndarray) -> None:
    """Mean and standard deviation of the z-scores, of all columns together, within 4.5 of their standard errors."""
    z = found / sigma
    assert abs(z.mean()) < 4.5 / math.sqrt(z.size)
    assert abs(z.std() - 1) < 4.5 / math.sqrt(2 * z.size), f"σ is {z.std():.3f} times what it should be"
    within = np.corrcoef(z)[np.triu_indices(len(found), 1)]  # no two draws are alike
    assert np.abs(within).max() < 5 / math.sqrt(COLUMNS)


def test_constant_weights_have_a_largest_one_but_no_spread():
    flat = nn.Linear(3, 2)
    nn.init.constant_(flat.weight, 0.5)
    for relative_to in ("weight_max", "gmax"):
        hw = hardware("one-sided", variations=[{"sigma": SIGMA, "relative_to": relative_to}])
        assert mho.program(mho.to_analog(nn.Sequential(flat), hw)).arrays
    for sigma in (0.0, SIGMA):
        net = mho.to_analog(
            nn.Sequential(flat), hardware("offset", variations=[{"sigma": sigma, "relative_to": "weight_std"}])
        )
        if not sigma:
            assert mho.program(net).arrays
            continue
        with pytest.raises(BadInput, match="weight_std"):
            mho.program(net)


def of_weights(variance: np.ndarray) -> np.ndarray:
    """σ of each output from the variance of each weight in units of a full one."""
    return SCALE * np.sqrt(np.broadcast_to(variance, UNIT.shape) @ X.numpy() ** 2)


def conductances(encoding: str) -> list[np.ndarray]:
    """Targets of the cells that hold each weight, µS."""
    span = G_MAX - G_MIN
    if encoding == "offset":
        return [G_MIN + span * (1 + UNIT) / 2]
    if encoding.startswith("one"):
        return [G_MIN + span * np.maximum(UNIT, 0), G_MIN + span * np.maximum(-UNIT, 0)]
    return [G_MIN + span * (1 + UNIT) / 2, G_MIN + span * (1 - UNIT) / 2]


def of_cells(encoding: str, relative_to: str) -> np.ndarray:
    """Variance of each weight when each of its cells deviates by SIGMA times the reference."""
    span = G_MAX - G_MIN
    size = {"gmax": G_MAX, "range": span, "level": span / (LEVELS - 1)}
    per_us = (2 if encoding == "offset" else 1) / span
    cells = [g if relative_to == "ideal" else np.full_like(g, size[relative_to]) for g in conductances(encoding)]
    return sum((SIGMA * g * per_us) ** 2 for g in cells)


@pytest.mark.parametrize("rows", [64, 5], ids=["one block", "three blocks"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_noise_of_outputs_is_drawn_for_every_conversion(encoding, rows):
    net = network(hardware(encoding, noise__output=SIGMA, array__rows=rows))
    conversions = -(-ROWS // rows) * (2 if encoding in DIGITAL else 1)
    agrees(errors(net, "mvm"), SIGMA * math.sqrt(conversions) * SCALE * float(X.abs().max()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_noise_of_weights_is_that_of_the_weight_whatever_its_cells(encoding, form):
    net = network(hardware(encoding, noise={"weight": SIGMA, "weight_form": form}))
    agrees(errors(net, "mvm"), of_weights((SIGMA * FORMS[form](UNIT)) ** 2))


@pytest.mark.parametrize("redraw", ["program", "read", "mvm"])
@pytest.mark.parametrize("relative_to", ["ideal", "gmax", "range", "level"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_variations_of_cells(encoding, relative_to, redraw):
    variation = {"sigma": SIGMA, "relative_to": relative_to, "redraw": redraw, "clip": "none"}
    agrees(
        errors(network(hardware(encoding, variations=[variation])), redraw), of_weights(of_cells(encoding, relative_to))
    )


@pytest.mark.parametrize("redraw", ["program", "read", "mvm"])
@pytest.mark.parametrize("relative_to", ["weight_std", "weight_max"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_variations_of_weights(encoding, relative_to, redraw):
    weights = UNIT * SCALE[:, None]  # the layer's, whatever the scale of a column
    reference = (weights.std() if relative_to == "weight_std" else np.abs(weights).max()) / SCALE[:, None]
    variation = {"sigma": SIGMA, "relative_to": relative_to, "redraw": redraw}
    agrees(errors(network(hardware(encoding, variations=[variation])), redraw), of_weights((SIGMA * reference) ** 2))


@pytest.mark.parametrize("relative_to", ["ideal", "gmax", "range", "level", "weight_std", "weight_max"])
def test_a_reference_column_has_errors_that_all_columns_share(relative_to):
    """Of two columns for the same weights the difference loses the shared part."""
    hw = IDEAL.replace(
        encoding={"kind": "offset", "reference": "column"},
        variations=[{"sigma": SIGMA, "relative_to": relative_to, "clip": "none"}],
    )  # fmt: skip
    twins = nn.Linear(ROWS, 2, bias=False).double()
    with torch.no_grad():
        twins.weight.copy_(torch.from_numpy(UNIT[:1]).expand(2, ROWS))
        net, chips = mho.to_analog(nn.Sequential(twins), hw), 400
        y = torch.stack([mho.program(net, chip=k).at(0)(X) for k in range(chips)])
        found = (y - twins(X)).numpy()
    if relative_to.startswith("weight"):
        size = UNIT[0].std() if relative_to == "weight_std" else 1.0
        own, shared = np.full(ROWS, (SIGMA * size) ** 2), np.zeros(ROWS)
    else:
        middle, g = (G_MIN + G_MAX) / 2, conductances("offset")[0][0]
        span = G_MAX - G_MIN
        size = {"gmax": G_MAX, "range": span, "level": span / (LEVELS - 1)}
        of = lambda cell: (2 / span * SIGMA * (cell if relative_to == "ideal" else size[relative_to])) ** 2  # noqa: E731
        own, shared = of(g) * np.ones(ROWS), of(middle) * np.ones(ROWS)
    squares = X.numpy() ** 2
    for sample, variance in (
        (found[:, 0], (own + shared) @ squares), (found[:, 1], (own + shared) @ squares),
        (found[:, 0] - found[:, 1], 2 * own @ squares),
    ):  # fmt: skip
        assert sample.std() / math.sqrt(variance) == pytest.approx(1, abs=4.5 / math.sqrt(2 * chips))


@pytest.mark.parametrize("kind", ["strided", "grouped", "transposed"])
@pytest.mark.parametrize("source", ["output", "weight", "cells"])
def test_noise_of_products_differs_from_position_to_position(kind, source):
    """Every output position is a product of its own: its variance is the layer's operator on squares."""
    torch.manual_seed(0)
    make = {
        "strided": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False),
        "transposed": lambda: nn.ConvTranspose2d(4, 6, 2, stride=2, bias=False),
    }[kind]
    conv, x = make().double(), torch.randn(1, 4, 5, 5, dtype=torch.float64)
    settings: dict[str, Any] = {
        "output": {"noise__output": SIGMA}, "weight": {"noise": {"weight": SIGMA, "weight_form": "proportional"}},
        "cells": {"variations": [{"sigma": SIGMA, "relative_to": "range", "redraw": "mvm"}]},
    }[source]  # fmt: skip
    net = mho.calibrate(mho.to_analog(nn.Sequential(conv), mho.Hardware.preset("ideal", **settings)), [x])
    with torch.no_grad():
        found = (mho.program(net).at("1 day")(x.expand(400, -1, -1, -1)) - conv(x)).numpy()
        columns = conv.weight.transpose(0, 1) if kind == "transposed" else conv.weight
        scale = columns.abs().flatten(1).amax(1)[:, None, None]
        squares = make().double()
        size = {"weight": conv.weight.abs(), "cells": math.sqrt(2) * torch.ones_like(conv.weight)}.get(source)
        if size is None:
            sigma = (SIGMA * float(x.abs().max()) * scale).expand(found.shape[1:]).numpy()
        else:
            by_column = scale.reshape((1, -1, 1, 1) if kind == "transposed" else (-1, 1, 1, 1))
            squares.weight.copy_((SIGMA * size * (by_column if source == "cells" else 1)).square())
            sigma = squares(x.square())[0].sqrt().numpy()
    z = (found / sigma).reshape(len(found), -1)
    assert abs(z.mean()) < 4.5 / math.sqrt(z.size) and abs(z.std() - 1) < 4.5 / math.sqrt(2 * z.size)
    between = np.corrcoef(z.T) - np.eye(z.shape[1])
    assert np.abs(between).max() < 5.5 / math.sqrt(len(z))


@pytest.mark.parametrize(("relative_to", "size"), [("weight_std", 0.75), ("weight_max", 1.0)])
@pytest.mark.parametrize("redraw", ["program", "mvm"])
def test_the_references_of_a_few_weights_are_those_of_just_these(redraw, relative_to, size):
    """Of 0.5 and -1 the spread is 0.75 (they are not a sample of others), and the largest is 1."""
    few = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        few.weight.copy_(torch.tensor([[0.5, -1.0]]))
    variation = {"sigma": SIGMA, "relative_to": relative_to, "redraw": redraw}
    net, x = mho.to_analog(few, hardware("one-sided", variations=[variation])), torch.ones(1, 2).double()
    net = mho.calibrate(net, [x])
    with torch.no_grad():
        if redraw == "mvm":
            y = mho.program(net).at(0)(x.expand(800, 2))
        else:
            y = torch.cat([mho.program(net, chip=k).at(0)(x) for k in range(400)])
    assert float(y.std()) == pytest.approx(SIGMA * size * math.sqrt(2), rel=0.13)


@pytest.mark.parametrize("redraw", ["program", "read", "mvm"])
def test_what_is_frozen_and_what_is_drawn_anew(redraw):
    variation = {"sigma": SIGMA, "relative_to": "gmax", "redraw": redraw}
    net = network(hardware("one-sided", variations=[variation]))
    chip = mho.program(net)
    with torch.no_grad():
        at = [chip.at("1 day", read=read) for read in (0, 0, 1)]
        torch.manual_seed(0)
        first, again, same, other = at[0](X), at[0](X), at[1](X), at[2](X)
        chips = [mho.program(net, chip=k).at("1 day")(X) for k in (0, 1)]
    assert torch.equal(first, again) == (redraw != "mvm")
    assert torch.equal(first, same) == (redraw != "mvm")
    assert torch.equal(first, other) == (redraw == "program")
    assert not torch.equal(*chips)

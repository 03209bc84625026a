"""docs/cost.md computes a layer by hand: the numbers that stand there are those that the library finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import mho
from mho.costs import Technology, cost

TEXT = (Path(__file__).parents[2] / "docs" / "cost.md").read_text(encoding="utf-8")
BY_HAND = TEXT.partition("### One layer by hand")[2].partition("## Technologies")[0]


def _net(rows: int = 512) -> nn.Module:
    layer = nn.Linear(64, 10)
    i, j = torch.arange(10)[:, None], torch.arange(64)
    layer.weight.data = ((i + j) % 5 - 2) / 2
    return mho.to_analog(layer.eval(), mho.Hardware.preset("pcm", array__rows=rows), example=torch.zeros(1, 64))


def test_the_layer_by_hand():
    found = cost(_net(), example=torch.zeros(1, 64))
    printed = re.findall(r"^\| (\w+) \| (\d+) \| .* \| ([\d.]+) \|$", BY_HAND, re.MULTILINE)
    assert len(printed) == 9
    entries = {entry.component: entry for entry in found.entries}
    for name, count, energy in printed:
        assert entries[name].count == int(count) and float(f"{entries[name].energy_pj:.3g}") == float(energy), name
    assert f"{found.energy_pj:.0f} pJ in all" in BY_HAND and f": {found.latency_ns:.0f} ns. 1280" in BY_HAND
    assert f"{found.tops:.3g} TOPS" in BY_HAND and f"{found.tops_per_watt:.3g} TOPS/W" in BY_HAND
    assert "64 converters" in BY_HAND and found.area_by_component()


def test_the_same_layer_on_lower_arrays():
    """Four row blocks: 40 conversions, 3 · 10 more additions, 3 · 10 · 16 bits of partial sums."""
    before, after = (
        {entry.component: entry.count for entry in cost(_net(rows), example=torch.zeros(1, 64)).entries}
        for rows in (512, 20)
    )
    assert after["adc"] == 40 and after["adder"] - before["adder"] == 30
    assert after["interconnect"] - before["interconnect"] == 480


@pytest.mark.parametrize("name", Technology.model_fields)
def test_every_key_of_a_technology_is_explained(name):
    assert name in ("version", "name") or f"`{name}`" in TEXT

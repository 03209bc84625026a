"""A technology of round numbers, and small networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mho.convert import to_analog
from mho.costs import Technology
from mho.hardware import Hardware

ROUND = {
    "name": "round", "node_nm": 32,
    "cells": {"kind": "current", "voltage_v": 0.5, "cell_area_f2": 10, "write_energy_pj": 2.0, "write_ns": 100,
              "written_together": 4, "source": "test"},
    "adc": {"kind": "block", "bits": 6, "energy": 3.0, "area": 100, "node_nm": 32, "source": "test"},
    "timing": {"input": "amplitude", "read_ns": 20, "settle_ns": 5, "columns_per_adc": 2, "conversion_ns": 4,
               "overlap": False, "source": "test"},
    "components": {
        name: {"energy_pj": pj, "source": "test"}
        for name, pj in {"row_driver": 0.5, "sample_hold": 0.25, "shift_add": 0.125, "adder": 0.1, "multiplier": 2.0,
                         "buffer": 0.01, "interconnect": 0.02, "digital_mac": 1.0, "digital_operation": 0.2}.items()
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def round_numbers() -> Technology:
    return Technology.parse(ROUND)


@pytest.fixture(scope="session")
def hardware() -> Hardware:
    """One pair a weight in a unit cell, arrays of 20 × 4, 8-bit inputs, 6-bit conversions."""
    return Hardware.parse({
        "name": "small", "cell": {"kind": "ideal", "g_min_us": 2.0, "g_max_us": 10.0}, "encoding": "differential",
        "array": {"rows": 20, "cols": 4}, "dac": {"bits": 8}, "adc": {"bits": 6}, "compensation": "none",
    })  # fmt: skip


@pytest.fixture
def described() -> dict:
    """`round_numbers` as they stand in a file."""
    return ROUND


@pytest.fixture
def analog():
    """A layer as a converted network."""

    def convert(layer: nn.Module, hw: Hardware, x: torch.Tensor) -> nn.Module:
        return to_analog(nn.Sequential(layer).eval(), hw, example=x)

    return convert

"""Accuracies of a network on chips of a description, and what an inference takes there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

import mho
from mho.data import Dataset
from mho.studies.cim_resnet.networks import part
from mho.studies.definitions import Definition
from mho.studies.on_arrays import with_ranges
from mho.studies.subject import Subject

COST_BITS = 10
"""Of the converters that energies are of where converters are ideal."""


def over_sigma(
    made: Subject, definition: Definition, sigmas: Sequence[float], *, chips: int, images: int, rows: int = 128,
    bits: int | None = None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """A row for each σ, with the accuracy of every chip on its own images; ranges are set once, without variation.

    Chip i of every σ is one chip: its draws ξ are the same, and its images.

    Args:
        made: The network with its data.
        definition: Of σ.
        sigmas: Sizes; of 0 all chips are alike.
        chips: How many.
        images: Of each chip.
        rows: Of an array.
        bits: Of the ADC, where they are not the definition's.
    """
    quiet = definition.hardware(0.0, bits=bits, rows=rows)
    ranged = mho.calibrate(mho.to_analog(made.model, quiet, example=made.ranges.inputs[:2]), made.ranges)
    energy = _energy(made, definition, rows, bits)
    parts = [part(made.test, chip, images) for chip in range(chips)]
    for sigma in sigmas:
        hw = definition.hardware(sigma, bits=bits, rows=rows)
        net = with_ranges(made.model, hw, ranged, made.ranges)
        alike = mho.fuse(mho.program(net).at(0.0), inplace=True) if not sigma else None
        scores = [_score(alike or _chip(net, chip), parts[chip], chip) for chip in range(chips)]
        yield {"sigma": sigma, "rows": rows, "bits": hw.adc.bits, "images": images, "scores": scores, **energy}


def digital(made: Subject, chips: int, images: int) -> dict[str, Any]:
    """The row of the digital network."""
    scores = [round(mho.accuracy(made.model, part(made.test, chip, images)), 6) for chip in range(chips)]
    parameters = sum(p.numel() for p in made.model.parameters())
    return {"setting": "digital", "images": images, "scores": scores, "parameters": parameters}


def _chip(net: nn.Module, chip: int) -> nn.Module:
    return mho.fuse(mho.program(net, chip=chip).at(0.0), inplace=True)


def _score(net: nn.Module, data: Dataset, chip: int) -> float:
    return round(mho.accuracy(net, data, seed=chip), 6)


def _energy(made: Subject, definition: Definition, rows: int, bits: int | None) -> dict[str, float]:
    """Energy in µJ and latency in µs of an inference; of converters of `COST_BITS` where they are ideal."""
    hw = definition.hardware(0.0, bits=bits or definition.bits or COST_BITS, rows=rows)
    example = made.ranges.inputs[:1]
    found = mho.cost(mho.to_analog(made.model, hw, example=example), example=example)
    return {"energy_uj": float(f"{found.energy_pj * 1e-6:.4g}"), "latency_us": float(f"{found.latency_ns * 1e-3:.4g}")}

"""From counts to energy: what each component does for one matrix, what that costs, and where the constant comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mho.costs.loads import Load
from mho.costs.technology import COMPONENTS, Technology
from mho.costs.work import Product, rate_hz
from mho.crossbar import Scheme


@dataclass(frozen=True)
class Entry:
    """What one component does for one inference in one layer.

    Attributes:
        layer: Path of the matrix; ``digital part`` or ``chip`` for what belongs to none.
        component: Its name.
        action: What it does.
        count: How often.
        energy_pj: pJ of all of that; None where no constant is known.
        rests_on: Where the constant comes from.
    """

    layer: str
    component: str
    action: str
    count: float
    energy_pj: float | None
    rests_on: str


def entries(
    path: str, scheme: Scheme, work: Product, products: float, load: Load, moved_bits: float, technology: Technology
) -> Iterator[Entry]:
    """Everything that a matrix takes for one inference.

    Args:
        path: Of the matrix.
        scheme: Its conversions.
        work: What a product takes.
        products: Products of an inference.
        load: What its rows carry.
        moved_bits: Bits of activations that come to it over the interconnect.
        technology: Its constants.
    """
    yield _cells(path, scheme, work, products, load, technology)
    for bits, number in sorted(work.conversions.items()):
        count = number * products
        energy = technology.adc.energy_pj(bits, technology.node_nm, rate_hz(technology, bits, work))
        yield Entry(path, "adc", f"conversion to {bits:g} bits", count, count * energy, technology.rests_on("adc"))
    conversions = sum(work.conversions.values()) * products
    counts = {
        "row_driver": work.rows_driven * products,
        "sample_hold": conversions,
        "integrator": conversions * work.slices_a_conversion * work.units
        if technology.timing.input == "duration"
        else 0,
        "shift_add": work.shift_adds * products,
        "adder": work.additions * products,
        "multiplier": work.multiplications * products,
        "buffer": work.bits_buffered * products,
        "interconnect": moved_bits * technology.hops + work.bits_between * products,
        "digital_operation": work.comparisons * products,
    }
    for name, count in counts.items():
        if count or name in technology.components:
            yield entry(path, name, count, technology)


def entry(path: str, name: str, count: float, technology: Technology) -> Entry:
    """What a component does `count` times."""
    each = technology.energy(name)
    energy = None if each is None else each * count
    return Entry(path, name, COMPONENTS[name][0], count, energy, technology.rests_on(name) if each is not None else "")


def _cells(path: str, scheme: Scheme, work: Product, products: float, load: Load, technology: Technology) -> Entry:
    """Reading the cells, by the model of the technology."""
    cells, duration = technology.cells, technology.timing.input == "duration"
    source = technology.rests_on("cells")
    if cells.kind == "current":
        assert cells.voltage_v is not None
        pulse = cells.pulse_ns or technology.timing.read_ns
        pulse += cells.pulse_ns_per_bit * max(work.conversions)
        time = pulse * (work.units if duration else 1)
        charge = load.charge_us / load.vectors * products  # µS
        return Entry(
            path,
            "cells",
            "row and cell read",
            work.rows_driven * products,
            cells.voltage_v**2 * charge * time * 1e-3,
            source,
        )
    if cells.kind == "lines":
        assert cells.voltage_v is not None and cells.capacitance_ff is not None
        pulses = load.level * work.units if duration else load.active
        lines = pulses / load.rows * work.rows_driven * products if load.rows else 0.0
        each = cells.capacitance_ff * cells.voltage_v**2 * scheme.hw.array.cols * 1e-3
        return Entry(path, "cells", "line pulsed", lines, lines * each, source)
    assert cells.energy_pj is not None
    number = {"array": work.reads, "column": work.columns_read, "cell": work.cells_read}
    action = {"array": "array read", "column": "column read", "cell": "cell read"}[cells.each]
    count = number[cells.each] * products
    return Entry(path, "cells", action, count, count * cells.energy_pj, source)

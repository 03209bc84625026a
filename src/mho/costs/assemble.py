"""From what was seen of a network to its `Cost`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mho.arguments import one_of
from mho.costs.area import Piece, pieces, standing
from mho.costs.capacity import Capacity, capacity
from mho.costs.energy import Entry, entries, entry
from mho.costs.replication import Replication, copies
from mho.costs.result import Cost, LayerCost
from mho.costs.seen import Seen
from mho.costs.technology import COMPONENTS, Technology
from mho.costs.work import Product, product
from mho.hardware import Hardware

SCHEDULES = ("sequential", "pipelined")
DIGITAL = "digital part"
CHIP = "chip"
ASSUMED = "inputs: every magnitude as likely as another (give data to measure them)"


def assemble(
    seen: Seen, hw: Hardware, technology: Technology, *, biased: set[str], schedule: str, replication: Replication,
    arrays: int | None, inputs: str, name: str,
) -> Cost:  # fmt: skip
    """Count, charge and sum up.

    Args:
        seen: Products, inputs and digital work.
        hw: Named in the result.
        technology: Constants.
        biased: Paths of the matrices to whose columns a bias is added.
        schedule: One of `SCHEDULES`.
        replication: Copies of layers.
        arrays: Arrays there are, or None.
        inputs: What is known of inputs and conductances, in words.
        name: Of the network.

    Raises:
        WrongSetting: An unknown schedule or layer; converters of infinite resolution.
    """
    one_of(schedule, "schedule", SCHEDULES)
    work = {path: product(m.scheme, technology, bias=path in biased, path=path) for path, m in seen.matrices.items()}
    times = {path: work[path].time_ns * m.products / seen.items for path, m in seen.matrices.items()}
    counts = {path: m.scheme.plan.arrays for path, m in seen.matrices.items()}
    copied = copies(replication, times, counts, arrays)
    needed = sum(counts[path] * copied[path] for path in counts)
    room = _room(seen, work, copied, needed, arrays, hw, technology)
    rows = [each for path in work for each in _of_matrix(path, seen, work[path], technology)]
    per_layer = {path: sum(e.energy_pj or 0.0 for e in rows if e.layer == path) for path in work}
    rows += _digital(seen, work, technology)
    layers = tuple(
        _layer(path, seen, work[path], copied[path], times[path] / copied[path], per_layer[path]) for path in work
    )
    macs, operations = seen.digital_macs / seen.items, seen.operations / seen.items
    rate = technology.timing.digital_per_ns
    found = Cost(
        name, hw.label, technology.name, technology.node_nm, _bits(hw, work), schedule, layers, tuple(rows),
        tuple(_area(seen, work, copied, arrays or needed, technology)), room, macs, operations,
        None if rate is None else (macs + operations) / rate, (), (),
    )  # fmt: skip
    rows += _whole(found, room, technology, arrays or needed)
    unknown = _unknown(rows, found.pieces, seen, technology)
    return replace(found, entries=tuple(rows), assumptions=(inputs, *_assumptions(technology)), not_counted=unknown)


def _of_matrix(path: str, seen: Seen, work: Product, technology: Technology) -> list[Entry]:
    matrix = seen.matrices[path]
    moved = matrix.inputs / seen.items * work.input_bits
    return list(entries(path, matrix.scheme, work, matrix.products / seen.items, matrix.load, moved, technology))


def _layer(path: str, seen: Seen, work: Product, copied: int, time_ns: float, energy_pj: float) -> LayerCost:
    matrix = seen.matrices[path]
    plan, products = matrix.scheme.plan, matrix.products / seen.items
    return LayerCost(
        path, plan.rows, plan.columns, plan.groups, len(plan.blocks), plan.arrays, copied, plan.utilisation, products,
        matrix.macs / seen.items, sum(work.conversions.values()) * products, time_ns, energy_pj,
    )  # fmt: skip


def _digital(seen: Seen, work: dict[str, Product], technology: Technology) -> list[Entry]:
    bits = max(product.input_bits for product in work.values())
    counts = {
        "digital_mac": seen.digital_macs, "digital_operation": seen.operations, "buffer": seen.elements * bits,
    }  # fmt: skip
    return [entry(DIGITAL, name, count / seen.items, technology) for name, count in counts.items() if count]


def _whole(found: Cost, room: Capacity, technology: Technology, arrays: int) -> list[Entry]:
    """What belongs to the chip: parts that draw power whatever happens, and writing where the network does not fit."""
    rows = []
    numbers = standing(technology, arrays)
    for part in technology.standing:
        count = numbers[part.each]
        energy = technology.power_mw(part) * count * found.interval_ns
        rows.append(Entry(CHIP, part.name, f"power of each {part.each}", count, energy, technology.rests_on(part.name)))
    if room.loads > 1:
        source = technology.rests_on("cells") if room.write_energy_pj is not None else ""
        rows.append(Entry(CHIP, "writing", "cell written", room.cells * room.writes, room.rewrite_energy_pj, source))
    return rows


def _area(
    seen: Seen, work: dict[str, Product], copied: dict[str, int], arrays: int, technology: Technology
) -> list[Piece]:
    found = []
    for path, counted in work.items():
        scheme = seen.matrices[path].scheme
        found += list(pieces(path, scheme, counted, scheme.plan.arrays * copied[path], technology))
    for part in technology.standing:
        count, one = standing(technology, arrays)[part.each], technology.area(part)
        found.append(
            Piece(CHIP, part.name, count, None if one is None else one * count, technology.rests_on(part.name))
        )
    return found


def _room(
    seen: Seen, work: dict[str, Product], copied: dict[str, int], needed: int, most: int | None, hw: Hardware,
    technology: Technology,
) -> Capacity:  # fmt: skip
    cells = sum(matrix.cells.written * copied[path] for path, matrix in seen.matrices.items())
    fullest = max(matrix.cells.fullest for matrix in seen.matrices.values())
    return capacity(needed, most, cells, fullest, hw.write_verify.writes(), technology)


def _bits(hw: Hardware, work: dict[str, Product]) -> str:
    """Resolutions in words."""
    inputs = sorted({product.input_bits for product in work.values()})
    adcs = sorted({bits for product in work.values() for bits in product.conversions})
    whole, levels = getattr(hw.encoding, "bits", None), hw.cell.levels
    weights = f"{whole}-bit" if whole else f"{levels}-state" if levels else "continuous"
    return f"{_list(inputs)}-bit inputs, {weights} weights, {_list(adcs)}-bit conversions"


def _list(numbers: list[Any]) -> str:
    return "/".join(f"{n:g}" for n in numbers)


def _assumptions(technology: Technology) -> tuple[str, ...]:
    return (
        "every product reads its inputs from a buffer anew, in as many bits as the DAC has, and writes its outputs in as many",
        f"an activation passes the interconnect {technology.hops:g} time{'s' * (technology.hops != 1)} on its way",
        f"a partial sum has {technology.partial_sum_bits} bits",
        "cells of unused columns and rows are not read",
        *(
            ["of the parts of tiles and chips that draw power whatever happens, the share of its arrays"]
            if technology.standing
            else []
        ),
    )


def _unknown(rows: list[Entry], covered: tuple[Piece, ...], seen: Seen, technology: Technology) -> tuple[str, ...]:
    missing = {
        f"energy of {each.component}: no constant ({_count(rows, each.component):,.0f} × {each.action})": None
        for each in rows if each.energy_pj is None
    }  # fmt: skip
    areas = {f"area of {piece.component}: no constant": None for piece in covered if piece.area_um2 is None}
    here = {piece.component for piece in covered}
    flat = [
        name for name in (*COMPONENTS, "writing")
        if name not in here and any(e.component == name and e.count for e in rows)
    ]  # fmt: skip
    calls = [f"{name} ({number} calls)" for name, number in seen.not_counted.items()]
    return (
        *missing, *areas,
        *([f"area of {', '.join(flat)}"] if flat else []),
        *_settings(seen),
        *(["reading the operands of digital products from memory"] if seen.digital_macs else []),
        *([f"operators that may multiply: {', '.join(calls)}"] if calls else []),
        *(["time of the digital part"] if technology.timing.digital_per_ns is None else []),
        "time of buffers and of the interconnect; memory outside the chip",
        *seen.unseen,
        *technology.left_out,
    )  # fmt: skip


def _settings(seen: Seen) -> list[str]:
    """Settings of the hardware that take time or energy of which nothing is known."""
    found: dict[str, None] = {}
    for scheme in (matrix.scheme for matrix in seen.matrices.values()):
        hw = scheme.hw
        said = {
            "repetitions of vectors that clip (on_clip: halve_input)": scheme.repeats,
            "adding slices of the input as charge (dac.shift_and_add: analog)": hw.dac.shift_and_add == "analog",
            "adding slices of weights as charge (encoding.shift_and_add: analog)":
                getattr(hw.encoding, "shift_and_add", "") == "analog",
            "finding the largest output of a batch (adc.range: batch)": hw.adc.range == "batch",
            "parts of the converters' circuit (adc.circuit): the technology's converter stands for any":
                hw.adc.circuit is not None,
            "what the resistance of wires takes (wires, ir_drop)": bool(hw.wires or hw.ir_drop.scale),
            f"what compensation '{hw.compensation.kind}' reads and corrects": hw.compensation.reads(),
        }  # fmt: skip
        found |= {words: None for words, true in said.items() if true}
    return list(found)


def _count(rows: list[Entry], component: str) -> float:
    return sum(row.count for row in rows if row.component == component)

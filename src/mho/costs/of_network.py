"""`cost`: energy, latency, area and capacity of a network on arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from mho.arguments import one_of, whole
from mho.chip import Chip
from mho.costs.area import Piece, pieces, standing
from mho.costs.capacity import Capacity, capacity
from mho.costs.energy import Entry, entries, entry
from mho.costs.replication import Replication, copies
from mho.costs.result import Cost, LayerCost
from mho.costs.scaling import check_node
from mho.costs.seen import Conductances, Seen, look, targets
from mho.costs.technology import COMPONENTS, Technology
from mho.costs.work import Product, product
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.nn import AnalogLayer
from mho.units import seconds

SCHEDULES = ("sequential", "pipelined")
DIGITAL = "digital part"
CHIP = "chip"


def cost(
    net: nn.Module | Chip,
    data: Iterable[Any] | None = None,
    *,
    example: Any = None,
    technology: Technology | str | Path | None = None,
    node_nm: float | None = None,
    age: str | float = 0.0,
    schedule: str = "sequential",
    replication: Replication = 1,
    arrays: int | None = None,
    max_batches: int = 2,
    name: str = "",
) -> Cost:
    """What one inference takes on the arrays of a converted network, or of a programmed chip.

    Every product is counted from its scheme, the list of conversions that also computes it. What reading the cells takes
    follows from their conductances (targets, or those of the chip at an age) and from the inputs: measured where there are
    data, else every code as likely as another.

    Args:
        net: What `to_analog` returned, or a `Chip`.
        data: Batches of inputs (labels unused), for a calibrated network; None: give an example.
        example: Inputs of one call: a batch, a tuple of arguments, or a dict. Only its shape counts.
        technology: Constants of the components: a name (`Technology.presets`), a YAML file, or a `Technology`; by default the
            one of the hardware's name, else ``generic``.
        node_nm: Another CMOS node that energies and areas are scaled to; times stay.
        age: Of a chip's conductances.
        schedule: ``sequential``: layer after layer; ``pipelined``: all layers at once, each on another inference.
        replication: Copies of layers: a number, numbers by path, or ``"balanced"``.
        arrays: Arrays there are; None: as many as are needed.
        max_batches: Batches of data that are looked at.
        name: Of the network, for the table.

    Raises:
        WrongSetting: No arrays; neither data nor an example; an unknown technology, schedule or layer; converters of infinite
            resolution; never calibrated; a component outside its range.
        BadInput: No batch.

    Example:
        >>> print(mho.cost(net, example=x))             # doctest: +SKIP
        >>> mho.cost(net, test).to_json("cost.json")    # doctest: +SKIP
    """
    one_of(schedule, "schedule", SCHEDULES)
    most = None if arrays is None else whole(arrays, "arrays")
    whole(max_batches, "max_batches")
    network, planes = _network(net, age)
    hw = getattr(getattr(network, "placement", None), "hardware", None) or _hardware(network)
    chosen = Technology.of(technology, hw)
    if node_nm is not None:
        chosen = chosen.replace(node_nm=check_node(node_nm))
    duration = chosen.timing.input == "duration"
    seen = look(network, data, example, planes, duration=duration, max_batches=max_batches)
    biased = _biased(network)
    work = {path: product(m.scheme, chosen, bias=path in biased, path=path) for path, m in seen.matrices.items()}
    times = {path: work[path].time_ns * m.products / seen.items for path, m in seen.matrices.items()}
    counts = {path: m.scheme.plan.arrays for path, m in seen.matrices.items()}
    copied = copies(replication, times, counts, most)
    needed = sum(counts[path] * copied[path] for path in counts)
    room = _room(seen, work, copied, needed, most, hw, chosen)
    rows = [each for path in work for each in _of_matrix(path, seen, work[path], chosen)]
    per_layer = {path: sum(e.energy_pj or 0.0 for e in rows if e.layer == path) for path in work}
    rows += _digital(seen, work, chosen)
    layers = tuple(
        _layer(path, seen, work[path], copied[path], times[path] / copied[path], per_layer[path]) for path in work
    )
    macs, operations = seen.digital_macs / seen.items, seen.digital.operations / seen.items
    rate = chosen.timing.digital_per_ns
    found = Cost(
        name or type(network).__name__, hw.label, chosen.name, chosen.node_nm, _bits(hw, work), schedule, layers, tuple(rows),
        tuple(_area(seen, work, copied, most or needed, chosen)), room, macs, operations,
        None if rate is None else (macs + operations) / rate, (), (),
    )  # fmt: skip
    rows += _whole(found, room, chosen, most or needed)
    notes = _assumptions(hw, chosen, measured=data is not None, seen=seen)
    unknown = _unknown(rows, found.pieces, seen, chosen, rate is None)
    return replace(found, entries=tuple(rows), assumptions=notes, not_counted=unknown)


def _network(net: nn.Module | Chip, age: str | float) -> tuple[nn.Module, Conductances]:
    """The network, and where the conductances of its cells come from."""
    t_s = seconds(age, "age")
    if isinstance(net, Chip):
        chip = net
        return chip.at(t_s), lambda path, *_: chip.arrays[path].conductances(t_s)
    if not isinstance(net, nn.Module):
        raise WrongSetting(
            f"net is a {type(net).__name__}", "give what mho.to_analog or mho.program returned", path="net"
        )
    if t_s:
        raise WrongSetting("a converted network has no age", "give a chip: mho.program(net)", path="age")
    return net, targets


def _hardware(net: nn.Module) -> Hardware:
    for module in net.modules():
        if isinstance(module, AnalogLayer):
            return module.hw
    raise WrongSetting("the network has no arrays", "convert it first: net = mho.to_analog(model, hw, example=x)")


def _biased(net: nn.Module) -> set[str]:
    """Paths of the matrices whose layer has a bias."""
    return {
        view.matrix.path
        for layer in net.modules() if isinstance(layer, AnalogLayer)
        for view in layer.views() if any("bias" in name for name, _ in layer.named_parameters(recurse=False))
    }  # fmt: skip


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
        "digital_mac": seen.digital_macs, "digital_operation": seen.digital.operations, "buffer": seen.digital.elements * bits,
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
    cells = sum(matrix.cells * copied[path] for path, matrix in seen.matrices.items())
    fullest = max(-(-m.cells // m.scheme.plan.arrays) for m in seen.matrices.values())
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


def _assumptions(hw: Hardware, technology: Technology, *, measured: bool, seen: Seen) -> tuple[str, ...]:
    inputs = (
        f"inputs and conductances as measured on {seen.items:,} inputs" if measured
        else "inputs: every code as likely as another (give data to measure them)"
    )  # fmt: skip
    return (
        inputs,
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


def _unknown(
    rows: list[Entry], covered: tuple[Piece, ...], seen: Seen, technology: Technology, timeless: bool
) -> tuple[str, ...]:
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
    repeats = any(matrix.scheme.repeats for matrix in seen.matrices.values())
    calls = [f"{name} ({number} calls)" for name, number in seen.digital.not_counted.items()]
    return (
        *missing, *areas,
        *([f"area of {', '.join(flat)}"] if flat else []),
        *(["repetitions of vectors that clip (on_clip: halve_input)"] if repeats else []),
        *(["reading the operands of digital products from memory"] if seen.digital_macs else []),
        *([f"operators that may multiply: {', '.join(calls)}"] if calls else []),
        *(["time of the digital part"] if timeless else []),
        "time of buffers and of the interconnect; memory outside the chip",
        *technology.left_out,
    )  # fmt: skip


def _count(rows: list[Entry], component: str) -> float:
    return sum(row.count for row in rows if row.component == component)

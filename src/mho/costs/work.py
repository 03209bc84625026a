"""What one product of a matrix with a vector takes, counted from its scheme: the list of conversions that executors walk."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from mho.costs.technology import Technology
from mho.crossbar import Scheme
from mho.errors import WrongSetting


@dataclass(frozen=True)
class Product:
    """Counts of one product, all arrays of the matrix together.

    Attributes:
        macs: Multiply-accumulates that it stands for.
        slices: Slices of the input, one after the other.
        slices_a_conversion: How many of these are added as charge and converted once.
        units: Units of the largest magnitude of a slice: 1 for bit by bit, 127 for 8 bits at once.
        input_bits: Bits of an input, its sign among them.
        reads: Reads of arrays.
        rows_driven: Rows that receive an input, over all reads.
        columns_read: Physical columns of those reads that hold a weight, or the reference of a group's weights on an array.
        cells_read: Unit cells where these columns cross the rows.
        conversions: Their number by resolution in bits.
        shift_adds: Conversions that are weighted and added to others of their row block.
        additions: Of partial sums, offsets and biases.
        multiplications: Of results with a scale.
        comparisons: Of inputs, where every vector has a range of its own.
        bits_buffered: Read from and written to buffers.
        bits_between: Of partial sums that go from one array to another.
        time_ns: That it takes.
    """

    macs: int
    slices: int
    slices_a_conversion: int
    units: int
    input_bits: int
    reads: int
    rows_driven: int
    columns_read: int
    cells_read: int
    conversions: dict[float, int]
    shift_adds: int
    additions: int
    multiplications: int
    comparisons: int
    bits_buffered: int
    bits_between: int
    time_ns: float


def product(scheme: Scheme, technology: Technology, *, bias: bool = False, path: str = "") -> Product:
    """Count one product.

    Args:
        scheme: Its conversions.
        technology: Phases, shared converters and times.
        bias: A bias is added to every column.
        path: Of the matrix, for messages.

    Raises:
        WrongSetting: A converter of infinite resolution, which nothing costs; columns that share a converter otherwise than the
            technology says.
    """
    hw, plan, timing = scheme.hw, scheme.plan, technology.timing
    if scheme.input_steps is None:
        raise WrongSetting("inputs of infinite resolution cost nothing that is known", "set dac.bits", path=path)
    converted = [[c for c in block if c.readout >= 0] for block in scheme.blocks]
    readouts, shared = len(scheme.readouts.columns), hw.encoding.shared_planes(hw.cell)
    separate, slices, phases = len(converted[0]) // readouts, hw.dac.cycles(), timing.phases
    columns, offset = plan.groups * plan.columns, bool(scheme.readouts.offset)
    once = [all(p in shared for p, c in enumerate(r.coefficients) if c) for r in scheme.readouts.columns]
    conversions: Counter[float] = Counter()
    for conversion in (c for block in converted for c in block):
        if conversion.half_steps is None:
            raise WrongSetting("outputs of infinite resolution cost nothing that is known", "set adc.bits", path=path)
        number = plan.groups * plan.arrays_per_group if once[conversion.readout] else columns
        conversions[resolution(conversion.half_steps, conversion.unipolar)] += number * phases
    several = separate * readouts * phases > 1
    blocks = len(plan.blocks)
    scaled = blocks if hw.mapping.scale in ("array", "column_of_array") else 1
    input_bits = math.ceil(resolution(scheme.input_steps, False))
    units = int(scheme.input_steps) if slices == 1 or hw.dac.slice_bits is None else 2**hw.dac.slice_bits - 1
    return Product(
        macs=columns * plan.rows,
        slices=slices, slices_a_conversion=slices // separate, units=units, input_bits=input_bits,
        reads=plan.arrays * slices * phases,
        rows_driven=plan.groups * plan.rows * plan.arrays_per_group * slices * phases,
        columns_read=plan.physical_columns * blocks * slices * phases,
        cells_read=plan.physical_columns * plan.rows * slices * phases,
        conversions=dict(conversions),
        shift_adds=sum(conversions.values()) if several else 0,
        additions=(blocks - 1 + offset + bias) * columns + offset * plan.groups * plan.rows,
        multiplications=(1 + offset) * scaled * columns,
        comparisons=plan.groups * plan.rows if scheme.per_vector else 0,
        bits_buffered=(plan.groups * plan.rows + columns) * input_bits,
        bits_between=(blocks - 1) * columns * technology.partial_sum_bits,
        time_ns=_time_ns(scheme, technology, units, separate, once, max(conversions), path),
    )  # fmt: skip


def resolution(half_steps: float, unipolar: bool) -> float:
    """Bits of a converter with codes -h … h, or 0 … h: log2 of their number, the one that symmetry loses among them."""
    return math.log2(half_steps + 1) if unipolar else math.log2(2 * half_steps + 2)


@dataclass(frozen=True)
class Cells:
    """The cells of a matrix.

    Attributes:
        columns: Columns of each plane, for one group, all its arrays together.
        written: Cells that are programmed; resistors are not.
        fullest: Those of them that the fullest array has.
    """

    columns: tuple[int, ...]
    written: int
    fullest: int

    @classmethod
    def of(cls, scheme: Scheme, planes: int) -> Cells:
        """Of so many planes."""
        plan, encoding = scheme.plan, scheme.hw.encoding
        shared, exact = encoding.shared_planes(scheme.hw.cell), encoding.exact_planes()
        columns = tuple(plan.arrays_per_group if p in shared else plan.columns for p in range(planes))
        of_group = sum(number for p, number in enumerate(columns) if p not in exact)
        most = min(plan.columns, plan.columns_per_array)
        on_array = sum(1 if p in shared else most for p in range(planes) if p not in exact)
        fullest = max(min(plan.groups_per_array(b), plan.groups) * b.rows for b in plan.blocks) * on_array
        return cls(columns, plan.groups * plan.rows * of_group, fullest)


def converters_per_array(scheme: Scheme, technology: Technology, path: str = "") -> int:
    """Converters that an array has.

    Raises:
        WrongSetting: The hardware and the technology differ in how many columns share one.
    """
    timing, described = technology.timing, scheme.hw.adc.columns
    stated = timing.columns_per_adc
    if stated is None or (described > 1 and timing.ours):
        stated = described
    if described not in (1, stated):
        raise WrongSetting(
            f"{described} columns share a converter (adc.columns), and {stated} in technology '{technology.name}'",
            f"set adc.columns to {stated}, or timing.columns_per_adc of the technology to {described}", path=path,
        )  # fmt: skip
    return math.ceil(scheme.hw.array.cols / stated)


def read_ns(technology: Technology, units: int) -> float:
    """Time of one read of an array."""
    timing = technology.timing
    return timing.settle_ns + timing.read_ns * (units if timing.input == "duration" else 1)


def conversion_ns(technology: Technology, bits: float) -> float:
    """Time of one conversion."""
    return technology.timing.conversion_ns + technology.timing.conversion_ns_per_bit * bits


def rate_hz(technology: Technology, bits: float, work: Product) -> float:
    """Conversions a second of one converter; one a read where they happen during it."""
    return 1e9 / (conversion_ns(technology, bits) or read_ns(technology, work.units) * work.slices_a_conversion)


def _time_ns(
    scheme: Scheme, technology: Technology, units: int, slices: int, once: list[bool], bits: float, path: str
) -> float:
    """Reading and converting the fullest array, for each of `slices` that are converted on their own, one after the other; both
    at the same time where that overlaps."""
    plan, timing = scheme.plan, technology.timing
    groups = min(max(plan.groups_per_array(block) for block in plan.blocks), plan.groups)
    columns = min(plan.columns, plan.columns_per_array)
    fullest = groups * sum(1 if shared else columns for shared in once)
    reading = read_ns(technology, units) * (scheme.hw.dac.cycles() // slices)
    converting = math.ceil(fullest / converters_per_array(scheme, technology, path)) * conversion_ns(technology, bits)
    each = max(reading, converting) if timing.overlap else reading + converting
    return slices * timing.phases * each

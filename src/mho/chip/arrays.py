"""The programmed arrays of one matrix: drawn once, then a function of age."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mho.chip.programmed import Programmed
from mho.crossbar import Cells, Operator, Scheme, effective, hold
from mho.crossbar.cells import decode, product_variance, weight_reference
from mho.crossbar.read_voltage import curved, draw_columns, shifted
from mho.crossbar.scaling import read_unit, scaled
from mho.crossbar.wires import seen_through
from mho.devices.faults import draw_faults, lay_over
from mho.devices.levels import round_to_levels
from mho.devices.variation import deviate, deviate_weights
from mho.errors import BadInput, WrongSetting
from mho.hardware import Correction, Hardware, Reading, State, Variation
from mho.rng import Stream


@dataclass(frozen=True)
class Arrays:
    """One matrix on a chip, in the order of reality: targets, programming, age, reading, faults over all.

    Attributes:
        scheme: The conversions of a product; names hardware and plan.
        draw: The address of everything random here.
        states: What each plane's cells were programmed to, and their frozen properties.
        faults: Masks (stuck low, stuck high) of each plane, or None.
        weights: The weights in units of their scale, (groups, columns, rows).
        scale: See `Cells`.
        adc_range: Largest output the ADC converts, (readouts, blocks), or None.
    """

    scheme: Scheme
    draw: Stream
    states: tuple[State, ...]
    faults: tuple[tuple[Tensor, Tensor], ...] | None
    weights: Tensor
    scale: Tensor
    adc_range: Tensor | None

    def source(self, t_s: float, read: int, operator: Operator, like: Tensor) -> Programmed:
        """The arrays at age `t_s` as a source of weights, compensation included, in the dtype and on the device of `like`."""
        cells = self.cells(t_s, read)
        held = hold(
            cells,
            operator,
            self.scheme,
            self.correction(cells),
            join=True,
            converters=self.converters,
            columns=self.columns,
        )
        whole = self.scheme.lossless and held.shift is None
        return Programmed(effective(held, operator) if whole else held, held.scheme, like)

    @property
    def targets(self) -> tuple[Tensor, ...]:
        """Target conductance of each plane, µS, (groups, columns, rows): made of the weights, for few ask for them."""
        return _targets(self.weights, self.scheme.hw)

    @cached_property
    def converters(self) -> dict[tuple[int, int], Tensor]:
        """Errors of the columns' converters by readout and block, for those whose circuit has any; drawn once per chip."""
        plan, found = self.scheme.plan, {}
        for c in self.scheme.conversions:
            if c.circuit is None or (c.readout, c.block) in found:
                continue
            array = plan.array_index(plan.blocks[c.block]).flatten()
            converter = numbered(array, self.scheme.hw.adc.columns)
            if self._is_of_a_shared_column(c.readout):
                first = self._first_columns
                array, converter = array[first], first // plan.columns
            half = c.half_steps or 0.0
            bits = int(half if c.unipolar else 2 * half).bit_length()
            draw = self.draw / ("converters", c.readout, c.block)
            found[c.readout, c.block] = c.circuit.draw(converter, array, bits, draw)
        return found

    @cached_property
    def columns(self) -> dict[tuple[int, int], Tensor] | None:
        """Offset and curve of the columns' read-out by readout and block, drawn once per chip; None where they have none."""
        hw, plan = self.scheme.hw, self.scheme.plan
        if not hw.columns:
            return None
        keys = dict.fromkeys((c.readout, c.block) for c in self.scheme.conversions if c.readout >= 0)
        drawn = {(k, b): draw_columns(hw.columns, plan, self.draw / ("columns", k, b)) for k, b in keys}
        return {at: v[self._first_columns] if self._is_of_a_shared_column(at[0]) else v for at, v in drawn.items()}

    def _is_of_a_shared_column(self, readout: int) -> bool:
        """Whether it reads reference columns alone, of which each group has one for all outputs."""
        if readout < 0:
            return False
        seen = [p for p, c in enumerate(self.scheme.readouts.columns[readout].coefficients) if c]
        return bool(seen) and all(self.states[p]["g"].shape[1] == 1 for p in seen)

    @property
    def _first_columns(self) -> Tensor:
        """For each column the first of its group, (groups · columns,)."""
        plan = self.scheme.plan
        return torch.arange(plan.groups * plan.columns) // plan.columns * plan.columns

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is held of the cells."""
        held = [
            *(value for state in self.states for value in state.values()),
            *(m for pair in self.faults or () for m in pair),
        ]
        return sum(tensor.nbytes for tensor in (*held, self.weights, self.scale))

    def conductances(self, t_s: float, read: int = 0) -> list[Tensor]:
        """Conductances (µS) of each plane as evaluation `read` at age `t_s` sees them."""
        hw, found = self.scheme.hw, []
        targets: tuple[Tensor, ...] = ()
        for p, state in enumerate(self.states):
            if p in hw.encoding.exact_planes():
                found.append(state["g"])
                continue
            draw = self.draw / ("read", read, p)
            g = hw.cell.read(hw.cell.age(state, t_s), state, t_s, draw)
            for i, variation in enumerate(hw.variations):
                if variation.redraw == "read" and not variation.on_weights:
                    targets = targets or self.targets
                    g = deviate(g, targets[p], variation, hw.cell, draw, f"variation {i}")
            found.append(g if self.faults is None else lay_over(g, self.faults[p], hw.cell))
        return found

    def cells(self, t_s: float, read: int = 0) -> Cells:
        """What the arrays hold at age `t_s`, without compensation."""
        readouts = self.scheme.readouts
        weight = decode(seen_through(self.conductances(t_s, read), self.scheme), readouts)
        for i, variation in enumerate(self.scheme.hw.variations):
            if variation.on_weights and variation.redraw in ("program", "read"):
                draw = self.draw if variation.redraw == "program" else self.draw / ("read", read)
                change = self._change(variation, draw, f"weight variation {i}")
                weight = weight + torch.stack([change * share for share in readouts.shares])
        if not (self.scheme.drawn_per_product or self.scheme.drawn_per_conversion):
            return Cells(weight, self.scale)
        given = (weight, self.targets, self.weights, self.scale, self.scheme)
        return Cells(weight, self.scale, product_variance(*given), product_variance(*given, "conversion"))

    def correction(self, cells: Cells) -> Correction:
        """What the hardware's compensation makes of reading `cells`."""
        compensation = self.scheme.hw.compensation
        if not compensation.reads():
            return Correction()
        return compensation.correct(replace(self._first, now=self._read(cells, "compensation now")))

    @cached_property
    def _first(self) -> Reading:
        """What the compensation measures later readings against; read once, as on a chip."""
        if self.scheme.hw.compensation.reference_is_ideal():
            reference = decode(self.targets, self.scheme.readouts)
        else:
            reference = self._read(self.cells(0.0), "compensation reference")
        plan = self.scheme.plan
        arrays = tuple([plan.array_index(block).to(reference.device) for block in plan.blocks])
        blocks = tuple([(block.start, block.stop) for block in plan.blocks])
        factors = tuple([readout.factor for readout in self.scheme.readouts.columns])
        return Reading(reference, reference, blocks, arrays, self.scale, factors)

    def _change(self, variation: Variation, draw: Stream, purpose: str) -> Tensor:
        """What a variation adds to the weights."""
        reference = weight_reference(self.weights, self.scale, self.scheme, variation)
        return deviate_weights(self.weights, variation, draw, purpose, reference) - self.weights

    def _read(self, cells: Cells, purpose: str) -> Tensor:
        """Column outputs for one-hot inputs at the DAC's full range, through noise and ADC where the compensation reads
        the array; IR drop of a single cell's current is left out."""
        hw = self.scheme.hw
        if not hw.compensation.measured():
            return cells.weight
        unit = read_unit(self.scale, self.scheme.plan, hw.mapping)
        weight, drawn = cells.weight, cells.variance
        if unit is not None:
            weight, drawn = weight * unit, None if drawn is None else drawn * unit**2
        spread = hw.noise.input**2 * weight.square()
        spread = spread if drawn is None else spread + drawn
        noise = (self.draw / purpose).normal("noise", weight.shape, like=weight) if self.scheme.noisy else None
        seen = torch.empty_like(weight)
        for c in self.scheme.conversions:
            if c.readout >= 0:
                block = self.scheme.plan.blocks[c.block]
                at = (c.readout, ..., slice(block.start, block.stop))
                y = weight[at] if noise is None else weight[at] + (c.noise**2 + spread[at]).sqrt() * noise[at]
                errors = self.converters.get((c.readout, c.block))
                columns = y.flatten(0, 1)  # a reading of one row gives all columns
                if self.columns is not None:
                    bends = self.columns[c.readout, c.block].to(columns).T[..., None]
                    columns = curved(shifted(columns, torch.ones_like(columns), bends, hw.columns), bends, hw.columns)
                bound = c.range(self.adc_range, y.dtype, columns)
                seen[at] = c.convert(columns, bound, errors, 0).reshape(y.shape)
        return seen if unit is None else seen / unit


def program_arrays(
    weight: Tensor, operator: Operator, scheme: Scheme, draw: Stream, adc_range: Tensor | None, path: str,
    rank: Tensor | None, first: Stream | None, layer: str,
) -> Arrays:  # fmt: skip
    """Write one matrix onto arrays.

    Args:
        weight: In torch's layout.
        operator: The operator that reads it.
        scheme: The conversions of its product.
        draw: The address of everything random in these arrays.
        adc_range: Largest output the ADC converts.
        path: For messages.
        rank: Share of the network's weights that matter less than each, in the weight's layout, for selective
            write-verify.
        first: The address of the first programming, whose faulty cells stay; None: this is it.
        layer: Path of its layer, for messages.

    Raises:
        BadInput: Weights that are not finite, all zero, or constant where their spread is a noise's reference.
    """
    matrix, hw = operator.to_matrix(weight.detach()), scheme.hw
    matrix = matrix if matrix.dtype == torch.float64 else matrix.float()
    check_weight(matrix, hw, path, layer)
    unit, scale = scaled(matrix, scheme)
    verified = None
    if hw.write_verify.share < 1:
        if rank is None:
            raise WrongSetting(
                f"write_verify.share = {hw.write_verify.share:g}, but nobody knows which weights matter",
                "call mho.training.rank_weights(net, batches) first", path=path,
            )  # fmt: skip
        verified = operator.to_matrix(rank) >= 1 - hw.write_verify.share
    return program_matrix(unit, scale, scheme, draw, adc_range, verified, first)


def numbered(array: Tensor, shared: int) -> Tensor:
    """Number of each column's converter, (columns,): `shared` neighbouring columns of an array have one, and no arrays do.

    Args:
        array: Number of the array of each column, (columns,), rising.
        shared: Columns that share a converter.
    """
    place = torch.arange(len(array)) - torch.searchsorted(array, array)
    return (place % shared == 0).cumsum(0) - 1


def program_matrix(
    unit: Tensor, scale: Tensor, scheme: Scheme, draw: Stream, adc_range: Tensor | None = None,
    verified: Tensor | None = None, first: Stream | None = None,
) -> Arrays:  # fmt: skip
    """Write weights in units of their scale, (groups, columns, rows), onto arrays; see `program_arrays`.

    `verified` says which weights are written until they fit; None: all of them.
    """
    hw, states, faults = scheme.hw, [], None
    targets = _targets(unit, hw)
    for p, target in enumerate(targets):
        if p in hw.encoding.exact_planes():
            states.append({"g": target})
            continue
        at = draw / ("program", p)
        state = dict(hw.cell.program(target, at))
        state = _write_again(state, target, hw, at, verified)
        for i, variation in enumerate(hw.variations):
            if variation.redraw == "program" and not variation.on_weights:
                state["g"] = deviate(state["g"], target, variation, hw.cell, at, f"variation {i}")
        states.append(state)
    if hw.faults:
        born = draw if first is None else first
        faults = tuple([draw_faults(t.shape, hw.faults, born / ("faults", p)) for p, t in enumerate(targets)])
    return Arrays(scheme, draw, tuple(states), faults, unit, scale, adc_range)


def _targets(unit: Tensor, hw: Hardware) -> tuple[Tensor, ...]:
    """Target conductance of each plane, µS, for weights in units of their scale."""
    exact, planes = hw.encoding.exact_planes(), hw.encoding.encode(unit, hw.cell)
    return tuple([t if p in exact else round_to_levels(t, hw.cell) for p, t in enumerate(planes)])


def _write_again(state: State, target: Tensor, hw: Hardware, draw: Stream, verified: Tensor | None) -> State:
    """The state of the cells of a plane after the writes that follow the first; each write is a draw of its own."""
    for again in range(1, hw.write_verify.rounds):
        other = hw.cell.program(target, draw / "again" / again)
        closer = (other["g"] - target).abs() < (state["g"] - target).abs()
        if verified is not None and closer.shape == verified.shape:  # a reference column is always verified
            closer = closer & verified
        state = {name: torch.where(closer, other[name], value) for name, value in state.items()}
    return state


def check_weight(matrix: Tensor, hw: Hardware, path: str, layer: str) -> None:
    """Refuse a matrix that cannot be programmed.

    Raises:
        BadInput: Weights that are not finite, all zero, or constant where their spread is a noise's reference.
    """
    if matrix.is_meta:
        raise BadInput("weights without values, on the device 'meta'", "load the weights first", path=path)
    if not bool(torch.isfinite(matrix).all()):
        count = int((~torch.isfinite(matrix)).sum())
        raise BadInput(
            f"{count} of {matrix.numel()} weights are not finite", "load or train the weights first", path=path
        )
    if not bool(matrix.any()):
        raise BadInput(
            "every weight is 0: there is nothing to program",
            "load or train the weights first; where they start at 0 (B of LoRA, a residual's scale), keep the layer digital "
            f"with hw.replace(digital=['{layer}'])",
            path=path,
        )
    for variation in hw.variations:
        spread = variation.relative_to == "weight_std" and variation.sigma
        if spread and bool((matrix == matrix.flatten()[0]).all()):
            raise BadInput(
                "every weight is the same, so a variation relative to 'weight_std' would be nothing",
                "use relative_to: weight_max, or keep the layer digital",
                path=path,
            )

"""The programmed arrays of one matrix: drawn once, then a function of age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mho.chip.programmed import Programmed
from mho.crossbar import Cells, Operator, Scheme, effective, hold
from mho.crossbar.cells import decode, product_variance, scaled, spread_of
from mho.crossbar.held import with_factors
from mho.crossbar.reference import convert
from mho.crossbar.scaling import read_unit
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
        targets: Target conductance of each plane, µS, (groups, columns, rows).
        states: What each plane's cells were programmed to, and their frozen properties.
        faults: Masks (stuck low, stuck high) of each plane, or None.
        weights: The weights in units of their scale, (groups, columns, rows).
        scale: See `Cells`.
        adc_range: Largest output the ADC converts, (readouts, blocks), or None.
    """

    scheme: Scheme
    draw: Stream
    targets: tuple[Tensor, ...]
    states: tuple[State, ...]
    faults: tuple[tuple[Tensor, Tensor], ...] | None
    weights: Tensor
    scale: Tensor
    adc_range: Tensor | None

    def source(self, t_s: float, read: int, operator: Operator, like: Tensor) -> Programmed:
        """The arrays at age `t_s` as a source of weights, compensation included, in the dtype and on the device of `like`."""
        cells = self.cells(t_s, read)
        held, correction = hold(cells, operator, self.scheme), self.correction(cells)
        factor, shift = correction.factor, correction.shift
        if factor is not None:
            conversions = {c.operand: c for c in self.scheme.conversions if c.readout >= 0}
            places = map(conversions.get, range(len(held.operands)))
            held = with_factors(held, [None if c is None else factor[c.readout, c.block].flatten() for c in places])
        if shift is not None:
            held = held._replace(shift=shift.flatten())
        whole = self.scheme.lossless and shift is None
        return Programmed(effective(held, operator) if whole else held, self.scheme, like)

    def conductances(self, t_s: float, read: int = 0) -> list[Tensor]:
        """Conductances (µS) of each plane as evaluation `read` at age `t_s` sees them."""
        hw, found = self.scheme.hw, []
        on_cells = [(i, v) for i, v in enumerate(hw.variations) if v.redraw == "read" and not v.on_weights]
        for p, state in enumerate(self.states):
            draw = self.draw / ("read", read, p)
            g = hw.cell.read(hw.cell.age(state, t_s), state, t_s, draw)
            for i, variation in on_cells:
                g = deviate(g, self.targets[p], variation, hw.cell, draw, f"variation {i}")
            found.append(g if self.faults is None else lay_over(g, self.faults[p], hw.cell))
        return found

    def cells(self, t_s: float, read: int = 0) -> Cells:
        """What the arrays hold at age `t_s`, without compensation."""
        readouts = self.scheme.readouts
        weight = decode(self.conductances(t_s, read), readouts)
        for i, variation in enumerate(self.scheme.hw.variations):
            if variation.on_weights and variation.redraw != "mvm":
                draw = self.draw if variation.redraw == "program" else self.draw / ("read", read)
                change = self._change(variation, draw, f"weight variation {i}")
                weight = weight + torch.stack([change * share for share in readouts.shares])
        return Cells(weight, self.scale, product_variance(weight, self.targets, self.weights, self.scheme))

    def correction(self, cells: Cells) -> Correction:
        """What the hardware's compensation makes of reading `cells`."""
        compensation, plan = self.scheme.hw.compensation, self.scheme.plan
        if not compensation.reads():
            return Correction()
        now = self._read(cells, self.draw / "compensation now")
        arrays = tuple([plan.array_index(block).to(now.device) for block in plan.blocks])
        blocks = tuple([(block.start, block.stop) for block in plan.blocks])
        factors = tuple([readout.factor for readout in self.scheme.readouts.columns])
        return compensation.correct(Reading(now, self._reference, blocks, arrays, self.scale, factors))

    @cached_property
    def _reference(self) -> Tensor:
        """What the compensation measures later readings against; read once, as on a chip."""
        if self.scheme.hw.compensation.reference_is_ideal():
            return decode(self.targets, self.scheme.readouts)
        return self._read(self.cells(0.0), self.draw / "compensation reference")

    def _change(self, variation: Variation, draw: Stream, purpose: str) -> Tensor:
        """What a variation adds to the weights."""
        std, largest = spread_of(self.weights), self.weights.abs().amax()
        return deviate_weights(self.weights, variation, draw, purpose, std, largest) - self.weights

    def _read(self, cells: Cells, draw: Stream) -> Tensor:
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
        noise = draw.normal("noise", weight.shape, like=weight) if self.scheme.noisy else torch.zeros_like(weight)
        seen = torch.empty_like(weight)
        for c in self.scheme.conversions:
            if c.readout >= 0:
                block = self.scheme.plan.blocks[c.block]
                at = (c.readout, ..., slice(block.start, block.stop))
                y = weight[at] + (c.noise**2 + spread[at]).sqrt() * noise[at]
                seen[at] = convert(y, c.range(self.adc_range, y.dtype), c.half_steps, c.unipolar)
        return seen if unit is None else seen / unit


def program_arrays(
    weight: Tensor, operator: Operator, scheme: Scheme, draw: Stream, adc_range: Tensor | None, path: str,
    rank: Tensor | None = None,
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

    Raises:
        BadInput: Weights that are not finite, all zero, or constant where their spread is a noise's reference.
    """
    matrix, hw = operator.to_matrix(weight.detach()), scheme.hw
    matrix = matrix if matrix.dtype == torch.float64 else matrix.float()
    _check(matrix, hw, path)
    unit, scale = scaled(matrix, scheme)
    verified = None
    if hw.write_verify.share < 1:
        if rank is None:
            raise WrongSetting(
                f"write_verify.share = {hw.write_verify.share:g}, but nobody knows which weights matter",
                "call mho.training.rank_weights(net, batches) first", path=path,
            )  # fmt: skip
        verified = operator.to_matrix(rank) >= 1 - hw.write_verify.share
    return program_matrix(unit, scale, scheme, draw, adc_range, verified)


def program_matrix(
    unit: Tensor, scale: Tensor, scheme: Scheme, draw: Stream, adc_range: Tensor | None = None,
    verified: Tensor | None = None,
) -> Arrays:  # fmt: skip
    """Write weights in units of their scale, (groups, columns, rows), onto arrays; see `program_arrays`.

    `verified` says which weights are written until they fit; None: all of them.
    """
    hw = scheme.hw
    targets = tuple(hw.encoding.encode(unit, hw.cell))
    if hw.cell.levels is not None:
        targets = tuple([round_to_levels(target, hw.cell) for target in targets])
    on_cells = [(i, v) for i, v in enumerate(hw.variations) if v.redraw == "program" and not v.on_weights]
    states = []
    for p, target in enumerate(targets):
        at = draw / ("program", p)
        state = _write(target, hw, at, verified)
        for i, variation in on_cells:
            state["g"] = deviate(state["g"], target, variation, hw.cell, at, f"variation {i}")
        states.append(state)
    return Arrays(scheme, draw, targets, tuple(states), faults_of(targets, hw, draw), unit, scale, adc_range)


def faults_of(targets: Sequence[Tensor], hw: Hardware, draw: Stream) -> tuple[tuple[Tensor, Tensor], ...] | None:
    """The faulty cells of each plane, at the address `draw`; None where the hardware has none."""
    if not hw.faults:
        return None
    return tuple([draw_faults(target.shape, hw.faults, draw / ("faults", p)) for p, target in enumerate(targets)])


def _write(target: Tensor, hw: Hardware, draw: Stream, verified: Tensor | None) -> State:
    """The state of the cells of a plane after as many writes as they get; each write is a draw of its own."""
    state = dict(hw.cell.program(target, draw))
    for again in range(1, hw.write_verify.rounds):
        other = hw.cell.program(target, draw / "again" / again)
        closer = (other["g"] - target).abs() < (state["g"] - target).abs()
        if verified is not None and closer.shape == verified.shape:  # a reference column is always verified
            closer = closer & verified
        state = {name: torch.where(closer, other[name], value) for name, value in state.items()}
    return state


def _check(matrix: Tensor, hw: Hardware, path: str) -> None:
    if not bool(torch.isfinite(matrix).all()):
        count = int((~torch.isfinite(matrix)).sum())
        raise BadInput(
            f"{count} of {matrix.numel()} weights are not finite", "load or train the weights first", path=path
        )
    if not bool(matrix.any()):
        raise BadInput("every weight is 0: there is nothing to program", "load or train the weights first", path=path)
    needs_spread = any(variation.relative_to == "weight_std" and variation.sigma for variation in hw.variations)
    if needs_spread and bool((matrix == matrix.flatten()[0]).all()):
        raise BadInput(
            "every weight is the same, so a variation relative to 'weight_std' would be nothing",
            "use relative_to: weight_max, or keep the layer digital",
            path=path,
        )

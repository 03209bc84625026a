"""The programmed arrays of one matrix: drawn once, then a function of age."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mho.crossbar.cells import Cells, decode, gains, product_variance
from mho.crossbar.operator import Operator
from mho.crossbar.plan import Plan
from mho.crossbar.scaling import normalise, weight_scale
from mho.devices.faults import draw_faults, lay_over
from mho.devices.levels import round_to_levels
from mho.devices.variation import deviate, deviate_weights
from mho.errors import BadInput, WrongSetting
from mho.hardware import Hardware, State, Variation
from mho.kernels import quantise
from mho.rng import Stream


@dataclass(frozen=True)
class Arrays:
    """One matrix on a chip, in the order of reality: targets, programming, age, reading, faults over all.

    Attributes:
        hw: The hardware.
        plan: Where the matrix stands.
        draw: The address of everything random here.
        targets: Target conductance of each plane, µS, (groups, columns, rows).
        states: What each plane's cells were programmed to, and their frozen properties.
        faults: Masks (stuck low, stuck high) of each plane, or None.
        weights: The weights in units of their scale, (groups, columns, rows).
        scale: See `Cells`.
        adc_range: Largest output the ADC converts, (readouts, blocks), or None.
    """

    hw: Hardware
    plan: Plan
    draw: Stream
    targets: tuple[Tensor, ...]
    states: tuple[State, ...]
    faults: tuple[tuple[Tensor, Tensor], ...] | None
    weights: Tensor
    scale: Tensor
    adc_range: Tensor | None

    def conductances(self, t_s: float, read: int = 0) -> list[Tensor]:
        """Conductances (µS) of each plane as evaluation `read` at age `t_s` sees them."""
        return [self._plane(p, t_s, self.draw / "read" / read) for p in range(len(self.states))]

    def cells(self, t_s: float, read: int = 0) -> Cells:
        """What the analog product computes with at age `t_s`, compensation included."""
        cells = self.uncompensated(t_s, read)
        remedy = self.hw.compensation
        if remedy.kind == "none":
            return cells
        now = self._reading(cells, self.draw / "compensation now") if remedy.measured() else cells.weight
        reference = self._reference()
        factors = []
        for block in self.plan.blocks:
            part = slice(block.start, block.stop)
            index = self.plan.array_index(block).to(now.device)
            factors.append(remedy.factor(now[..., part], reference[..., part], index))
        return cells._replace(gain=cells.gain * torch.stack(factors, dim=1))

    def uncompensated(self, t_s: float, read: int = 0) -> Cells:
        """The same without compensation."""
        return self._as_cells(self._weight(self.conductances(t_s, read), self.draw / "read" / read))

    def _plane(self, p: int, t_s: float, draw: Stream) -> Tensor:
        cell, state = self.hw.cell, self.states[p]
        g = cell.read(cell.age(state, t_s), state, t_s, draw / p)
        for i, variation in enumerate(self.hw.variations):
            if variation.redraw == "read" and not variation.on_weights:
                g = deviate(g, self.targets[p], variation, cell, draw / p, f"variation {i}")
        return g if self.faults is None else lay_over(g, self.faults[p], cell)

    def _weight(self, planes: list[Tensor], draw: Stream) -> Tensor:
        """What each readout multiplies with, (readouts, groups, columns, rows)."""
        weight = decode(planes, self.hw.encoding.readouts(self.hw.cell))
        for i, variation in enumerate(self.hw.variations):
            if variation.on_weights and variation.redraw != "mvm":
                source = self.draw if variation.redraw == "program" else draw
                weight = weight + self._shift(variation, source, f"weight variation {i}")
        return weight

    def _shift(self, variation: Variation, draw: Stream, purpose: str) -> Tensor:
        std, largest = self.weights.std(correction=0), self.weights.abs().amax()
        return deviate_weights(self.weights, variation, draw, purpose, std, largest) - self.weights

    def _as_cells(self, weight: Tensor) -> Cells:
        readouts = self.hw.encoding.readouts(self.hw.cell)
        variance = product_variance(weight, list(self.targets), self.weights, self.hw)
        return Cells(weight, gains(self.scale, readouts), self.scale, variance)

    def _reference(self) -> Tensor:
        """What reading each cell gave when the compensation's reference was taken."""
        remedy = self.hw.compensation
        if remedy.reference_is_ideal():
            return decode(list(self.targets), self.hw.encoding.readouts(self.hw.cell))
        fresh = self.uncompensated(0.0)
        return self._reading(fresh, self.draw / "compensation reference") if remedy.measured() else fresh.weight

    def _reading(self, cells: Cells, draw: Stream) -> Tensor:
        """Column outputs for one-hot inputs at the DAC's full range, through noise and ADC; IR drop of a single cell's
        current is left out."""
        weight = cells.weight
        variance = self.hw.noise.output**2 + self.hw.noise.input**2 * weight.square()
        if cells.variance is not None:
            variance = variance + cells.variance
        if bool(variance.any()):
            weight = weight + variance.sqrt() * draw.normal("noise", weight.shape, like=weight)
        half = self.hw.adc.half_steps
        if half is None:
            return weight
        bounds = torch.full((len(weight), len(self.plan.blocks)), self.hw.adc.bound).to(weight)
        if self.adc_range is not None:
            bounds = self.adc_range.to(weight)
        columns = bounds[:, :, None, None].expand(-1, -1, self.plan.groups, self.plan.columns)
        reach = self.plan.spread(columns)
        return quantise(weight, reach, half) * reach


def program_arrays(
    weight: Tensor, operator: Operator, hw: Hardware, draw: Stream, adc_range: Tensor | None, path: str,
    rank: Tensor | None = None,
) -> Arrays:  # fmt: skip
    """Write one matrix onto arrays.

    Args:
        weight: In torch's layout.
        operator: The operator that reads it.
        hw: The hardware.
        draw: The address of everything random in these arrays.
        adc_range: Largest output the ADC converts.
        path: For messages.
        rank: Share of the network's weights that matter less than each, in the weight's layout, for selective
            write-verify.

    Raises:
        BadInput: Weights that are not finite, all zero, or constant where their spread is a noise's reference.
    """
    matrix = operator.to_matrix(weight.detach())
    matrix = matrix if matrix.dtype == torch.float64 else matrix.float()
    _check(matrix, hw, path)
    plan = operator.plan(weight, hw.array, hw.encoding.columns_per_weight())
    scale = weight_scale(matrix, plan, hw.mapping)
    unit = normalise(matrix, scale, plan, clip=hw.mapping.clip_sigma is not None)
    verified = None
    if hw.write_verify.share < 1:
        if rank is None:
            raise WrongSetting(
                f"write_verify.share = {hw.write_verify.share:g}, but nobody knows which weights matter",
                "call mho.training.rank_weights(net, batches) first", path=path,
            )  # fmt: skip
        verified = operator.to_matrix(rank) >= 1 - hw.write_verify.share
    return program_matrix(unit, scale, plan, hw, draw, adc_range, verified)


def program_matrix(
    unit: Tensor, scale: Tensor, plan: Plan, hw: Hardware, draw: Stream, adc_range: Tensor | None = None,
    verified: Tensor | None = None,
) -> Arrays:  # fmt: skip
    """Write weights in units of their scale, (groups, columns, rows), onto arrays; see `program_arrays`.

    `verified` says which weights are written until they fit; None: all of them.
    """
    targets = tuple(round_to_levels(target, hw.cell) for target in hw.encoding.encode(unit, hw.cell))
    states = []
    for p, target in enumerate(targets):
        state = _write(target, hw, draw / "program" / p, verified)
        for i, variation in enumerate(hw.variations):
            if variation.redraw == "program" and not variation.on_weights:
                g = deviate(state["g"], target, variation, hw.cell, draw / "program" / p, f"variation {i}")
                state["g"] = g
        states.append(state)
    faults = tuple(draw_faults(t.shape, hw.faults, draw / "faults" / p) for p, t in enumerate(targets))
    return Arrays(hw, plan, draw, targets, tuple(states), faults if hw.faults else None, unit, scale, adc_range)


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

"""What surrounds the cells: array size, scaling, converters, noise per product, IR drop."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from mho.errors import WrongSetting
from mho.hardware.circuit import CIRCUITS, Circuit
from mho.hardware.definition import Definition
from mho.hardware.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor


class Array(Spec):
    """Size of one crossbar array, in unit cells."""

    rows: int = Field(default=512, ge=1)
    """Input lines; a matrix with more rows is cut into row blocks, each with its own converter."""
    cols: int = Field(default=512, ge=1)
    """Output lines, the reference columns of an encoding among them; cutting along columns changes no number, only counts and
    per-array compensation."""


class Mapping(Spec):
    """How weights are scaled to the unit interval before they are encoded."""

    scale: Literal["tensor", "column", "array", "column_of_array", "unit", "none"] = "column"
    """One scale for the matrix, for each output column, for each array, or for each column of each array. unit: a full
    conductance is a weight of 1, and larger weights are clipped (networks trained within [-1, 1], as WAGE does). none: cells are
    filled as for 'array', but the columns are read in units of a weight of 1: `noise.output` and `adc.bound` do not follow
    the size of the weights (the default of AIHWKit, `weight_scaling_omega` = 0)."""
    clip_sigma: float | None = Field(default=None, gt=0)
    """Weights beyond this many standard deviations (of the tensor) are clipped; none: the largest weight is kept."""

    @model_validator(mode="after")
    def _possible(self) -> Mapping:
        if self.scale == "unit" and self.clip_sigma is not None:
            raise WrongSetting("clip_sigma has no effect where weights are clipped at 1", "leave it out, or set another scale",
                               path="clip_sigma")  # fmt: skip
        return self

    @property
    def clips(self) -> bool:
        """True where some weights may lie beyond a full conductance."""
        return self.clip_sigma is not None or self.scale == "unit"


class Converter(Spec):
    """A symmetric uniform quantiser: codes -h … h with h = steps / 2."""

    bits: int | None = Field(default=8, ge=2, le=24)
    """Resolution; 2^bits - 2 steps (8 bits: 254 steps, codes ±127). None: no quantisation, no clipping."""
    steps: int | None = Field(default=None, ge=1)
    """Number of steps, instead of bits."""

    @model_validator(mode="before")
    @classmethod
    def _one_of(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("steps") is not None:
            if data.get("bits") is not None:
                raise WrongSetting("both 'bits' and 'steps' are given", "give one of them (bits: null, steps: ...)")
            return {**data, "bits": None}
        return data

    @property
    def half_steps(self) -> float | None:
        """h, the largest code; None when nothing is quantised."""
        if self.steps is not None:
            return self.steps / 2
        return None if self.bits is None else (2**self.bits - 2) / 2


@dataclass(frozen=True)
class InputSlice:
    """A part v of the quantised input u that the array sees by itself; u = Σ weight · v over the slices.

    Attributes:
        take: From u to v, both within [-1, 1]; None: v is u. It needs no gradient: each slice has that of its share of u.
        weight: What the digital sum multiplies the slice's converted outputs with.
        digit: Lowest bit and bits of the digit of the code's magnitude that `take` gives as a share of the largest, for
            executors that cut codes themselves; None: only `take` knows.
    """

    take: Callable[[Tensor], Tensor] | None = None
    weight: float = 1.0
    digit: tuple[int, int] | None = None


def digit(whole: Tensor, place: int, width: int) -> Tensor:
    """The digit of `width` bits that begins at bit `place` of whole numbers, 0 or more."""
    return (whole / 2**place).floor().remainder(2**width)


def _slice(u: Tensor, half: int, place: int, width: int) -> Tensor:
    """A digit of the code's magnitude, with its sign, as a share of the largest."""
    exact = u if u.element_size() >= 4 else u.float()
    code = (exact * half).round().clamp(-half, half)
    return (code.sign() * digit(code.abs(), place, width) / (2**width - 1)).to(u.dtype)


class DAC(Converter):
    """Digital-to-analog converter at the rows."""

    later: ClassVar[tuple[str, ...]] = ("slice_bits", "shift_and_add")
    range: Literal["calibrated", "learned", "abs_max"] = "calibrated"
    """calibrated: fixed per layer from data; learned: a parameter, trained; abs_max: each input vector's own largest
    magnitude (each array has its own)."""
    slice_bits: int | None = Field(default=None, ge=1, le=16)
    """Inputs come in slices of so many bits of the magnitude, the lowest first, each with the input's sign: 1 is bit by bit.
    Every slice has a product and a conversion of its own. None: an input comes whole, at one of all its levels."""
    shift_and_add: Literal["digital", "analog"] = "digital"
    """analog: what the slices of an input give is weighted and added as charge, and converted once. Its number is that of an
    input given whole; its time and energy are not."""

    @model_validator(mode="after")
    def _sliced(self) -> DAC:
        half = self.half_steps
        if self.slice_bits is None and self.shift_and_add == "analog":
            raise WrongSetting("an input that comes whole is not added up", "set dac.slice_bits", path="shift_and_add")
        if self.slice_bits is not None and half is None:
            raise WrongSetting("slices are of codes, and this converter has none", "set dac.bits", path="slice_bits")
        if self.slice_bits is not None and half != int(half or 0):
            raise WrongSetting(
                f"codes up to {half:g} have no digits", "give an even number of steps", path="slice_bits"
            )
        return self

    def cycles(self) -> int:
        """Slices in which an input is given to the array, one after the other."""
        half, width = self.half_steps, self.slice_bits
        return 1 if half is None or width is None else math.ceil(math.ceil(math.log2(half + 1)) / width)

    def slices(self) -> tuple[InputSlice, ...]:
        """The parts of an input whose products are converted on their own."""
        half, width = self.half_steps, self.slice_bits
        if half is None or width is None or self.cycles() == 1 or self.shift_and_add == "analog":
            return (InputSlice(),)
        places = range(0, math.ceil(math.log2(half + 1)), width)
        return tuple(
            InputSlice(
                functools.partial(_slice, half=int(half), place=place, width=width),
                2**place * (2**width - 1) / half,
                (place, width),
            )
            for place in places
        )


class ADC(Converter):
    """Analog-to-digital converter at the columns; the unit is one cell pair at full weight and full input."""

    later: ClassVar[tuple[str, ...]] = ("unipolar", "circuit", "columns")
    range: Literal["fixed", "calibrated", "learned", "maximum", "granular", "batch"] = "calibrated"
    """fixed: `bound`; calibrated: per row block, from data; learned: a parameter per row block, trained; maximum: the largest
    output that the rows of a block can give; granular: a code is what one step of one cell gives with one step of its input:
    large outputs clip, and nothing is rounded where the currents of the lowest states cancel in front of the converter, or are
    0 (with `cell.g_min_us` above 0 and what it adds removed digitally, they lie between the codes); batch:
    the largest output of the batch at hand, so that answers depend on what else is in the batch (as in DNN+NeuroSim V1)."""
    bound: float = Field(default=10.0, gt=0)
    """Largest output for range 'fixed'."""
    on_clip: Literal["clip", "halve_input"] = "clip"
    """halve_input: a vector that clips is repeated at half the input, up to `max_halvings` times (iterative bound
    management)."""
    max_halvings: int = Field(default=3, ge=1, le=16)
    """Most repetitions for on_clip 'halve_input'."""

    unipolar: bool = False
    """True: codes 0 … h with h = 2^bits - 1 (or `steps`); negative outputs give 0."""
    circuit: SerializeAsAny[Annotated[Circuit, BeforeValidator(CIRCUITS.parser())]] | None = None
    """The circuit that finds the codes, with errors of its parts that are drawn once per chip; none: a converter without
    errors."""
    columns: int = Field(default=1, ge=1)
    """Neighbouring columns that share a converter, and its errors, one after the other."""

    @model_validator(mode="after")
    def _possible(self) -> ADC:
        if self.unipolar and self.half_steps is None:
            raise WrongSetting("unipolar has no effect on a converter of infinite resolution", "set adc.bits")
        if self.circuit is not None and (self.half_steps is None or self.half_steps != int(self.half_steps)):
            raise WrongSetting("the circuit of a converter needs whole codes", "set adc.bits, or an even number of steps",
                               path="circuit")  # fmt: skip
        if self.on_clip == "halve_input" and self.range != "fixed":
            raise WrongSetting("on_clip 'halve_input' needs a known bound", "set adc.range: fixed and adc.bound")
        if self.range != "fixed" and self.bound != type(self).model_fields["bound"].default:
            raise WrongSetting(
                f"bound = {self.bound:g} has no effect when the range is {self.range}", "set adc.range: fixed"
            )
        return self

    @property
    def half_steps(self) -> float | None:
        """h, the largest code; None when nothing is quantised."""
        if not self.unipolar:
            return super().half_steps
        return self.steps if self.steps is not None else None if self.bits is None else 2**self.bits - 1

    @property
    def resolution(self) -> int | None:
        """Bits that number all codes; None when nothing is quantised."""
        half = self.half_steps
        return None if half is None else math.ceil(math.log2((1 if self.unipolar else 2) * half + 1))


class ProductNoise(Spec):
    """Noise drawn anew for each product of the array with an input vector u (|u| <= 1)."""

    later: ClassVar[tuple[str, ...]] = ("input",)
    output: float = Field(default=0.0, ge=0)
    """Standard deviation at each column before the ADC, in units of one full weight (with mapping.scale 'none' of a weight
    of 1) times one full input."""
    input: float = Field(default=0.0, ge=0)
    """Standard deviation at each row behind the DAC, in units of a full input; all columns see the same."""
    weight: float = Field(default=0.0, ge=0)
    """σ of the weight noise in `weight_form`."""
    weight_form: Literal["additive", "proportional", "pcm_read"] = "pcm_read"
    """Standard deviation of the noise of a weight w in [-1, 1]: additive σ, proportional σ|w|, pcm_read σ sqrt|w|."""

    def definitions(self) -> list[Definition]:
        """Their meaning in words."""
        source = "Rasch et al. 2023, AIHWKit analog forward"
        found = []
        if self.output:
            unit = "one full weight times one full input"
            found.append(Definition("column output", f"{self.output:g}", unit, "normal", "mvm", source))
        if self.input:
            found.append(Definition("row input", f"{self.input:g}", "a full input", "normal", "mvm", source))
        if self.weight:
            size = {"additive": "", "proportional": "·|w|", "pcm_read": "·sqrt(|w|)"}[self.weight_form]
            found.append(
                Definition("weight", f"{self.weight:g}{size}", "the largest weight (|w| <= 1)", "normal", "mvm", source)
            )
        return found


class WriteVerify(Spec):
    """Cells that are read after programming and written again; of their writes the closest to the target stays."""

    rounds: int = Field(default=1, ge=1, le=100)
    """Writes of such a cell; 1: nothing is verified."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Share of the network's weights whose cells are verified: those that `mho.training.rank_weights` found to matter
    most (Yan et al. 2022, SWIM), below 1."""

    @model_validator(mode="after")
    def _possible(self) -> WriteVerify:
        if self.rounds == 1 and self.share < 1:
            raise WrongSetting("share has no effect with one write", "set write_verify.rounds")
        return self

    def writes(self) -> float:
        """Mean number of writes of a cell."""
        return 1 + self.share * (self.rounds - 1)


class IRDrop(Spec):
    """First-order voltage drop along the columns."""

    scale: float = Field(default=0.0, ge=0)
    """0: none; 1: the physical size."""
    conductance_ratio: float = Field(default=571428.57, gt=0)
    """Conductance of one wire segment over g_max: 1 / (0.35 Ω · 5 µS) by default."""


class Wires(Spec):
    """Resistance of the arrays' wires, in a circuit of linear cells that is solved for each array. Rows are driven by voltages,
    unused ones by 0 V; columns end at a virtual ground. A weight's cells stand beside each other along a row."""

    column: float | None = Field(default=None, gt=0)
    """Conductance of a segment of a column's wire, over g_max; none: no resistance."""
    row: float | None = Field(default=None, gt=0)
    """The same of a row's wire."""

    def __bool__(self) -> bool:
        return self.column is not None or self.row is not None


class Columns(Spec):
    """What the read-out of a column makes of its current in front of the converter, as AIHWKit's analog forward does: first the
    offset of the read voltage, then (behind the noise of weights) an S-shaped curve. Outputs are in units of one full weight
    times one full input."""

    offset: float = Field(default=0.0, ge=0)
    """Standard deviation of the relative offset v of a column's read voltage, drawn once per chip; negative draws are 0:
    y (1 - v) - 2 v `reference` Σu."""
    reference: float = Field(default=0.0, ge=0)
    """Conductance of the reference cell of each weight, in units of a full weight, through which an offset adds a share of the
    sum of the inputs."""
    nonlinearity: float = Field(default=0.0, ge=0)
    """n of the S-shape f y / (1 + n |y|), over one unit of output."""
    nonlinearity_std: float = Field(default=0.0, ge=0)
    """Standard deviation of n over columns, relative to it, drawn once per chip."""
    exact_at: float = Field(default=0.0, ge=0)
    """Output at which a column of the mean n is exact: f = 1 + n exact_at."""

    @model_validator(mode="after")
    def _possible(self) -> Columns:
        for name, needs in (
            ("reference", "offset"),
            ("nonlinearity_std", "nonlinearity"),
            ("exact_at", "nonlinearity"),
        ):
            if getattr(self, name) and not getattr(self, needs):
                raise WrongSetting(f"{name} has no effect without {needs}", f"set columns.{needs}", path=name)
        return self

    def __bool__(self) -> bool:
        return bool(self.offset or self.nonlinearity)

    def definitions(self) -> list[Definition]:
        """Their meaning in words."""
        source, found = "Rasch et al. 2023, AIHWKit analog forward", []
        if self.offset:
            found.append(Definition("column read voltage", f"{self.offset:g}", "the read voltage", "normal, cut at 0", "program",
                                    source))  # fmt: skip
        if self.nonlinearity_std:
            found.append(
                Definition("column nonlinearity", f"{self.nonlinearity_std:g}", "its mean", "normal", "program", source)
            )
        return found

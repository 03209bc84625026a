"""`Technology`: what the components of a chip cost, as data that name their sources."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from mho.costs.converters import CONVERTERS, Converter
from mho.costs.scaling import area_factor, check_node, energy_factor
from mho.errors import WrongSetting
from mho.hardware import Hardware
from mho.hardware.spec import Spec, load_yaml

COMPONENTS: dict[str, tuple[str, str]] = {
    "row_driver": ("row driven", "row of an array"),
    "sample_hold": ("conversion", "column of an array"),
    "integrator": ("column and unit of input", "column of an array"),
    "shift_add": ("conversion", "converter"),
    "adder": ("addition of partial sums", ""),
    "multiplier": ("result scaled", ""),
    "buffer": ("bit read or written", ""),
    "interconnect": ("bit moved", ""),
    "digital_mac": ("digital multiply-accumulate", ""),
    "digital_operation": ("digital operation on an element", ""),
}
"""Components with the action that costs energy, and what has one of them, where that is known; the cells and the converter
have models of their own."""
_FOLDER = files("mho.costs") / "technologies"
_REMEDY = "compare with src/mho/costs/technologies/generic.yaml; docs/cost.md explains every key"


class _Own(Spec):
    remedy: ClassVar[str] = _REMEDY


class Constant(_Own):
    """What one component costs."""

    energy_pj: float | None = Field(default=None, ge=0)
    """pJ of each action; None: unknown."""
    area_um2: float | None = Field(default=None, ge=0)
    """µm²; None: unknown."""
    node_nm: float | None = Field(default=None, gt=0)
    """Node at which these were found; None: they hold for this technology as they are."""
    source: str = Field(min_length=1)
    """Where they come from."""
    ours: bool = False
    """True: an estimate of this project, not a published number."""


class Reading(_Own):
    """What reading cells takes.

    - ``current``: V² g t for each cell, with its conductance and its input.
    - ``lines``: C V² for each cell on a driven line, where the columns carry no current.
    - ``fixed``: a published energy for each array, column or cell and read.
    """

    kind: Literal["current", "lines", "fixed"] = "current"
    voltage_v: float | None = Field(default=None, gt=0)
    """V at a row for a full input."""
    pulse_ns: float | None = Field(default=None, gt=0)
    """ns for which a row is driven, or a unit of it, of `current`; None: for the whole read."""
    pulse_ns_per_bit: float = Field(default=0.0, ge=0)
    """ns besides, for each bit of the conversion that the pulse lasts for, of `current`."""
    capacitance_ff: float | None = Field(default=None, gt=0)
    """fF for each cell on a line, of `lines`."""
    energy_pj: float | None = Field(default=None, gt=0)
    """pJ of a read, of `fixed`."""
    each: Literal["array", "column", "cell"] = "array"
    """What `energy_pj` is for."""
    cell_area_f2: float | None = Field(default=None, gt=0)
    """Area of a cell in squares of the node."""
    write_energy_pj: float | None = Field(default=None, ge=0)
    """pJ of writing a cell once."""
    write_ns: float | None = Field(default=None, gt=0)
    """ns of writing once the cells that an array writes together."""
    written_together: int = Field(default=1, ge=1)
    """Cells of an array that are written together."""
    source: str = Field(min_length=1)
    """Where these come from."""
    ours: bool = False
    """True: an estimate of this project."""

    @model_validator(mode="after")
    def _whole(self) -> Reading:
        needed = {"current": ("voltage_v",), "lines": ("voltage_v", "capacitance_ff"), "fixed": ("energy_pj",)}[
            self.kind
        ]
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise WrongSetting(f"cells of kind '{self.kind}' without {missing[0]}", f"give {' and '.join(needed)}")
        return self


class Timing(_Own):
    """How long a product takes. Times are those of this technology; another node does not change them."""

    input: Literal["amplitude", "duration"] = "amplitude"
    """amplitude: every slice of an input takes `read_ns`; duration: `read_ns` for each unit of the largest one."""
    read_ns: float = Field(gt=0)
    """ns of a read, or of a unit of it."""
    settle_ns: float = Field(default=0.0, ge=0)
    """ns besides, for each read."""
    phases: int = Field(default=1, ge=1)
    """Reads that a signed product takes, one polarity after the other."""
    columns_per_adc: int | None = Field(default=None, ge=1)
    """Columns that share a converter; None: as many as the hardware says (`adc.columns`)."""
    conversion_ns: float = Field(default=0.0, ge=0)
    """ns of a conversion; 0 where it happens during the read."""
    conversion_ns_per_bit: float = Field(default=0.0, ge=0)
    """ns besides, for each bit of it."""
    overlap: bool = True
    """Columns are converted while the next slice is read."""
    digital_per_ns: float | None = Field(default=None, gt=0)
    """Digital operations a ns; None: the time of the digital part is not counted."""
    source: str = Field(min_length=1)
    """Where these come from."""
    ours: bool = False
    """True: an estimate of this project, before which `adc.columns` of the hardware goes."""


class Standing(_Own):
    """A part that draws power for as long as the chip works."""

    name: str = Field(min_length=1)
    """What it is."""
    each: Literal["array", "tile", "chip"]
    """What has one."""
    power_mw: float = Field(ge=0)
    """mW of one."""
    area_um2: float | None = Field(default=None, ge=0)
    """µm² of one."""
    node_nm: float | None = Field(default=None, gt=0)
    """As for a `Constant`."""
    source: str = Field(min_length=1)
    """Where these come from."""
    ours: bool = False
    """True: an estimate of this project."""


class Technology(_Own):
    """What the components of a chip cost and how they are arranged. Frozen; every number names its source.

    Example:
        >>> Technology.preset("isaac").node_nm
        32.0
    """

    version: Literal[1] = 1
    """Version of this format."""
    name: str
    """Short name, printed in reports."""
    node_nm: float
    """CMOS node; constants of other nodes are scaled to it."""
    cells: Reading
    """The cells of an array."""
    adc: SerializeAsAny[Annotated[Converter, BeforeValidator(CONVERTERS.parser())]]
    """The converter at the columns."""
    timing: Timing
    """Times and sharing."""
    components: dict[str, Constant] = Field(default_factory=dict)
    """The others, by name; one that is missing is listed as not counted."""
    standing: tuple[Standing, ...] = ()
    """Parts that draw power whatever happens."""
    arrays_per_tile: int = Field(default=1, ge=1)
    """Arrays that share the parts of a tile."""
    tiles_per_chip: int | None = Field(default=None, ge=1)
    """Tiles of a chip; None: as many as are needed."""
    partial_sum_bits: int = Field(default=16, ge=1)
    """Bits of a partial sum that goes from one array to another."""
    hops: float = Field(default=1.0, ge=0)
    """How often an activation passes the interconnect on its way to the next layer."""
    left_out: tuple[str, ...] = ()
    """What the chip has and nothing here stands for."""

    @model_validator(mode="after")
    def _known(self) -> Technology:
        check_node(self.node_nm)
        parts: dict[str, Constant | Standing] = {**self.components, **{part.name: part for part in self.standing}}
        for name, part in parts.items():
            if part.node_nm is not None:
                check_node(part.node_nm, f"{name}.node_nm")
        if unknown := [name for name in self.components if name not in COMPONENTS]:
            raise WrongSetting(
                f"unknown component '{unknown[0]}'", f"known: {', '.join(COMPONENTS)}", path="components"
            )
        return self

    @classmethod
    def presets(cls) -> list[str]:
        """Names of the shipped ones."""
        return sorted(Path(entry.name).stem for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml"))

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Technology:
        """A shipped one by name; `changes` as in `replace`.

        Raises:
            WrongSetting: No such technology.
        """
        if name not in cls.presets():
            raise WrongSetting(
                f"unknown technology '{name}'", f"one of {', '.join(cls.presets())}, or a YAML file", path="technology"
            )
        return _shipped(name).replace(**changes) if changes else _shipped(name)

    @classmethod
    def of(cls, source: Technology | str | Path | None, hw: Hardware | None = None) -> Technology:
        """A `Technology` from itself, a name or a YAML file; None: the one that is named as the hardware, else ``generic``."""
        if isinstance(source, Technology):
            return source
        if source is None:
            return cls.preset(hw.name if hw is not None and hw.name in cls.presets() else "generic")
        if not isinstance(source, (str, Path)):
            raise WrongSetting(
                f"the technology is a {type(source).__name__}",
                f"give one of {', '.join(cls.presets())}, a YAML file, or a Technology", path="technology",
            )  # fmt: skip
        if Path(source).suffix in {".yaml", ".yml"}:
            data = load_yaml(source, _REMEDY)
            base = cls.preset(str(data.pop("preset"))).as_dict() if "preset" in data else {}
            return cls.parse({**base, **data}, where=str(source))
        return cls.preset(str(source))

    def energy(self, name: str) -> float | None:
        """pJ of an action of a component at this node; None where nothing is known."""
        constant = self.components.get(name)
        if constant is None or constant.energy_pj is None:
            return None
        return constant.energy_pj * energy_factor(constant.node_nm or self.node_nm, self.node_nm)

    def area(self, part: Constant | Standing | None) -> float | None:
        """µm² of a component at this node; None where nothing is known."""
        if part is None or part.area_um2 is None:
            return None
        return part.area_um2 * area_factor(part.node_nm or self.node_nm, self.node_nm)

    def power_mw(self, part: Standing) -> float:
        """mW of a standing part at this node."""
        return part.power_mw * energy_factor(part.node_nm or self.node_nm, self.node_nm)

    def rests_on(self, name: str) -> str:
        """Where a component's numbers come from, in words; empty where there are none."""
        parts: dict[str, Any] = {**self.components, "cells": self.cells, "adc": self.adc}
        part = (parts | {each.name: each for each in self.standing}).get(name)
        return "" if part is None else f"{'our estimate: ' if part.ours else ''}{part.source}"


@cache  # a third of the time of `cost` of a small network is reading them
def _shipped(name: str) -> Technology:
    return Technology.parse(load_yaml(Path(str(_FOLDER / f"{name}.yaml"))), where=name)

"""`Hardware`: the whole description of a chip, without a single tensor."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from mho.errors import WrongSetting
from mho.hardware.definition import Definition
from mho.hardware.label import label
from mho.hardware.left_out import leaves_out
from mho.hardware.parts import Cell, Compensation, Encoding
from mho.hardware.periphery import ADC, DAC, Array, Columns, IRDrop, Mapping, ProductNoise, Wires, WriteVerify
from mho.hardware.spec import Spec, load_yaml
from mho.hardware.variation import Faults, Variation
from mho.registry import Registry

CELLS: Registry[type[Cell]] = Registry(
    "cell",
    "mho.cells",
    {
        "ideal": "mho.devices.ideal:IdealCell",
        "pcm": "mho.devices.pcm:PCM",
        "fitted": "mho.devices.fitted:Fitted",
        "relaxing": "mho.devices.relaxing:Relaxing",
        "hermes": "mho.devices.hermes:Hermes",
        "reram_wan": "mho.devices.reram_wan:ReRAMWan",
        "reram_milo": "mho.devices.reram_milo:ReRAMMilo",
        "reram_cmo": "mho.devices.reram_cmo:ReRAMCMO",
        "retention": "mho.devices.retention:Retention",
        "power_law": "mho.devices.power_law:PowerLaw",
    },
)
ENCODINGS: Registry[type[Encoding]] = Registry(
    "encoding",
    "mho.encodings",
    {
        "bit_sliced": "mho.crossbar.bit_slices:BitSliced",
        "differential": "mho.crossbar.encodings:Differential",
        "offset": "mho.crossbar.encodings:Offset",
    },
)
COMPENSATIONS: Registry[type[Compensation]] = Registry(
    "compensation",
    "mho.compensations",
    {
        "none": "mho.chip.compensation:NoCompensation",
        "global": "mho.chip.compensation:GlobalDrift",
        "per_column": "mho.chip.compensation:PerColumnDrift",
    },
)


class Hardware(Spec):
    """What a chip is: cell, encoding, arrays, converters, noise, compensation, and what stays digital.

    Frozen; `replace` gives a changed copy; `str` prints its definition, with the meaning of every σ.

    Example:
        >>> hw = Hardware.preset("pcm")
        >>> hw.array.rows
        512
    """

    later: ClassVar[tuple[str, ...]] = ("beyond", "layers", "write_verify", "wires", "columns")
    version: Literal[1] = 1
    """Version of this format."""
    name: str
    """Short name, printed in reports."""
    sources: tuple[str, ...] = ()
    """Where the numbers come from."""
    beyond: tuple[str, ...] = ()
    """What the chip of that name has that no setting here says, printed with what the description leaves out."""
    cell: SerializeAsAny[Annotated[Cell, BeforeValidator(CELLS.parser())]]
    """The resistive cell."""
    encoding: SerializeAsAny[Annotated[Encoding, BeforeValidator(ENCODINGS.parser())]]
    """How a signed weight becomes cells."""
    array: Array = Array()
    """Size of an array."""
    mapping: Mapping = Mapping()
    """How weights are scaled."""
    dac: DAC = DAC()
    """Converter at the rows."""
    adc: ADC = ADC()
    """Converter at the columns."""
    noise: ProductNoise = ProductNoise()
    """Noise of each product."""
    ir_drop: IRDrop = IRDrop()
    """Voltage drop along the columns, at first order of the mean current of an input."""
    wires: Wires = Wires()
    """Resistance of rows and columns, by a solver; takes the place of `ir_drop`."""
    columns: Columns = Columns()
    """Offsets and curves of the columns' read-out."""
    variations: tuple[Variation, ...] = ()
    """Further random deviations of cells or weights."""
    write_verify: WriteVerify = WriteVerify()
    """Repeated programming."""
    faults: Faults = Faults()
    """Stuck cells."""
    compensation: SerializeAsAny[Annotated[Compensation, BeforeValidator(COMPENSATIONS.parser())]]
    """Digital drift compensation."""
    digital: tuple[str, ...] = ()
    """Layers that stay digital: module paths, with * as a wildcard."""
    layers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Layers on other hardware: module path (with * as a wildcard) to changed settings, {conv1: {adc.bits: 6}}."""

    @model_validator(mode="after")
    def _consistent(self) -> Hardware:
        for pattern, changes in self.layers.items():
            if whole := [key for key in changes if key.partition(".")[0] in _OF_THE_NETWORK]:
                raise WrongSetting(f"'{whole[0]}' is a setting of the network, not of a layer", "set it for all layers",
                                   path=f"layers.{pattern}")  # fmt: skip
            try:
                self.replace(layers={}, **changes)
            except WrongSetting as error:
                raise WrongSetting(error.problem, error.remedy, path=f"layers.{pattern}") from None
        self.encoding.fits(self.cell)
        wide, shared = self.encoding.columns_per_weight(), len(self.encoding.shared_planes(self.cell))
        if self.array.cols < wide + shared:
            beside = f" beside {shared} of references" if shared else ""
            raise WrongSetting(f"an array of {self.array.cols} columns holds no weight, which takes {wide}{beside}",
                               f"give {wide + shared} columns at least", path="array.cols")  # fmt: skip
        if self.wires and self.ir_drop.scale:
            raise WrongSetting("the columns' resistance counts twice, in ir_drop and in wires", "set ir_drop.scale to 0",
                               path="wires")  # fmt: skip
        for index, variation in enumerate(self.variations):
            if variation.relative_to == "level" and self.cell.levels is None:
                raise WrongSetting(
                    f"variations.{index} is relative to 'level', but the cell is continuous", "set cell.levels"
                )
        if self.adc.range != "fixed" and self.adc.half_steps is None and self.adc.on_clip != "clip":
            raise WrongSetting("adc.on_clip needs a converter", "set adc.bits")
        return self

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Hardware:
        """A shipped description, by name; `changes` as in `replace`.

        Raises:
            WrongSetting: No such preset.
        """
        known = cls.presets()
        if name not in known:
            raise WrongSetting(f"unknown preset '{name}'", f"one of {', '.join(known)}, or Hardware.from_yaml(FILE)")
        hw = cls.parse(load_yaml(Path(str(_PRESETS / f"{name}.yaml"))), where=name)
        return hw.replace(**changes) if changes else hw

    @classmethod
    def presets(cls) -> list[str]:
        """Names of the shipped descriptions."""
        return sorted(Path(entry.name).stem for entry in _PRESETS.iterdir() if entry.name.endswith(".yaml"))

    @classmethod
    def from_yaml(cls, path: str | Path) -> Hardware:
        """Read a description from a YAML file. A key ``preset: NAME`` starts from that preset.

        Raises:
            BadInput: The file cannot be read.
            WrongSetting: Unknown key or a value outside its range.
        """
        return cls.described(load_yaml(path), where=str(path))

    @classmethod
    def described(cls, data: dict[str, Any], *, where: str | None = None) -> Hardware:
        """The description in a mapping; a key ``preset: NAME`` starts from that preset.

        Raises:
            WrongSetting: Unknown key or a value outside its range.
        """
        if "preset" not in data:
            return cls.parse(data, where=where)
        base = cls.preset(str(data["preset"])).as_dict()
        return cls.parse(_merge(base, {key: value for key, value in data.items() if key != "preset"}), where=where)

    @classmethod
    def of(cls, source: Hardware | str | Path) -> Hardware:
        """A `Hardware` from itself, the name of a preset, or a YAML file."""
        if isinstance(source, Hardware):
            return source
        if isinstance(source, dict):
            raise WrongSetting("the hardware is a dict", "read it with mho.Hardware.parse(...)", path="hw")
        if not isinstance(source, (str, Path)):
            known = ", ".join(cls.presets())
            raise WrongSetting(
                f"the hardware is a {type(source).__name__}",
                f"give one of {known}, a YAML file, or a Hardware",
                path="hw",
            )
        if str(source) in cls.presets():
            return cls.preset(str(source))
        if Path(source).suffix in {".yaml", ".yml"}:
            return cls.from_yaml(source)
        return cls.preset(str(source))

    def __hash__(self) -> int:
        return hash(self.digest())

    def for_layer(self, path: str) -> Hardware:
        """What the layer at a module path stands on: this hardware with the changes of every matching pattern."""
        changes = {k: v for pattern, some in self.layers.items() if covers(pattern, path) for k, v in some.items()}
        return self.replace(layers={}, **changes) if changes else self

    def ideal(self) -> Hardware:
        """The same arrays and encoding with every non-ideality off and converters of infinite resolution."""
        return Hardware(
            name=f"{self.name} (ideal)",
            cell={
                "kind": "ideal",
                "g_min_us": self.cell.g_min_us,
                "g_max_us": self.cell.g_max_us,
                "levels": self.cell.levels,
            },
            encoding=self.encoding,
            array=self.array,
            mapping=self.mapping.replace(
                clip_sigma=None, scale="tensor" if self.mapping.scale == "unit" else self.mapping.scale
            ),
            dac=DAC(bits=None),
            adc=ADC(bits=None),
            compensation={"kind": "none"},
            digital=self.digital,
        )

    def definitions(self) -> list[Definition]:
        """The meaning of every σ in this description."""
        return [
            *self.cell.definitions(),
            *(variation.definition() for variation in self.variations if variation.sigma),
            *self.noise.definitions(),
            *self.columns.definitions(),
            *(self.adc.circuit.definitions() if self.adc.circuit is not None else ()),
        ]

    def leaves_out(self) -> str:
        """What a real chip has and this description has not, in one line."""
        return leaves_out(self)

    @property
    def label(self) -> str:
        """The name with every setting that differs from the preset of that name: ``"pcm, adc.bits=4"``."""
        return label(self)

    def meanings(self) -> list[tuple[str, str]]:
        """Every key of this description, dotted, with what it means."""
        return list(_meanings(self, ""))

    def __str__(self) -> str:
        lines = [f"# {self.leaves_out()}", self.to_yaml().rstrip(), "# what each sigma means"]
        lines += [f"#   {definition}" for definition in self.definitions()] or ["#   nothing is random"]
        return "\n".join(lines)


_PRESETS = files("mho.hardware") / "presets"
_OF_THE_NETWORK = ("version", "name", "sources", "beyond", "digital", "layers")


def covers(pattern: str, path: str) -> bool:
    """True when the pattern (with * as a wildcard) matches a module's path or one of the modules above it."""
    parts = path.split(".")
    return bool(path) and any(fnmatchcase(".".join(parts[:n]), pattern) for n in range(1, len(parts) + 1))


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        same_kind = isinstance(value, dict) and value.get("kind", "") in (
            "",
            old.get("kind", "") if isinstance(old, dict) else "",
        )
        merged[key] = _merge(old, value) if isinstance(old, dict) and same_kind else value
    return merged


def _meanings(spec: Spec, prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if field.description:
            yield prefix + name, " ".join(field.description.split())
        if isinstance(value, Spec):
            yield from _meanings(value, f"{prefix}{name}.")

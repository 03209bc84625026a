"""`Cost`: what one inference takes, per layer, per component and in total, and what every number rests on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mho.costs.area import Piece
from mho.costs.capacity import Capacity
from mho.costs.energy import Entry
from mho.errors import BadInput
from mho.store.csv_file import write_csv
from mho.store.files import write_text
from mho.units import show_quantity


@dataclass(frozen=True)
class LayerCost:
    """One matrix.

    Attributes:
        path: Of the matrix.
        rows, columns, groups: Its size.
        row_blocks: Arrays that a column is cut into.
        arrays: That one copy takes.
        copies: That work side by side.
        utilisation: Share of the arrays' cells that hold a weight.
        products: Of an inference.
        macs: Multiply-accumulates of an inference.
        conversions: Of an inference.
        time_ns: Of an inference.
        energy_pj: pJ of an inference, of what is counted.
    """

    path: str
    rows: int
    columns: int
    groups: int
    row_blocks: int
    arrays: int
    copies: int
    utilisation: float
    products: float
    macs: float
    conversions: float
    time_ns: float
    energy_pj: float


@dataclass(frozen=True)
class Cost:
    """What one inference takes on a chip. Printed, it is a table; `to_csv` and `to_json` write all of it.

    Attributes:
        name: Of the network.
        hardware: Its label.
        technology: Name of the constants.
        node_nm: Of the technology.
        bits: Resolutions in words; every figure of operations a second or a watt is at these.
        schedule: ``sequential``: layer after layer; ``pipelined``: all layers at once, each on another inference.
        layers: Every matrix on arrays.
        entries: What each component does and takes.
        pieces: What each component covers.
        capacity: Arrays needed, and what writing them takes.
        digital_macs: Multiply-accumulates of an inference outside the arrays.
        digital_operations: Operations on elements there.
        digital_time_ns: Of these; None: not counted.
        assumptions: What was taken for granted.
        not_counted: What has no constant, or no model.
    """

    name: str
    hardware: str
    technology: str
    node_nm: float
    bits: str
    schedule: str
    layers: tuple[LayerCost, ...]
    entries: tuple[Entry, ...]
    pieces: tuple[Piece, ...]
    capacity: Capacity
    digital_macs: float
    digital_operations: float
    digital_time_ns: float | None
    assumptions: tuple[str, ...]
    not_counted: tuple[str, ...]

    @property
    def energy_pj(self) -> float:
        """pJ of an inference, of everything that is counted."""
        return sum(entry.energy_pj or 0.0 for entry in self.entries)

    @property
    def area_um2(self) -> float:
        """µm² of everything that is counted."""
        return sum(piece.area_um2 or 0.0 for piece in self.pieces)

    @property
    def latency_ns(self) -> float:
        """ns from an input to its answer: layer after layer, writing where the network does not fit."""
        return sum(self._times)

    @property
    def interval_ns(self) -> float:
        """ns from one answer to the next: that of the slowest layer where layers work at once."""
        return max(self._times) if self.schedule == "pipelined" else self.latency_ns

    @property
    def _times(self) -> list[float]:
        return [
            *(layer.time_ns for layer in self.layers),
            self.digital_time_ns or 0.0,
            self.capacity.rewrite_time_ns or 0.0,
        ]

    @property
    def operations(self) -> float:
        """Of an inference: two for each multiply-accumulate, on arrays or digital."""
        return 2 * (sum(layer.macs for layer in self.layers) + self.digital_macs)

    @property
    def tops(self) -> float:
        """Tera-operations a second."""
        return self.operations / self.interval_ns * 1e-3

    @property
    def tops_per_watt(self) -> float:
        """Tera-operations a second and watt: operations a pJ."""
        return self.operations / self.energy_pj

    @property
    def power_mw(self) -> float:
        """Mean power, mW."""
        return self.energy_pj / self.interval_ns

    def by_component(self) -> dict[str, float]:
        """pJ of each component, the largest first."""
        found: dict[str, float] = {}
        for entry in self.entries:
            if entry.energy_pj is not None:
                found[entry.component] = found.get(entry.component, 0.0) + entry.energy_pj
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def area_by_component(self) -> dict[str, float]:
        """µm² of each component, the largest first."""
        found: dict[str, float] = {}
        for piece in self.pieces:
            if piece.area_um2 is not None:
                found[piece.component] = found.get(piece.component, 0.0) + piece.area_um2
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def rests_on(self) -> dict[str, str]:
        """Every constant that a number here rests on: component to source."""
        known: Iterable[Entry | Piece] = (*self.entries, *self.pieces)
        return {each.component: each.rests_on for each in known if each.rests_on}

    def rows(self) -> list[dict[str, Any]]:
        """One row a layer and component: counts and pJ."""
        return [asdict(entry) for entry in self.entries]

    def summary(self) -> dict[str, Any]:
        """The totals as plain values, units in their names."""
        return {
            "network": self.name, "hardware": self.hardware, "technology": self.technology, "node_nm": self.node_nm,
            "bits": self.bits, "schedule": self.schedule, "energy_pj": self.energy_pj, "latency_ns": self.latency_ns,
            "interval_ns": self.interval_ns, "power_mw": self.power_mw, "area_um2": self.area_um2, "tops": self.tops,
            "tops_per_watt": self.tops_per_watt, "operations": self.operations, "arrays": self.capacity.needed,
            "digital_macs": self.digital_macs, "digital_operations": self.digital_operations,
        }  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain values."""
        capacity = asdict(self.capacity) | {"fits": self.capacity.fits, "loads": self.capacity.loads}
        return self.summary() | {
            "layers": [asdict(layer) for layer in self.layers], "entries": self.rows(),
            "area": [asdict(piece) for piece in self.pieces], "capacity": capacity, "assumptions": list(self.assumptions),
            "not_counted": list(self.not_counted), "rests_on": self.rests_on(),
        }  # fmt: skip

    def to_csv(self, path: str | Path) -> Path:
        """Write `rows`."""
        return write_csv(self.rows(), path)

    def to_json(self, path: str | Path) -> Path:
        """Write `as_dict`.

        Raises:
            BadInput: The file cannot be written.
        """
        try:
            write_text(Path(path), json.dumps(self.as_dict(), indent=1) + "\n")
        except OSError as error:
            raise BadInput(f"cannot be written: {error.strerror}", "give another path", path=str(path)) from error
        return Path(path)

    def sentence(self) -> str:
        """The answer in words."""
        rate = f"{show_quantity(1e9 / self.interval_ns, '')} inferences a second, {self.schedule}"
        place = f"{self.capacity.needed} array{'s' * (self.capacity.needed > 1)}"
        if self.capacity.fits is not None:
            more = (
                ""
                if self.capacity.fits
                else f" (too many for {self.capacity.available}: written {self.capacity.loads} times an inference)"
            )
            place += more or f" of {self.capacity.available}"
        return (
            f"An inference of {self.name} on '{self.hardware}' takes {show_quantity(self.energy_pj * 1e-12, 'J')} and "
            f"{show_quantity(self.latency_ns * 1e-9, 's')} on {place}: {rate}, {self.tops_per_watt:.3g} TOPS/W at {self.bits}."
        )

    def __str__(self) -> str:
        lines = [self.sentence(), ""]
        head = f"{'layer':<28} {'matrix':>12} {'arrays':>6} {'used':>5} {'products':>9} {'time':>9} {'energy':>9} {'share':>6}"
        lines.append(head)
        total = self.energy_pj or 1.0
        for layer in self.layers:
            size = f"{layer.rows * layer.groups}×{layer.columns * layer.groups}"
            arrays = f"{layer.arrays}×{layer.copies}" if layer.copies > 1 else f"{layer.arrays}"
            lines.append(
                f"{layer.path or 'the layer':<28} {size:>12} {arrays:>6} {layer.utilisation:>5.0%} {layer.products:>9,.0f} "
                f"{show_quantity(layer.time_ns * 1e-9, 's'):>9} {show_quantity(layer.energy_pj * 1e-12, 'J'):>9} "
                f"{layer.energy_pj / total:>6.1%}"
            )
        rest = self.energy_pj - sum(layer.energy_pj for layer in self.layers)
        shown = show_quantity(rest * 1e-12, "J")
        lines.append(
            f"{'beside the arrays':<28} {'':>12} {'':>6} {'':>5} {'':>9} {'':>9} {shown:>9} {rest / total:>6.1%}"
        )
        lines += [
            "",
            f"{'component':<20} {'energy':>9} {'share':>6}   rests on ('{self.technology}', {self.node_nm:g} nm)",
        ]
        sources = self.rests_on()
        lines += [
            f"{name:<20} {show_quantity(energy * 1e-12, 'J'):>9} {energy / total:>6.1%}   {sources.get(name, '')}"
            for name, energy in self.by_component().items()
        ]
        lines += ["", f"area: {self.area_um2 * 1e-6:.3g} mm² of what is counted"]
        for title, notes in (("assumed", self.assumptions), ("not counted", self.not_counted)):
            lines += [f"{title}:", *(f"  {note}" for note in notes)] if notes else []
        return "\n".join(lines)

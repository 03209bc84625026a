"""Does a network fit on so many arrays, and what does writing it cost?"""

from __future__ import annotations

from dataclasses import dataclass

from mho.costs.technology import Technology


@dataclass(frozen=True)
class Capacity:
    """Arrays that are needed against those there are.

    Attributes:
        needed: Arrays of the network, copies among them.
        available: Arrays there are; None: not asked.
        cells: Cells that are programmed for it.
        writes: Mean number of writes of a cell.
        write_energy_pj: pJ of writing all of it once; None: unknown.
        write_time_ns: ns of writing all arrays at the same time; None: unknown.
    """

    needed: int
    available: int | None
    cells: int
    writes: float
    write_energy_pj: float | None
    write_time_ns: float | None

    @property
    def fits(self) -> bool | None:
        """Whether all of it is there at once; None where nobody asked."""
        return None if self.available is None else self.needed <= self.available

    @property
    def loads(self) -> int:
        """How often the arrays are filled for one inference; 1 where the network fits, and stays."""
        return 1 if self.available is None else -(-self.needed // self.available)

    @property
    def rewrite_energy_pj(self) -> float | None:
        """pJ of writing for every inference: 0 where the network fits, else all of it, load by load."""
        return 0.0 if self.loads == 1 else self.write_energy_pj

    @property
    def rewrite_time_ns(self) -> float | None:
        """ns of writing for every inference; the arrays of a load are written at the same time."""
        if self.loads == 1:
            return 0.0
        return None if self.write_time_ns is None else self.write_time_ns * self.loads


def capacity(
    needed: int, available: int | None, cells: int, array_cells: int, writes: float, technology: Technology
) -> Capacity:
    """See `Capacity`.

    Args:
        needed: Arrays.
        available: Arrays there are, or None.
        cells: Cells that are programmed.
        array_cells: Those of the fullest array.
        writes: Mean number of writes of a cell.
        technology: Its constants.
    """
    found = technology.cells
    energy = None if found.write_energy_pj is None else cells * writes * found.write_energy_pj
    time = None if found.write_ns is None else -(-array_cells // found.written_together) * writes * found.write_ns
    return Capacity(needed, available, cells, writes, energy, time)

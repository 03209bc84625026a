"""Where the rows and columns of a matrix stand: row blocks, column blocks, packing of groups, counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mho.hardware import Array


@dataclass(frozen=True)
class Block:
    """Rows [start, stop) of every group's matrix, counted as (input channel, kernel tap), taps fastest."""

    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Their number."""
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """The division of a (groups, columns, rows) matrix over arrays.

    Row blocks are cut along input channels, ⌊R / taps⌋ channels each; a kernel with more taps than the array has rows
    is cut inside the kernel. Small groups share an array along its diagonal. A group keeps its reference columns on every
    array that holds any of its columns.

    Args:
        groups: Independent sub-matrices (convolution groups).
        columns: Outputs of a group.
        rows: Inputs of a group, channels × taps.
        taps: Kernel positions (1 for a linear layer).
        array: Size of an array.
        columns_per_weight: Physical columns that a weight takes.
        references: Physical columns that all weights of a group on an array share.

    Attributes:
        blocks: Row blocks, in order.
        columns_per_array: Outputs of a group that one array holds.
        arrays_per_group: Arrays beside each other that the columns of a group are cut over; if several, it shares none.
        inputs: Features or channels that the whole matrix reads.
    """

    groups: int
    columns: int
    rows: int
    taps: int
    array: Array
    columns_per_weight: int = 1
    references: int = 0
    blocks: tuple[Block, ...] = field(init=False)
    columns_per_array: int = field(init=False)
    arrays_per_group: int = field(init=False)
    inputs: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", self._cut())
        fit = max(1, (self.array.cols - self.references) // self.columns_per_weight)
        object.__setattr__(self, "columns_per_array", fit)
        object.__setattr__(self, "arrays_per_group", math.ceil(self.columns / fit))
        object.__setattr__(self, "inputs", self.groups * self.rows // self.taps)

    def _cut(self) -> tuple[Block, ...]:
        height = self.array.rows // self.taps * self.taps
        if height:
            return tuple(Block(i, min(i + height, self.rows)) for i in range(0, self.rows, height))
        cut: list[Block] = []
        for channel in range(0, self.rows, self.taps):
            stop = channel + self.taps
            cut += [Block(i, min(i + self.array.rows, stop)) for i in range(channel, stop, self.array.rows)]
        return tuple(cut)

    def groups_per_array(self, block: Block) -> int:
        """Groups that share one array along its diagonal."""
        wide = self.columns * self.columns_per_weight + self.references
        return max(1, min(self.array.rows // block.rows, self.array.cols // wide))

    def array_index(self, block: Block) -> Tensor:
        """Which array of the block holds each column, (groups, columns), counted from 0."""
        group = torch.arange(self.groups)[:, None].expand(self.groups, self.columns)
        column = torch.arange(self.columns)[None, :].expand(self.groups, self.columns)
        return group // self.groups_per_array(block) * self.arrays_per_group + column // self.columns_per_array

    @property
    def arrays(self) -> int:
        """Number of arrays in all."""
        packed = (math.ceil(self.groups / self.groups_per_array(block)) for block in self.blocks)
        return sum(packed) * self.arrays_per_group

    @property
    def physical_columns(self) -> int:
        """Columns of arrays that hold a row block: those of weights, and each group's references on each of its arrays."""
        return self.groups * (self.columns * self.columns_per_weight + self.arrays_per_group * self.references)

    @property
    def utilisation(self) -> float:
        """Share of the arrays' unit cells that hold a weight."""
        used = self.groups * self.columns * self.columns_per_weight * self.rows
        return used / (self.arrays * self.array.rows * self.array.cols)

    def spread(self, per_block: Tensor) -> Tensor:
        """One value a block and column to one a cell: (…, blocks, groups, columns) -> (…, groups, columns, rows)."""
        parts = []
        for b, block in enumerate(self.blocks):
            values = per_block[..., b, :, :, None]
            parts.append(values.expand(*values.shape[:-1], block.rows))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

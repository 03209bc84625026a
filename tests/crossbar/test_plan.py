"""Which array holds which column."""

from __future__ import annotations

import pytest
import torch

from mho.crossbar import Plan
from mho.hardware import Array


def test_columns_that_fit_share_one_array_however_many_rows_there_are():
    plan = Plan(groups=1, columns=4, rows=40, taps=1, array=Array(rows=16, cols=8))
    assert [block.rows for block in plan.blocks] == [16, 16, 8]
    for block in plan.blocks:
        assert torch.equal(plan.array_index(block), torch.zeros(1, 4, dtype=torch.long))
    assert plan.arrays == 3


def test_columns_that_do_not_fit_are_cut_and_groups_of_them_share_nothing():
    plan = Plan(groups=2, columns=10, rows=6, taps=1, array=Array(rows=16, cols=8), columns_per_weight=2)
    block = plan.blocks[0]
    assert plan.columns_per_array == 4 and plan.groups_per_array(block) == 1
    assert plan.array_index(block).tolist() == [[0] * 4 + [1] * 4 + [2] * 2, [3] * 4 + [4] * 4 + [5] * 2]
    assert plan.arrays == 6 and plan.utilisation == 2 * 10 * 2 * 6 / (6 * 16 * 8)


def test_small_groups_share_an_array_along_its_diagonal():
    plan = Plan(groups=7, columns=2, rows=5, taps=1, array=Array(rows=16, cols=8))
    assert plan.groups_per_array(plan.blocks[0]) == 3
    assert plan.array_index(plan.blocks[0])[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 2]


def placed(groups: int, columns: int, rows: int, cells: int, references: int) -> list[list[int]]:
    """The array of each group's columns, put one after the other, with references wherever any of them stands, on 12 × 8."""
    per_array, found, array, held = (8 - references) // cells, [], -1, 99
    for _ in range(groups):
        wide = columns * cells + references
        if (held + 1) * rows <= 12 and (held + 1) * wide <= 8:
            held += 1
            found.append([array] * columns)
            continue
        first, held = array + 1, 1
        found.append([first + column // per_array for column in range(columns)])
        array = found[-1][-1]
        if wide > 8:
            held = 99  # nothing more fits
    return found


@pytest.mark.parametrize("references", [0, 1, 3])
@pytest.mark.parametrize("cells", [1, 2])
@pytest.mark.parametrize("columns", [1, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("rows", [1, 5, 6, 7, 12, 13])
def test_sizes_at_and_beside_those_of_an_array(rows, columns, cells, references):
    """Arrays of 12 rows and 8 columns: matrices that fill one exactly, leave a row or column, or need one more."""
    array = Array(rows=12, cols=8)
    for groups in (1, 2, 3, 5):
        plan = Plan(groups, columns, rows, 1, array, cells, references)
        assert [(block.start, block.stop) for block in plan.blocks] == [(0, min(rows, 12)), (12, 13)][: 1 + (rows > 12)]
        expected = [placed(groups, columns, block.rows, cells, references) for block in plan.blocks]
        assert [plan.array_index(block).tolist() for block in plan.blocks] == expected
        assert plan.arrays == sum(found[-1][-1] + 1 for found in expected)
        assert plan.utilisation == groups * columns * cells * rows / (plan.arrays * 12 * 8)
        held = sum(len(set(group)) for group in expected[0]) * references  # each group's, on each of its arrays
        assert plan.physical_columns == groups * columns * cells + held <= plan.arrays * 8


def test_a_weight_wider_than_an_array_takes_one_for_each_column():
    plan = Plan(groups=1, columns=3, rows=2, taps=1, array=Array(rows=4, cols=1), columns_per_weight=2)
    assert plan.columns_per_array == 1 and plan.array_index(plan.blocks[0]).tolist() == [[0, 1, 2]]

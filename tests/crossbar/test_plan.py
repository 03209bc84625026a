"""Which array holds which column."""

from __future__ import annotations

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

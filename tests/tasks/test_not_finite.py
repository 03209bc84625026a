"""An answer that is not a number is no answer."""

from __future__ import annotations

import pytest
import torch

from mho.tasks import Task

CLASS_0 = {
    "classes": torch.tensor([[3.0, -3.0, -3.0]]).expand(10, 3), "probability": torch.zeros(10),
    "logit": torch.full((10, 1), -3.0),
}  # fmt: skip


@pytest.mark.parametrize("task", CLASS_0)
def test_nothing_that_is_not_a_number_is_right(task):
    labels, answers = torch.zeros(10, dtype=torch.long), CLASS_0[task]
    assert Task.of(task).score(answers, labels).scores["accuracy"].all()
    assert not Task.of(task).score(answers * torch.nan, labels).scores["accuracy"].any()

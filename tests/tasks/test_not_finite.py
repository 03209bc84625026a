"""An answer that is not a number is no answer."""

from __future__ import annotations

import pytest
import torch

from mho.tasks import Task


@pytest.mark.parametrize(("task", "shape"), [("classes", (10, 3)), ("probability", (10,)), ("logit", (10, 1))])
def test_nothing_that_is_not_finite_is_right(task, shape):
    labels = torch.zeros(10, dtype=torch.long)
    scored = Task.of(task).score(torch.full(shape, torch.nan), labels)
    assert not scored.scores["accuracy"].any() if hasattr(scored, "scores") else not scored[0]["accuracy"].any()

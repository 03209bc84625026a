"""The example of docs/exits.md runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from mho.models import digits_cnn

PAGE = Path(__file__).parents[2] / "docs" / "exits.md"


def test_the_example_runs(capsys):
    torch.manual_seed(0)
    x, y = torch.randn(48, 1, 8, 8), torch.arange(48) % 10
    given = {
        "model": digits_cnn(), "x": x[:4], "train": [(x[:16], y[:16])], "test": [(x[16:32], y[16:32])],
        "calibration": [(x[32:], y[32:])],
    }  # fmt: skip
    exec(re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1], given)
    said = capsys.readouterr().out
    assert "'exit3': (4, 10)" in said and said.count("of the multiply-accumulates; left at") == 2

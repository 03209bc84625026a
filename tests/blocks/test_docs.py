"""The examples of docs/blocks.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn

from mho.models import cifar_resnet

PAGE = Path(__file__).parents[2] / "docs" / "blocks.md"


def test_the_examples_run(capsys):
    torch.manual_seed(0)
    x, y = torch.randn(48, 3, 8, 8), torch.arange(48) % 4
    small = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    given = {
        "model": cifar_resnet(depth=8, width=4, num_classes=4), "small": small, "x": x[:4], "torch": torch,
        "train": [(x[:16], y[:16])], "test": [(x[16:32], y[16:32])], "calibration": [(x[32:], y[32:])],
    }  # fmt: skip
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(example, given)
    assert capsys.readouterr().out.count("of 3 blocks in") == 4

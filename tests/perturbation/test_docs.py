"""The examples of docs/noise.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from mho.models import digits_cnn

PAGE = Path(__file__).parents[2] / "docs" / "noise.md"


def test_the_examples_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    net, x = digits_cnn().eval(), torch.randn(100, 1, 8, 8)
    with torch.no_grad():
        net[-1].bias.sub_(net(x).mean(dim=0))
        y = net(x).argmax(dim=1)
    before = {name: t.clone() for name, t in net.state_dict().items()}
    given = {"net": net, "x": x, "test": [(x, y)], "calibration": [(x, y)]}
    for example in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(example, given)
    assert "accuracy 100.0 % without noise" in capsys.readouterr().out
    assert (tmp_path / "rows.csv").read_text().count("\n") == 1 + 1 + 3 * 10
    assert given["mended"].perturbation.clamp and given["largest"].etas == (0.01, 0.02)
    assert not torch.equal(given["scores"], net(x)) and given["analog"](x).shape == (100, 8 * 4 * 4)
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())

"""Every kind of DATA from the shell."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from mho.cli.app import app

MODULE = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 2))
def samples():
    x = torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, (x.mean((1, 2, 3)) > 0.5).long())
def loader(): return DataLoader(samples(), batch_size=7)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "kinds_of_this_test.py").write_text(MODULE)
    pixels = np.random.default_rng(0).integers(256, size=(40, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x=pixels, y=np.arange(40) % 2)
    image = pytest.importorskip("PIL.Image")
    for i, each in enumerate(pixels):
        file = tmp_path / "photos" / ("a", "b")[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(each).save(file)


@pytest.mark.parametrize(
    "data", ["mine.npz", "photos", "photos/?prep=pm1", "kinds_of_this_test:samples", "kinds_of_this_test:loader"]
)
def test_drift_and_train_take_it(here, data):
    model = "kinds_of_this_test:net"
    done = CliRunner().invoke(app, ["drift", model, "--data", data, "--chips", "2", "--times", "1h", "--out", "drift"])
    assert done.exit_code == 0, done.output
    assert "report:" in done.output
    done = CliRunner().invoke(app, ["train", model, "--data", data, "--val", data, "--epochs", "1", "--out", "trained"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["calibrate", model, "--data", data, "--test", data])
    assert done.exit_code == 0, done.output

"""Names that are not ASCII where Python takes the terminal for ASCII: every command, its files, and the way back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from commands import Commands
from mho.models import digits_cnn

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def there():
    """Commands of an interpreter that takes the terminal for ASCII."""
    made = Commands(**C_LOCALE)
    yield made
    made.close()


def call(where, *arguments, **options):
    done = where.run(*arguments, **options)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("Größe")
    torch.manual_seed(0)
    save_file(digits_cnn().state_dict(), place / "gewichte-ä.safetensors")
    return place


@pytest.mark.slow
def test_commands_write_what_they_write_elsewhere(commands, there, folder):
    common = ["digits_cnn", "--weights", "gewichte-ä.safetensors", "--data", "digits?n=60"]
    quick = ["--times", "1h", "--chips", "2"]
    call(there, "calibrate", *common, "--out", "é/r.safetensors", cwd=folder)
    drift = ["drift", *common, *quick, "--ranges", "é/r.safetensors", "--out"]
    call(there, *drift, "Maße", cwd=folder)
    header = json.loads((folder / "Maße" / "run.json").read_text(encoding="utf-8"))["header"]
    assert header["command"].endswith("--out 'Maße'"), header["command"]
    rows = (folder / "Maße" / "rows.jsonl").read_bytes()
    call(commands, *drift, "Maße", cwd=folder, env={"LC_ALL": "C.UTF-8"})
    call(there, *drift, "Maße", cwd=folder)
    assert (folder / "Maße" / "rows.jsonl").read_bytes() == rows, "the same run in either locale"
    assert "Maße" in (folder / "Maße" / "report.html").read_text(encoding="utf-8")
    shutil.copytree(folder / "Maße", folder / "Zweite Maße")
    call(there, "compare", "Maße", "Zweite Maße", "--out", "übersicht", cwd=folder)
    assert "Zweite Maße" in (folder / "übersicht" / "compare.html").read_text(encoding="utf-8")
    assert "Zweite Maße" in next((folder / "übersicht").glob("*.csv")).read_text(encoding="utf-8")


def test_training_and_advice(there, folder):
    common = ["digits_cnn", "--weights", "gewichte-ä.safetensors", "--data", "digits?n=120"]
    call(there, "train", *common, "--epochs", "1", "--logger", "csv", "--out", "schön", cwd=folder)
    assert (folder / "schön" / "weights.safetensors").is_file()
    call(there, "advise", *common, "--effort", "quick", "--times", "1h", "--chips", "3", "--max-seconds", "1s", "--out", "rät",
         cwd=folder)  # fmt: skip
    assert "gewichte-ä" in (folder / "rät" / "advice.html").read_text(encoding="utf-8")


def test_folders_of_images(there, folder):
    image = pytest.importorskip("PIL.Image")
    for name in ("Öl", "Äpfel"):
        (folder / "Bücher" / name).mkdir(parents=True)
        for i in range(4):
            image.new("L", (8, 8), 20 * i).save(folder / "Bücher" / name / f"{i}ß.png")
    Path(folder / "net.py").write_text(
        "import torch.nn as n\ndef make(): return n.Sequential(n.Flatten(), n.Linear(192, 2))"
    )
    call(there, "drift", "net:make", "--data", "Bücher/?size=8", "--times", "1h", "--chips", "2", "--out", "bilder",
         cwd=folder)  # fmt: skip
    data = json.loads((folder / "bilder" / "run.json").read_text(encoding="utf-8"))["header"]["data"]
    assert data["classes"] == ["Äpfel", "Öl"]

"""Folders of images, .npz files and what a factory returns."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from mho.data import Dataset, load
from mho.errors import BadInput, MissingExtra, WrongSetting

image = pytest.importorskip("PIL.Image")
RED, GREEN, BLUE = (250, 0, 0), (0, 250, 0), (0, 0, 250)


def _image(file, colour, size=(6, 4), mode="RGB"):
    file.parent.mkdir(parents=True, exist_ok=True)
    image.new("RGB", size, colour).convert(mode).save(file)


@pytest.fixture
def folder(tmp_path):
    for i in range(20):
        _image(tmp_path / "pets" / "cat" / f"{i}.png", RED)
        _image(tmp_path / "pets" / "dog" / "more" / f"{i}.JPG", GREEN)
        _image(tmp_path / "pets" / "emu" / f"{i}.bmp", BLUE, mode="P")
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "pets" / "cat" / ".hidden.png").write_text("no image")
    (tmp_path / "pets" / ".git").mkdir()
    return tmp_path / "pets"


def test_a_folder_of_images_by_class(folder):
    data = load(f"{folder}?prep=raw255")
    assert (data.inputs.shape, data.classes, data.name) == ((60, 3, 4, 6), ("cat", "dog", "emu"), "pets")
    assert data.labels.bincount().tolist() == [20, 20, 20]
    assert torch.equal(data.inputs.mean((2, 3)).argmax(1), data.labels), "colours and labels belong together"
    assert data.labels[:12].bincount(minlength=3).min() > 0, "the first ones are of all classes"
    assert torch.equal(load(f"{folder}?n=7&prep=raw255").inputs, data.inputs[:7])
    assert load(folder).digest() == load(f"{folder}/?prep=unit").digest()
    assert float(load(folder).inputs.max()) == pytest.approx(250 / 255, abs=0.02)
    assert load(f"{folder}?grey=true").inputs.shape == (60, 1, 4, 6)


def test_the_order_is_that_of_the_names_wherever_the_folder_lies(folder, tmp_path):
    before = load(folder).digest()
    folder.rename(tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere").digest() == before


def test_splits(folder, tmp_path):
    (tmp_path / "all").mkdir()
    folder.rename(tmp_path / "all" / "test")
    _image(tmp_path / "all" / "train" / "cat" / "a.png", RED)
    with pytest.raises(BadInput, match=r"has the splits test, train -> say which: .*all\?split=test"):
        load(tmp_path / "all")
    assert len(load(f"{tmp_path}/all?split=test").labels) == 60
    assert load(f"{tmp_path}/all?split=train").name == "all/train"
    with pytest.raises(WrongSetting, match="unknown split 'val' -> valid are test, train"):
        load(f"{tmp_path}/all?split=val")


@pytest.mark.parametrize(("size", "resize"), [(4, None), (8, None), (4, 8), (5, 7)])
def test_scaling_and_cutting_are_torchvisions(tmp_path, size, resize):
    """Against its definition: the shorter side scaled, bilinear, the middle cut out."""
    pixels = np.random.default_rng(0).integers(256, size=(13, 21, 3), dtype=np.uint8)
    for i, each in enumerate((pixels, pixels.transpose(1, 0, 2))):
        (tmp_path / "d" / "c").mkdir(parents=True, exist_ok=True)
        image.fromarray(np.ascontiguousarray(each)).save(tmp_path / "d" / "c" / f"{i}.png")
    data = load(f"{tmp_path}/d?size={size}&prep=raw255{f'&resize={resize}' if resize else ''}")
    assert data.inputs.shape == (2, 3, size, size)
    short = resize or size
    long = int(short * 21 / 13)
    wide = np.asarray(image.fromarray(pixels).resize((long, short), image.Resampling.BILINEAR))
    top, left = round((short - size) / 2), round((long - size) / 2)
    expected = torch.from_numpy(wide[top : top + size, left : left + size].copy()).permute(2, 0, 1).float()
    assert any(torch.equal(found, expected) for found in data.inputs)


def test_what_is_wrong_with_a_folder_is_said(folder, tmp_path):
    _image(folder / "cat" / "large.png", RED, size=(9, 9))
    with pytest.raises(BadInput, match=r"pixels, others .* -> give all one size: \?size=224"):
        load(folder)
    (folder / "cat" / "large.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"large\.png: is no image"):
        load(folder)
    (folder / "cat" / "large.png").unlink()
    (folder / "fox").mkdir()
    with pytest.raises(BadInput, match="fox: has no image"):
        load(folder)
    with pytest.raises(BadInput, match="has no folder of images -> make one folder a class"):
        load(folder / "fox")
    (folder / "fox").rmdir()
    for spec, match in (
        ("?prep=mfcc", "unknown prep 'mfcc'"), ("?size=0", "size is 0"), ("?size=8&resize=4", "cut out no more"),
        ("?n=61", "61 of 60 samples"), ("?colour=1", "unknown option 'colour' -> valid options are split, prep, size"),
        ("?grey=true&prep=imagenet", "unknown prep 'imagenet'"),
    ):  # fmt: skip
        with pytest.raises(WrongSetting, match=match):
            load(f"{folder}{spec}")
    with pytest.raises(BadInput, match="there is no such file or folder"):
        load(f"{tmp_path}/nowhere/")


def test_pillow_is_asked_for_by_name(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mho\[vision\]'"):
        load(folder)


def test_names_go_before_folders(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    _image(tmp_path / "digits" / "a" / "1.png", RED)
    assert load("digits").name == "digits/test"
    assert load("./digits").classes == ("a",)


BYTES = np.random.default_rng(0).integers(256, size=(12, 5, 7, 3), dtype=np.uint8)
CLASSES = np.arange(12) % 4


@pytest.mark.parametrize(
    ("keys", "spec"),
    [
        ({"x": BYTES, "y": CLASSES}, ""),
        ({"images": BYTES, "labels": CLASSES[:, None]}, ""),
        ({"x_test": BYTES, "y_test": CLASSES, "x_train": BYTES[:2], "y_train": CLASSES[:2]}, "?split=test"),
        ({"test_images": BYTES, "test_labels": CLASSES, "val_images": BYTES[:3], "val_labels": CLASSES[:3]}, "?split=test"),
        ({"arr_0": BYTES, "arr_1": CLASSES}, "?x=arr_0&y=arr_1"),
        ({"x": BYTES.transpose(0, 3, 1, 2), "y": CLASSES.astype(np.uint8)}, ""),
    ],
)  # fmt: skip
def test_npz(tmp_path, keys, spec):
    np.savez_compressed(tmp_path / "mine.npz", **keys)
    data = load(f"{tmp_path}/mine.npz{spec}")
    assert data.name == "mine/test" if spec == "?split=test" else data.name == "mine"
    torch.testing.assert_close(data.inputs, torch.from_numpy(BYTES).permute(0, 3, 1, 2) / 255)
    assert data.labels.tolist() == CLASSES.tolist() and data.classes == ("0", "1", "2", "3")
    more = "&" if spec else "?"
    assert load(f"{tmp_path}/mine.npz{spec}{more}prep=raw255&n=5&batch=2").inputs.shape == (5, 3, 5, 7)


def test_npz_of_other_inputs_and_targets(tmp_path):
    x = np.linspace(-1, 1, 24).reshape(6, 4)
    np.savez(tmp_path / "a.npz", x=x, y=np.linspace(0, 1, 6))
    data = load(tmp_path / "a.npz")
    assert (data.inputs.dtype, data.labels.dtype, data.classes) == (torch.float32, torch.float32, ())
    np.savez(tmp_path / "b.npz", x=BYTES[..., 0], y=CLASSES > 1, classes=np.array(["no", "yes"]))
    data = load(tmp_path / "b.npz")
    assert data.inputs.shape == (12, 1, 5, 7) and data.classes == ("no", "yes")
    np.savez(tmp_path / "c.npz", x=np.arange(12).reshape(4, 3), y=np.arange(12).reshape(4, 3))
    assert load(tmp_path / "c.npz").inputs.dtype == torch.int64


class _Bomb:
    def __reduce__(self):
        return os.system, ("echo pwned > pwned",)


def test_what_is_wrong_with_a_npz_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.npz"
    for keys, match in (
        ({"x": BYTES}, r"holds 'x': none of them has a name for targets -> say which: .*\?y=KEY"),
        ({"x": BYTES, "images": BYTES, "y": CLASSES}, r"holds 'x', 'images', 'y': which are inputs\?"),
        ({"x": BYTES, "y": CLASSES[:3]}, "12 inputs but 3 labels"),
        ({"x": BYTES, "y": CLASSES - 1}, "labels run from -1"),
        ({"x": BYTES, "y": np.array(["a"] * 12)}, "give numbers"),
        ({"x": np.array([_Bomb()]), "y": np.array([1])}, "is no .npz file of plain arrays"),
        ({"x": np.full((2, 2), np.nan), "y": np.array([0, 1])}, "not finite"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, np.int64)}, "no labelled sample"),
    ):
        np.savez(file, **keys)
        with pytest.raises(BadInput, match=match):
            load(file)
    assert not (tmp_path / "pwned").exists()
    np.savez(file, x=BYTES / 255.0, y=CLASSES)
    with pytest.raises(WrongSetting, match="it is for images of bytes"):
        load(f"{file}?prep=unit")
    content = file.read_bytes()
    for broken in (content[:-30], b"PK\x03\x04", b"", content[:200] + b"\xff" * 50 + content[250:]):
        file.write_bytes(broken)
        with pytest.raises(BadInput, match=r"a\.npz: "):
            load(file)
    with pytest.raises(BadInput, match="there is no such file or folder"):
        load("nowhere.npz")


MODULE = """
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset
X, Y = torch.arange(40.0).view(20, 2), torch.arange(20) % 2
def dataset(): return TensorDataset(X, Y)
def loader(*, batch=4): return DataLoader(dataset(), batch_size=batch)
def batches(): return [(X, Y)]
def generator(): yield X, Y
def columns():
    return DataLoader([{"a": x, "b": -x, "label": y} for x, y in zip(X, Y)], batch_size=8)
def dicts(): return [{"a": X[:12], "b": -X[:12], "labels": Y[:12]}, {"a": X[12:], "b": -X[12:], "labels": Y[12:]}]
def samples(): return [{"a": x, "labels": y} for x, y in zip(X, Y)]
def unlabelled(): return [{"a": X}]
def targets(): return TensorDataset(X, X.sum(1))
def without(): return [X]
def nothing(): return []
def dictionary(): return {"train": X}
"""


def test_what_a_factory_returns(tmp_path, monkeypatch):
    (tmp_path / "sets_of_this_test.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    for factory in ("dataset", "loader", "loader?batch=3", "batches", "generator"):
        data = load(f"sets_of_this_test:{factory}")
        assert isinstance(data, Dataset) and data.name == f"sets_of_this_test:{factory.partition('?')[0]}"
        assert data.inputs.flatten().tolist() == list(range(40)) and data.labels.tolist() == [0, 1] * 10
    for factory in ("columns", "dicts"):
        data = load(f"sets_of_this_test:{factory}")
        ((inputs, labels),) = data
        assert torch.equal(inputs["a"], -inputs["b"]) and labels.tolist() == [0, 1] * 10
    assert len(data.subset(3).labels) == 3 and data.subset(3).digest() != data.digest()
    assert load("sets_of_this_test:targets").labels.dtype == torch.float32
    for factory, match in (
        ("without", "returned a list: batch 0 is no pair -> .*or return a mho.data.Dataset"),
        ("samples", "returned a list: batch 0 is one sample with the label 0 -> .*DataLoader"),
        ("unlabelled", "returned a list: a dict with 'a': none of these are called as targets are"),
        ("nothing", "returned a list: gives no batch"),
        ("dictionary", "returned a dict: this is a dict with 'train', not batches -> give one of them"),
    ):
        with pytest.raises(BadInput, match=match):
            load(f"sets_of_this_test:{factory}")

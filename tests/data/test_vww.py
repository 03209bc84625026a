"""Visual Wake Words from a small set in COCO's format, MLPerf Tiny's photographs, and animals against vehicles."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mho.cli.app import app
from mho.data import load
from mho.data.coco_people import build
from mho.data.dataset import Dataset
from mho.errors import BadInput, WrongSetting
from mho.models.root import Missing

pytest.importorskip("PIL")
SIDE = 40
"""Of every image: 1,600 pixels, so that 8 of them are the 0.5 %."""


EMPTY = '{"images": [], "annotations": [], "categories": []}'


def _annotation(image, box, area, category=1):
    return {"image_id": image, "category_id": category, "bbox": box, "area": area, "iscrowd": 0}


@pytest.fixture
def coco(tmp_path):
    """Images 1 to 4 for training, 11 and 12 for validation; what they show is said beside the annotations."""
    from PIL import Image

    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    shown = {
        "train": [
            _annotation(1, [0, 0, 4, 4], 9.0),  # a person whose box is 1 %
            _annotation(2, [0, 0, 2, 4], 7.0),  # exactly 0.5 %: not above
            _annotation(3, [0, 0, 3, 3], 4.0),  # the box is above, the segmentation not
            _annotation(4, [0, 0, 40, 40], 1600.0, category=2),  # a dog
        ],
        "val": [_annotation(12, [0, 0, 30, 30], 700.0), _annotation(12, [0, 0, 1, 1], 1.0)],
    }
    for split, numbers in (("train", (1, 2, 3, 4)), ("val", (11, 12))):
        (root / f"{split}2014").mkdir()
        images = [{"id": i, "file_name": f"COCO_{i:012d}.jpg", "width": SIDE, "height": SIDE} for i in numbers]
        for each in images:
            Image.new("RGB", (SIDE, SIDE), (each["id"] * 10, 0, 0)).save(root / f"{split}2014" / each["file_name"])
        held = {
            "images": images,
            "annotations": shown[split],
            "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
        }
        (root / "annotations" / f"instances_{split}2014.json").write_text(json.dumps(held))
    return root


def test_a_person_counts_above_the_share_of_its_box(coco, tmp_path):
    train, val = build(coco, tmp_path / "vww")
    assert (train.images, train.people, val.images, val.people) == (4, 2, 2, 1)
    assert [line.rsplit(",", 1)[1] for line in (tmp_path / "vww" / "train.csv").read_text().split()] == [
        "1",
        "0",
        "1",
        "0",
    ]
    train, _ = build(coco, tmp_path / "vww", area="segmentation")
    assert train.people == 1
    train, _ = build(coco, tmp_path / "vww", least=0.0)
    assert train.people == 3


def test_minival_takes_its_images_out_of_both(coco, tmp_path):
    (tmp_path / "ids").write_text("1\n12\n")
    train, val = build(coco, tmp_path / "vww", minival=tmp_path / "ids")
    assert (train.images, train.people, val.images, val.people) == (4, 1, 2, 2)
    assert "115,228 are published" in str(train) and "8,059 are published" in str(val)
    assert "not known" in str(build(coco, tmp_path / "vww")[0])
    (tmp_path / "ids").write_text("1 99")
    with pytest.raises(BadInput, match="1 of its images are not annotated"):
        build(coco, tmp_path / "vww", minival=tmp_path / "ids")


def test_it_goes_on_where_it_was(coco, tmp_path, monkeypatch):
    from mho.data import coco_people

    hidden = coco / "val2014" / "COCO_000000000011.jpg"
    hidden.rename(tmp_path / "hidden.jpg")
    with pytest.raises(BadInput, match=r"1 of 2 images are missing, COCO_000000000011.jpg the first"):
        build(coco, tmp_path / "vww")
    assert not (tmp_path / "vww" / "train.csv").exists()
    (tmp_path / "hidden.jpg").rename(hidden)
    read, once = [], coco_people._labelled
    monkeypatch.setattr(
        coco_people, "_labelled", lambda root, file, *more: read.append(file.name) or once(root, file, *more)
    )
    build(coco, tmp_path / "vww")
    build(coco, tmp_path / "vww")
    assert read == ["instances_val2014.json"]  # the other had been read before


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda root: (root / "annotations" / "instances_val2014.json").write_text("{"), "not annotations of COCO"),
        (lambda root: (root / "annotations" / "instances_val2014.json").unlink(), r"instances_val\*.json: none"),
        (lambda root: (root / "val2014").rename(root / "other"), "no folder 'val2014'"),
        (lambda root: (root / "annotations" / "instances_val2014.json").write_text(EMPTY), "knows no person"),
    ],
)  # fmt: skip
def test_what_is_broken_is_named(coco, tmp_path, change, what):
    change(coco)
    with pytest.raises(BadInput, match=what):
        build(coco, tmp_path / "vww")


def test_from_the_shell_to_the_images(coco, tmp_path, monkeypatch):
    monkeypatch.setenv("MHO_DATA", str(tmp_path))
    with pytest.raises(Missing, match="mho data vww --coco"):
        load("vww")
    done = CliRunner().invoke(app, ["data", "vww", "--coco", str(coco)], catch_exceptions=False)
    assert (
        done.exit_code == 0
        and "train: 4 images (the published number is not known), 50.0% with a person" in done.output
    )
    data = load("vww?split=train&size=32&prep=bytes")
    assert data.inputs.shape == (4, 3, 32, 32) and data.inputs.dtype == torch.uint8
    shades = [int(image[0, 16, 16]) for image in data.inputs]
    assert sorted(round(shade / 10) for shade in shades) == [1, 2, 3, 4]
    assert {round(s / 10): int(y) for s, y in zip(shades, data.labels, strict=True)} == {1: 1, 2: 0, 3: 1, 4: 0}
    assert torch.equal(load("vww?split=train&size=32&n=2&prep=raw255").inputs, data.inputs[:2].float())
    with pytest.raises(WrongSetting, match="unknown area"):
        CliRunner().invoke(app, ["data", "vww", "--coco", str(coco), "--area", "round"], catch_exceptions=False)


def _photographs(folder, count=3, missing=0):
    folder.mkdir()
    names = [f"{i:012d}.bin" for i in (7, 2, 5)][:count]
    (folder / "y_labels.csv").write_text("".join(f"{name},2,{i % 2}\n" for i, name in enumerate(names)))
    for i, name in enumerate(names[: count - missing]):
        np.full((96, 96, 3), i, dtype=np.uint8).tofile(folder / name)


def test_photographs_of_the_benchmark(tmp_path):
    _photographs(tmp_path / "vww01")
    data = load(f"vww01?folder={tmp_path / 'vww01'}&prep=raw255")
    assert data.inputs.shape == (3, 3, 96, 96) and data.inputs[:, 0, 0, 0].tolist() == [1, 2, 0]  # by name
    assert data.labels.tolist() == [1, 0, 0] and data.classes == ("no person", "person")


def test_photographs_that_are_missing_or_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("MHO_DATA", str(tmp_path))
    with pytest.raises(Missing, match="commit 00bc683"):
        load("vww01")
    _photographs(tmp_path / "vww01", missing=1)
    with pytest.raises(BadInput, match=re.escape("000000000005.bin")):
        load("vww01")
    (tmp_path / "vww01" / "000000000005.bin").write_bytes(b"1234")
    with pytest.raises(BadInput, match="4 bytes, not 96"):
        load("vww01")
    (tmp_path / "vww01" / "y_labels.csv").write_text("a.bin,2,7\n")
    with pytest.raises(BadInput, match="0 or 1"):
        load("vww01")


def test_animals_against_vehicles(monkeypatch):
    from mho.data import animals as module

    labels = torch.arange(10).repeat(500)
    images = torch.arange(5000.0).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    monkeypatch.setattr(module, "cifar10", lambda **_: Dataset("c", images, labels, tuple("0123456789")))
    test = module.animals()
    assert len(test.labels) == 2000 + 1774 and float(test.labels.float().mean()) == pytest.approx(0.47, abs=1e-3)
    of = labels[test.inputs[:, 0, 0, 0].long()]
    assert torch.equal(test.labels.bool(), (of >= 2) & (of <= 7))
    assert float(test.labels[:100].float().mean()) == pytest.approx(0.47, abs=0.05)
    training, held = module.animals(split="train"), module.animals(split="calibration")
    assert not set(training.inputs[:, 0, 0, 0].tolist()) & set(held.inputs[:, 0, 0, 0].tolist())
    assert len(held.labels) == 2000 and len(module.animals(n=7).labels) == 7
    with pytest.raises(WrongSetting):
        module.animals(split="val")

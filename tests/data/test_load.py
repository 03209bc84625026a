"""Data sets from strings."""

from __future__ import annotations

import os

import pytest
import torch

from mho.data import Dataset, data_root, load, names
from mho.data.tokenizer import Tokenizer
from mho.errors import BadInput, MissingExtra, WrongSetting

needs_data = pytest.mark.skipif("MHO_DATA" not in os.environ, reason="MHO_DATA is not set: the data sets are not here")


def _digits(split):
    pytest.importorskip("sklearn")
    return load(f"digits?split={split}")


def test_digits_are_split_once_and_for_all():
    train, test = _digits("train"), _digits("test")
    assert (len(train.labels), len(test.labels)) == (1257, 540)
    assert (train.inputs.shape[1:], train.inputs.dtype) == ((1, 8, 8), torch.float32)
    assert (float(train.inputs.min()), float(train.inputs.max())) == (0.0, 1.0)
    assert train.digest() == _digits("train").digest()


def test_digits_are_disjoint_complete_and_stratified():
    from sklearn.datasets import load_digits

    train, test = _digits("train"), _digits("test")

    def rows(images):
        return {bytes(image) for image in (images * 16).to(torch.uint8).flatten(1).numpy()}

    assert len(rows(train.inputs)) == 1257
    assert not rows(train.inputs) & rows(test.inputs)
    everything = torch.as_tensor(load_digits().images)
    assert rows(everything / 16) == rows(train.inputs) | rows(test.inputs)
    share = test.labels.bincount() / (test.labels.bincount() + train.labels.bincount())
    assert float((share - 540 / 1797).abs().max()) < 0.006
    assert test.labels[:50].bincount(minlength=10).max() < 15, "the classes come in blocks"


def test_digits_match_their_labels():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    known = {image.tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)}
    test = _digits("test")
    assert all(
        known[(image[0] * 16).double().numpy().tobytes()] == label
        for image, label in zip(test.inputs, test.labels.tolist(), strict=True)
    )


def test_loading_leaves_the_global_generators_alone():
    import numpy as np

    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    before, before_np = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    _digits("train")
    assert torch.equal(before, torch.get_rng_state())
    assert (before_np == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (
            "imagenet",
            "no data set is called 'imagenet' -> give a folder .* package.module:factory, or one of digits, cifar10",
        ),
        ("digits?prep=unit", "digits: unknown option 'prep' -> valid options are split, n, batch"),
        ("digits?split=all", "unknown split 'all' -> valid are train, test"),
        ("cifar10?prep=mfcc", "unknown prep 'mfcc' -> valid are imagenet, cifar, unit, pm1, raw255"),
        ("kws?split=train", "unknown split 'train' -> valid are test"),
        ("mnist?prep=imagenet", "valid are unit, pm1, raw255, mnist"),
        ("digits?n=0", "0 of 540 samples -> ask for 1 to 540"),
        ("digits?n=541", "541 of 540"),
        ("digits?n=1.5", "1.5 of 540"),
        ("digits?batch=0", "batch is 0"),
        ("digits?batch=true", "batch is True"),
        ("torch.nn:nothing", "has no callable 'nothing'"),
    ],
)
def test_unknown_names_and_options_are_refused(spec, match):
    with pytest.raises(WrongSetting, match=match):
        load(spec)


def test_a_users_own_data(tmp_path, monkeypatch):
    (tmp_path / "data_of_this_test.py").write_text(
        "import torch\nfrom mho.data import Dataset\n"
        "def pairs(*, n=4): return Dataset('mine', torch.zeros(n, 2), torch.zeros(n).long(), ('a',))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert len(load("data_of_this_test:pairs?n=3").labels) == 3
    with pytest.raises(BadInput, match=r"returned a Counter: .*or return a mho\.data\.Dataset"):
        load("collections:Counter")


@pytest.mark.parametrize("name", sorted(set(names()) - {"digits"}))
def test_without_the_files_the_way_out_is_named(name, monkeypatch, tmp_path):
    monkeypatch.delenv("MHO_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(BadInput, match="is missing from .*while MHO_DATA is not set -> .*MHO_DATA"):
        load(name)
    monkeypatch.setenv("MHO_DATA", str(tmp_path))
    with pytest.raises(BadInput, match=f"is missing from {tmp_path}, which MHO_DATA names -> "):
        load(name)
    monkeypatch.setenv("MHO_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="which is no folder"):
        data_root()


def test_a_missing_package_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtra, match=r"'digits' needs 'sklearn.datasets'.*pip install 'mho\[demo\]'"):
        load("digits")


@pytest.mark.data
@needs_data
def test_cifar10():
    data = load("cifar10?prep=raw255&n=600&batch=500")
    assert [tuple(x.shape) for x, _ in data] == [(500, 3, 32, 32), (100, 3, 32, 32)]
    assert data.name == "cifar10/test"
    assert data.classes[int(data.labels[0])] == "cat"
    assert (float(data.inputs.min()), float(data.inputs.max())) == (0, 255)
    part = load("cifar10?prep=raw255&n=110&skip=480")  # begins in one strip and ends in the next
    assert torch.equal(part.inputs, data.inputs[480:590])
    assert torch.equal(part.labels, data.labels[480:590])
    same = load("cifar10?prep=imagenet&n=600").inputs
    shift = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    scale = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    torch.testing.assert_close(same * scale + shift, data.inputs / 255)
    torch.testing.assert_close(load("cifar10?prep=pm1&n=5").inputs, data.inputs[:5] / 127.5 - 1)
    everything = load("cifar10?prep=cifar")
    assert everything.labels.bincount().tolist() == [1000] * 10
    assert float(everything.inputs.mean()) == pytest.approx(0, abs=0.02)
    assert float(everything.inputs.std()) == pytest.approx(1, abs=0.01)
    train = load("cifar10?split=train&n=100&prep=unit")
    assert train.digest() != load("cifar10?n=100&prep=unit").digest()


@pytest.mark.data
@needs_data
def test_a_damaged_strip_is_refused(tmp_path, monkeypatch):
    import shutil

    (tmp_path / "cifar10").mkdir()
    shutil.copy(data_root() / "cifar10" / "test_labels.npy", tmp_path / "cifar10")
    monkeypatch.setenv("MHO_DATA", str(tmp_path))
    (tmp_path / "cifar10" / "test_000.webp").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"test_000\.webp: is no image"):
        load("cifar10?n=3")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar10/test_labels.npy"),
        ("kws", "kws01/kws01_mfcc.npz"),
        ("tinystories-self", "tinystories/self_samples.npy"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"damaged", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_damaged_arrays_are_refused(name, file, content, tmp_path, monkeypatch):
    monkeypatch.setenv("MHO_DATA", str(tmp_path))
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_bytes(content)
    with pytest.raises(BadInput, match=f"{file}: is no numpy file of plain arrays"):
        load(name)


@pytest.mark.data
@needs_data
def test_mnist():
    data = load("mnist")
    assert data.inputs.shape == (10_000, 1, 28, 28)
    assert data.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert (float(data.inputs.min()), float(data.inputs.max())) == (0, 1)
    train = load("mnist?split=train&prep=mnist")
    assert train.inputs.shape == (17_435, 1, 28, 28)
    assert float(train.inputs.mean()) == pytest.approx(0, abs=0.01)


@pytest.mark.data
@needs_data
def test_kws():
    data = load("kws")
    assert data.inputs.shape == (1000, 1, 49, 10)
    assert len(data.labels.bincount()) == len(data.classes) == 12
    assert int(data.labels.bincount().min()) >= 70
    torch.testing.assert_close(data.inputs, (load("kws?prep=int8").inputs - 83) * 0.5847029)


@pytest.mark.data
@needs_data
def test_tinystories():
    data = load("tinystories")
    assert data.inputs.shape == data.labels.shape == (5, 456)
    assert int((data.labels != -100).sum()) == 1804
    counted = data.labels[:, 1:] != -100
    assert torch.equal(data.inputs[:, 1:][counted], data.labels[:, :-1][counted])
    own = load("tinystories-self?n=7&batch=3")
    assert [len(x) for x, _ in own] == [3, 3, 1]
    assert torch.equal(own.inputs[:, 1:], own.labels[:, :-1])


@pytest.mark.data
@needs_data
def test_the_tokenizer_gives_the_text_back():
    tokenizer = Tokenizer.read(data_root() / "tinystories" / "tok512.bin")
    text = "Once upon a time, Tim said “Wow!”\nÉté 🙂"
    tokens = tokenizer.encode(text)
    assert tokenizer.decode(tokens) == text
    assert tokens[0] == 1
    assert len(tokenizer.encode("Once upon a time")) < 8


def test_a_cut_tokenizer_file_is_refused(tmp_path):
    (tmp_path / "t.bin").write_bytes(b"\x00" * 4 + b"\x00\x00\x80?\x05\x00\x00\x00ab")
    with pytest.raises(BadInput, match="is no tokenizer"):
        Tokenizer.read(tmp_path / "t.bin")


def test_merges_go_by_score_and_then_from_the_left():
    pieces = [b"", b"", b"", *(bytes([i]) for i in range(256)), b"ab", b"bc", b"aa"]
    tokenizer = Tokenizer(pieces, [0.0] * 259 + [1.0, 2.0, 3.0])
    first = {piece: number for number, piece in enumerate(pieces)}
    assert tokenizer.encode("abc") == [1, first[b" "], first[b"a"], first[b"bc"]]
    assert tokenizer.encode("aaa") == [1, first[b" "], first[b"aa"], first[b"a"]]
    assert tokenizer.encode("") == [1]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n == "digits" else [pytest.mark.data, needs_data])
        for n in names()
        if n
        not in ("cifar100", "fashion-mnist", "vww", "vww01")  # test_published_files.py and test_vww.py make small ones
    ],
)
def test_every_set_gives_what_its_name_asks_for(name):
    if name == "digits":
        pytest.importorskip("sklearn")
    data = load(f"{name}?n=5&batch=2")
    assert isinstance(data, Dataset) and data.name.startswith(name.partition("-")[0])
    assert [len(x) for x, _ in data] == [2, 2, 1]
    assert torch.isfinite(data.inputs.double()).all() and len(data.inputs.unique()) > 2

"""Data sets in their authors' formats give the same tensors as the layout that was used so far."""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mho.data import load
from mho.data.idx import read_idx
from mho.data.plain_pickle import read_pickle
from mho.errors import BadInput, WrongSetting

_spec = importlib.util.spec_from_file_location("as_published", Path(__file__).parent / "as_published.py")
write = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(write)

needs_data = pytest.mark.skipif("MHO_DATA" not in os.environ, reason="MHO_DATA is not set: the data sets are not here")
BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MHO_DATA", str(tmp_path))
    return tmp_path


def _random(n, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (n, 3072), generator=generator, dtype=torch.uint8)
    return images, (torch.arange(n) % classes).tolist()


def _put(place, files):
    for name, content in files.items():
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


LAYOUTS = {
    "pickled": lambda batches: {f"cifar10/cifar-10-batches-py/{n}": write.pickled(*b) for n, b in batches.items()},
    "as torchvision has it": lambda batches: {
        f"cifar-10-batches-py/{n}": write.pickled(*b) for n, b in batches.items()
    },
    "binary": lambda batches: {f"cifar10/cifar-10-batches-bin/{n}.bin": write.records(*b) for n, b in batches.items()},
    "archive": lambda batches: {
        "cifar10/cifar-10-python.tar.gz": write.archive(
            {f"cifar-10-batches-py/{n}": write.pickled(*b) for n, b in reversed(batches.items())}
        )
    },
    "binary archive": lambda batches: {
        "cifar-10-binary.tar.gz": write.archive(
            {f"cifar-10-batches-bin/{n}.bin": write.records(*b) for n, b in batches.items()}
        )
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_published_form_of_cifar10_is_read(root, layout):
    batches = {name: _random(20, 10, seed) for seed, name in enumerate([*BATCHES, "test_batch"])}
    _put(root, LAYOUTS[layout](batches))
    train, test = load("cifar10?split=train&prep=raw255"), load("cifar10?prep=raw255&n=7&batch=3")
    assert torch.equal(load("cifar10?prep=raw255&n=2&skip=5").inputs, test.inputs[5:])
    with pytest.raises(BadInput, match="none is left after skip=1,000 -> skip fewer"):
        load("cifar10?skip=1000")
    assert torch.equal(train.inputs.to(torch.uint8).flatten(1), torch.cat([batches[name][0] for name in BATCHES]))
    assert train.labels.tolist() == [label for name in BATCHES for label in batches[name][1]]
    assert torch.equal(test.inputs.to(torch.uint8).flatten(1), batches["test_batch"][0][:7])
    assert (test.classes[3], len(test)) == ("cat", 3)


@pytest.mark.parametrize("binary", [False, True])
def test_cifar100_takes_the_fine_labels_and_their_names(root, binary):
    images, labels = _random(200, 100)
    names = [f"thing_{i}" for i in range(100)]
    if binary:
        _put(root, {"cifar100/cifar-100-binary/test.bin": write.records(images, labels, label_bytes=2)})
        _put(root, {"cifar100/cifar-100-binary/fine_label_names.txt": "\n".join(names).encode()})
    else:
        _put(root, {"cifar100/cifar-100-python/test": write.pickled(images, labels, key="fine_labels")})
        _put(root, {"cifar100/cifar-100-python/meta": pickle.dumps({b"fine_label_names": names}, protocol=2)})
    data = load("cifar100?prep=raw255")
    assert torch.equal(data.inputs.to(torch.uint8).flatten(1), images)
    assert data.labels.tolist() == labels and data.classes[42] == "thing_42"


@pytest.mark.data
@needs_data
def test_the_real_cifar10_is_the_same_in_every_published_form(tmp_path, monkeypatch):
    data = load("cifar10?prep=raw255&n=2000")
    batch = {"test_batch": (data.inputs.to(torch.uint8).flatten(1), data.labels.tolist())}
    prepared = load("cifar10?prep=imagenet&n=2000")
    for i, layout in enumerate(LAYOUTS.values()):
        _put(tmp_path / str(i), layout(batch))
        monkeypatch.setenv("MHO_DATA", str(tmp_path / str(i)))
        assert load("cifar10?prep=raw255").digest() == data.digest()
        assert load("cifar10?prep=imagenet").digest() == prepared.digest()


@pytest.mark.data
@needs_data
def test_the_real_mnist_is_the_same_gzipped_and_not(tmp_path, monkeypatch):
    whole, source = load("mnist?prep=raw255"), Path(os.environ["MHO_DATA"]) / "mnist"
    raw = {name: gzip.decompress((source / f"{name}.gz").read_bytes())
           for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}  # fmt: skip
    _put(tmp_path / "MNIST" / "raw", raw)
    monkeypatch.setenv("MHO_DATA", str(tmp_path))
    assert load("mnist?prep=raw255").digest() == whole.digest()


def _idx(values):
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw")])
def test_the_whole_training_set_goes_before_a_part_of_it(root, name, folder):
    images = np.random.default_rng(0).integers(256, size=(30, 28, 28), dtype=np.uint8)
    labels = (np.arange(30) % 10).astype(np.uint8)
    _put(root / name, {"train-images-first17435.gz": gzip.compress(images[:4].tobytes())})
    _put(root / name, {"train-labels-idx1-ubyte.gz": gzip.compress(_idx(labels))})
    assert len(load(f"{name}?split=train").labels) == 4
    _put(root / folder, {"train-images-idx3-ubyte": _idx(images)})
    data = load(f"{name}?split=train&prep=raw255")
    assert torch.equal(data.inputs[:, 0].to(torch.uint8), torch.from_numpy(images))
    assert data.labels.tolist() == labels.tolist()
    assert load(f"{name}?split=train&n=3").classes[1] == ("1" if name == "mnist" else "Trouser")


class _Bomb:
    def __reduce__(self):
        return os.system, ("echo pwned > pwned",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_would_run_code_runs_none(root, monkeypatch, protocol):
    monkeypatch.chdir(root)
    _put(root, {"cifar10/cifar-10-batches-py/test_batch": pickle.dumps({"data": _Bomb()}, protocol=protocol)})
    with pytest.raises(BadInput, match=r"test_batch: is no pickle of plain values .*names '(posix|nt)\.system'"):
        load("cifar10")
    assert not Path("pwned").exists()


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_of_protocols_up_to_4_are_read(protocol):
    found = read_pickle(pickle.dumps({"data": np.arange(6, dtype=np.uint8)}, protocol=protocol), path="here")
    assert found["data"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_pickle_of_objects_in_an_array_is_refused():
    with pytest.raises(BadInput, match="would run code|code in such a file is never run"):
        read_pickle(pickle.dumps({"data": np.array([_Bomb()], dtype=object)}), path="here")


GOOD = write.pickled(*_random(3, 10))


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255), cut=st.integers(0, len(GOOD)))
def test_damaged_pickles_end_in_a_message(place, byte, cut):
    for content in (GOOD[:place] + bytes([byte]) + GOOD[place + 1 :], GOOD[:cut]):
        try:
            read_pickle(content, path="here")
        except BadInput as error:
            assert error.path == "here"


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("cifar-10-batches-py/test_batch", GOOD[:-200], "is no pickle of plain values"),
        ("cifar-10-batches-py/test_batch", pickle.dumps([1]), "holds a list, not a dict"),
        ("cifar-10-batches-py/test_batch", pickle.dumps({"data": 1, "labels": [1]}), "holds no 'data' of bytes"),
        ("cifar-10-batches-py/test_batch", write.pickled(*_random(3, 10)).replace(b"K\x02e", b"K\x0be"), "labels outside 0 … 9"),
        ("cifar-10-batches-py/test_batch", write.pickled(_random(3, 10)[0], [0, 1]), "with as many 'labels'"),
        ("cifar-10-batches-bin/test_batch.bin", bytes(3072), "3072 bytes are no records of 3073 bytes"),
        ("cifar-10-batches-bin/test_batch.bin", b"", "0 bytes are no records"),
        ("cifar-10-python.tar.gz", b"nonsense", "is no whole archive"),
        ("cifar-10-python.tar.gz", write.archive({"other": b"x"}), "holds no 'cifar-10-batches-py/test_batch'"),
        ("cifar-10-python.tar.gz", write.archive({"cifar-10-batches-py/test_batch": GOOD})[:-3000], "is no whole archive"),
    ],
)  # fmt: skip
def test_damaged_files_are_refused_by_name(root, name, content, match):
    _put(root, {f"cifar10/{name}": content})
    with pytest.raises(BadInput, match=match) as caught:
        load("cifar10")
    assert name in caught.value.path and "fetch" in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"\x00\x00\x08\x01\x00\x00\x00\x01\x07", "no IDX file of bytes with 3 dimensions"),
        (b"\x00\x00\x0d\x03" + bytes(12), "no IDX file of bytes"),
        (_idx(np.zeros((2, 28, 28), np.uint8))[:-1], r"1567 bytes are not the \(2, 28, 28\)"),
        (_idx(np.zeros((2, 20, 28), np.uint8)), r"images of \(20, 28\)"),
        (b"", "no IDX file"),
    ],
)
def test_damaged_idx_files_are_refused(root, content, match):
    _put(root, {"mnist/t10k-images-idx3-ubyte": content, "mnist/t10k-labels-idx1-ubyte": _idx(np.zeros(2, np.uint8))})
    with pytest.raises(BadInput, match=match):
        load("mnist")
    broken = io.BytesIO()
    with gzip.open(broken, "w") as packed:
        packed.write(content)
    _put(root, {"mnist/t10k-images-idx3-ubyte.gz": broken.getvalue()[:-5]})
    with pytest.raises(BadInput, match="is no gzip file"):
        read_idx(root / "mnist" / "t10k-images-idx3-ubyte.gz", dims=3, again="again")


@pytest.mark.parametrize("spec", ["cifar100?prep=mfcc", "fashion-mnist?split=all", "cifar10?n=0"])
def test_options_are_checked(root, spec):
    _put(root, {"cifar10/cifar-10-batches-py/test_batch": GOOD})
    with pytest.raises(WrongSetting):
        load(spec)

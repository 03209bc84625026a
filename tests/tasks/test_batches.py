"""What may be given as data, and that every function takes it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import mho
from mho.errors import BadInput
from mho.measure.test_data import TestData
from mho.recalibration import RecalibrateNorms
from mho.tasks.batches import batches_of
from mho.training import rank_weights, train
from mho.training.loop.loader import hold

X = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(30) % 3


class Samples(Dataset):
    """Map style, with names of classes, as torchvision's sets are."""

    classes = ("a", "b", "c")

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i].numpy(), int(Y[i])


class Stream(IterableDataset):
    def __iter__(self):
        return zip(X, Y, strict=True)


class Features(dict):
    pass


class Rows:
    """What is known of `datasets.Dataset`, which is not imported: rows are dicts of plain values."""

    def __init__(self, rows, names=None):
        self.rows = rows
        self.column_names = list(rows[0])
        self.features = Features({key: type("Feature", (), {})() for key in rows[0]})
        if names:
            self.features["label"].names = names
        self.info = type("Info", (), {"dataset_name": "flowers"})()

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


ROWS = [{"x": X[i].tolist(), "label": int(Y[i])} for i in range(30)]
GIVEN = {
    "a torch Dataset": Samples(),
    "a TensorDataset": TensorDataset(X, Y),
    "a Subset": Subset(Samples(), range(30)),
    "an IterableDataset": Stream(),
    "a DataLoader": DataLoader(Samples(), batch_size=7),
    "a DataLoader of dicts": DataLoader([{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)], batch_size=7),
    "a Hugging Face dataset": Rows(ROWS, names=["a", "b", "c"]),
    "batches": [(X[:20], Y[:20]), (X[20:], Y[20:])],
    "a data set of mho": mho.data.Dataset("mine", X, Y, ("a", "b", "c")),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_it_becomes_the_same_samples_again_and_again(kind):
    given = batches_of(GIVEN[kind])
    for _ in range(2):
        batches = list(given)
        torch.testing.assert_close(torch.cat([x for x, _ in batches]), X)
        assert torch.equal(torch.cat([y for _, y in batches]), Y)
    held = mho.data.Dataset.of(GIVEN[kind])
    torch.testing.assert_close(held.inputs, X)
    assert held.labels.tolist() == Y.tolist()


def test_names_and_classes_are_kept():
    for kind, name in (
        ("a torch Dataset", "Samples"), ("a DataLoader", "Samples"), ("a Subset", "Samples"),
        ("a Hugging Face dataset", "flowers"),
    ):  # fmt: skip
        held = TestData.of(GIVEN[kind])
        assert (held.info.name, held.info.classes) == (name, ("a", "b", "c")), kind


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    TestData.of(Samples())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", GIVEN)
def test_every_function_takes_it(kind):
    data = GIVEN[kind]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    model = train(model, data, epochs=1)
    net = mho.calibrate(mho.to_analog(model, "pcm-cells"), data)
    assert mho.accuracy(net, data) == mho.accuracy(net, [(X, Y)])
    rank_weights(net, data)
    result = mho.drift(net, data, ["1 h"], chips=1, recalibrate=RecalibrateNorms(data, net))
    assert result.header.data.samples == 30
    assert len(hold(data)) == 30
    mho.fit(net, data, epochs=1, val=data)
    mho.sensitivity(net, data)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ("cifar10", r"'cifar10' is a name, not data -> load it: mho\.data\.load\('cifar10'\)"),
        ({"train": [], "test": []}, r"a dict with 'train', 'test', not batches -> give one of them"),
        (3, "a int gives no batches"),
        (Rows([{"x": [1.0], "text": "a"}]), r"column 'text' holds a str, not numbers -> .*remove_columns\('text'\)"),
        (Rows([{"x": [1.0], "fine_label": 1}]), "'x', 'fine_label'.* none of these are called as targets are"),
        (Rows([{"x": [1.0], "label": 1, "y": 1}]), "2 are called as targets are"),
        (Rows([{"label": 1}]), "called as targets are"),
        (Rows([{"x": [1.0, 2.0], "label": 1}, {"x": [1.0], "label": 1}]), "make no batch"),
        (TensorDataset(X, X, Y), "a sample has 3 parts"),
        (DataLoader([{"x": X}], batch_size=1), "none of these are called as targets are"),
    ],
)
def test_what_gives_no_batches_is_refused(data, match):
    with pytest.raises(BadInput, match=match):
        TestData.of(data)


def test_images_that_are_no_tensors_are_refused_with_the_way_out():
    image = pytest.importorskip("PIL.Image").fromarray(np.zeros((4, 4, 3), np.uint8))

    class Pictures(Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return image, 0

    with pytest.raises(
        BadInput, match=r"the first of which has a Image, make no batch .* -> let the data give tensors"
    ):
        TestData.of(Pictures())


def test_several_columns_stay_a_dict():
    rows = Rows([{"input_ids": [1, 2], "attention_mask": [1, 0], "label": 1}] * 3)
    ((inputs, labels),) = batches_of(rows)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (3, 2) and labels.tolist() == [1, 1, 1]


class _TwoInputs(torch.utils.data.Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        x = torch.full((4,), float(i))
        return (x, 2 * x), i % 3


class _Adds(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x, z):
        return self.layer(x + z)


@pytest.mark.parametrize(
    "data", [_TwoInputs(), torch.utils.data.DataLoader(_TwoInputs(), batch_size=5)], ids=["set", "loader"]
)
def test_several_inputs_come_through_datasets_and_loaders(data):
    net = _Adds()
    analog = mho.calibrate(mho.to_analog(net, "pcm-cells", example=(torch.zeros(1, 4), torch.zeros(1, 4))), data)
    result = mho.drift(analog, data, times=["1 h"], chips=2)
    assert result.digital_score == mho.accuracy(net, data)
    mho.fit(analog, data, epochs=1, lr=0.01)

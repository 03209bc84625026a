"""`Dataset` keeps its order and refuses what cannot be evaluated."""

from __future__ import annotations

import pytest
import torch

from mho.data import Dataset
from mho.errors import BadInput, WrongSetting
from mho.measure.evaluate import TestData as Held


def _data(n=7, batch=3, **changes):
    parts = {
        "inputs": torch.arange(2.0 * n).view(n, 2),
        "labels": torch.arange(n) % 3,
        "classes": ("a", "b", "c"),
    }
    return Dataset("mine", **(parts | changes), batch=batch)


def test_batches_come_in_order_as_often_as_asked():
    data = _data()
    for _ in range(2):
        batches = list(data)
        assert [len(x) for x, _ in batches] == [3, 3, 1]
        assert torch.equal(torch.cat([x for x, _ in batches]), data.inputs)
        assert torch.equal(torch.cat([y for _, y in batches]), data.labels)
    assert len(data) == 3
    assert len(_data(n=6)) == 2


def test_a_subset_is_the_beginning():
    part = _data().subset(4)
    assert (len(part.labels), len(part), part.name) == (4, 2, "mine")
    assert torch.equal(part.inputs, _data().inputs[:4])
    for n in (0, 8, -1, True, 2.0):
        with pytest.raises(WrongSetting, match="of 7 samples"):
            _data().subset(n)


def test_the_digest_tells_data_apart():
    digests = {
        _data().digest(),
        _data(labels=torch.arange(7) % 2).digest(),
        _data(inputs=torch.zeros(7, 2)).digest(),
        _data(inputs=torch.arange(14.0).view(7, 1, 2)).digest(),
        _data(inputs=torch.arange(14.0).view(7, 2).double()).digest(),
        _data().subset(6).digest(),
    }
    assert len(digests) == 6
    assert _data(batch=2).digest() == _data().digest()
    assert all(len(digest) == 12 for digest in digests)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"labels": torch.arange(6) % 3}, "7 inputs but 6 labels"),
        ({"labels": torch.arange(7)}, "labels run from 0 to 6, but there are 3 classes"),
        ({"labels": torch.full((7,), -1)}, "labels run from -1"),
        ({"labels": torch.full((7,), -100)}, "no labelled sample"),
        ({"labels": torch.zeros(7)}, "labels are torch.float32"),
        ({"inputs": torch.full((7, 2), float("inf"))}, "not finite"),
        ({"inputs": torch.zeros(0, 2), "labels": torch.zeros(0).long()}, "no labelled sample"),
    ],
)
def test_unusable_data_is_refused(changes, match):
    with pytest.raises(BadInput, match=f"mine: .*{match}"):
        _data(**changes)


def test_ignored_positions_do_not_count_as_labels():
    data = _data(labels=torch.tensor([[0, -100], [2, 1], [1, -100]] + [[0, 0]] * 4))
    assert len(data.labels) == 7


def test_it_is_what_the_measurements_take():
    held = Held.of(_data())
    assert (held.info.name, held.info.classes, held.info.samples) == ("mine", ("a", "b", "c"), 7)

from __future__ import annotations

import pytest
import torch

from mho.errors import BadInput
from mho.tasks.items import digests_of, joined, length, shared, take, tensors_of

BATCH = {"a": torch.arange(4), "b": (torch.arange(8).reshape(4, 2),)}


def test_items_of_nested_batches_are_taken_and_joined():
    part = take(BATCH, torch.tensor([3, 0]))
    assert part["a"].tolist() == [3, 0] and part["b"][0].tolist() == [[6, 7], [0, 1]]
    again = joined([take(BATCH, slice(0, 1)), take(BATCH, slice(1, None))])
    assert all(torch.equal(x, y) for x, y in zip(tensors_of(again), tensors_of(BATCH), strict=True))
    assert length(BATCH) == 4 and isinstance(again["b"], tuple)


@pytest.mark.parametrize("odd", [{"a": torch.zeros(2), "b": torch.zeros(3)}, torch.tensor(1), "text"])
def test_batches_without_a_common_number_of_items_are_refused(odd):
    with pytest.raises(BadInput, match="no common number of items"):
        length(odd)


@pytest.mark.parametrize("second", [torch.zeros(2, 3), {"a": 1}])
def test_what_cannot_be_joined_says_why(second):
    with pytest.raises(BadInput, match="cannot be joined"):
        joined([torch.zeros(2, 2), second])


def test_samples_are_known_again_as_doubles_and_refused_in_another_precision():
    x = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(0))
    known = frozenset(digests_of(x[:4]))
    assert shared(known, frozenset(digests_of(x[2:].double())), "data") == 2
    assert shared(known, frozenset(digests_of(x[4:])), "data") == 0 == shared(frozenset(), known, "data")
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(BadInput, match="the same dtype"):
            shared(known, frozenset(digests_of(x[2:].to(dtype))), "data")
        assert shared(frozenset(digests_of(x[:4].to(dtype))), frozenset(digests_of(x[2:].to(dtype))), "data") == 2
    assert digests_of(x[:0]) == [] and len(digests_of(torch.arange(3))) == 3

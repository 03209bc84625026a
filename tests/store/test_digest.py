from __future__ import annotations

import hashlib

import torch

from mho.store.digest import Digest, digest, digest_of_network


def test_digests_tell_values_dtypes_shapes_and_names_apart():
    a = torch.arange(6.0)
    different = [digest(t) for t in (a, a + 1, a.double(), a.reshape(2, 3), {"a": a}, {"b": a}, [a], (a, a))]
    assert len(set(different)) == len(different) and digest(a) == digest(a.clone(), "no tensor", None)
    assert digest(a.reshape(2, 3).t()) == digest(a.reshape(2, 3).t().contiguous())


def test_of_a_network_only_tensors_count():
    a = {"w": torch.ones(2), "b": torch.zeros(1)}
    assert digest_of_network({**a, "more": {"a": 1}}) == digest_of_network(dict(reversed(a.items())))
    assert digest_of_network(a) != digest_of_network({"w": torch.ones(2), "c": torch.zeros(1)})


def test_values_are_the_bytes_alone():
    a = torch.tensor([1, 2], dtype=torch.bfloat16)
    assert Digest().values(a).value() == hashlib.sha256(a.view(torch.uint8).numpy().tobytes()).hexdigest()[:12]
    assert Digest().text("w").values(a).value() != Digest().values(a).value()

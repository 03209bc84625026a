from __future__ import annotations

import itertools

import torch

from mho.rng import Stream, key, reads


def test_an_address_decides_its_numbers_and_nothing_else_does():
    stream = Stream(("chip", 0, 3)) / "conv1"
    first = stream.normal("programming", (50,))
    torch.manual_seed(1)
    Stream(("chip", 0, 4)).normal("programming", (50,))
    assert torch.equal(first, stream.normal("programming", (50,)))


def test_neighbouring_addresses_share_nothing():
    addresses = [
        ("chip", s, c, layer, p) for s, c, layer, p in itertools.product((0, 1), (0, 1), ("a", "b"), ("x", "y"))
    ]
    draws = torch.stack([Stream(a[:-1]).normal(str(a[-1]), (4000,)) for a in addresses])
    correlation = torch.corrcoef(draws) - torch.eye(len(draws))
    assert float(correlation.abs().max()) < 5 / 4000**0.5


def test_parts_are_typed_and_do_not_run_together():
    assert len({key(1), key("1"), key("1", "2"), key("12"), key(1, 2), key("1\x1f2")}) == 6
    assert 0 <= key("x") < 2**63


def test_reads_seeds_inside_and_restores_outside():
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    with reads("read", 0, 1):
        inside = torch.randn(3)
    assert torch.equal(torch.randn(3), expected)
    with reads("read", 0, 1):
        assert torch.equal(torch.randn(3), inside)


def test_draws_take_the_dtype_of_what_they_are_for():
    like = torch.zeros(1, dtype=torch.float64)
    assert Stream(("a",)).normal("x", (2,), like=like).dtype == torch.float64
    u = Stream(("a",)).uniform("x", (1000,))
    assert float(u.min()) >= 0 and float(u.max()) < 1

"""How a network is called on what a batch has in place of one tensor."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mho.nn.calling import call, required


class Two(nn.Module):
    def forward(self, left, right=3.0, *more, scale=1.0, **others):
        return left, right, more, scale, others


class Strict(nn.Module):
    def forward(self, left, right, *, mask):
        return left, right, mask


class One(nn.Module):
    def forward(self, x):
        return x


class Parent(nn.Module):
    """Has a child of the name that torch's wrappers give to theirs, and another one."""

    def __init__(self):
        super().__init__()
        self.module, self.head = One(), One()

    def forward(self, left, right):
        return left, right


class Wrapper(nn.Module):
    """As torch's own wrappers are: one child, whatever arguments."""

    def __init__(self, inner, name="module"):
        super().__init__()
        self.add_module(name, inner)

    def forward(self, *args, **kwargs):
        return next(self.children())(*args, **kwargs)


@pytest.mark.parametrize("wrap", [lambda net: net, Wrapper, lambda net: Wrapper(Wrapper(net), "_orig_mod")])
def test_tuples_and_mappings_are_arguments_where_the_network_takes_them(wrap):
    assert call(wrap(Two()), (1, 2)) == (1, 2, (), 1.0, {})
    assert call(wrap(Two()), {"right": 1, "left": 2, "other": 5}) == (2, 1, (), 1.0, {"other": 5})
    assert call(wrap(Two()), [1, 2]) == ([1, 2], 3.0, (), 1.0, {})
    assert call(wrap(One()), (1, 2)) == (1, 2) and call(wrap(One()), {"y": 1}) == {"y": 1}
    assert call(wrap(One()), {"x": 1}) == 1
    assert call(wrap(Parent()), (1, 2)) == (1, 2)
    with pytest.raises(TypeError):
        call(wrap(Strict()), (1, 2))


def test_a_tuple_of_a_class_of_its_own_is_one_argument():
    packed = nn.utils.rnn.pack_sequence([torch.zeros(2, 3)])
    assert call(One(), packed) is packed and call(Two(), packed)[0] is packed


def test_arguments_that_a_network_cannot_do_without():
    assert required(Two()) == {"left"} and required(Strict()) == {"left", "right", "mask"}
    assert required(Wrapper(Strict())) == {"left", "right", "mask"} and required(Parent()) == {"left", "right"}

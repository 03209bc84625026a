"""Hashes of tensors and plain values, for telling data, weights and runs apart."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from torch import Tensor


class Digest:
    """A hash that grows; 12 hexadecimal digits of SHA-256.

    Example:
        >>> Digest().text("a").value()
        'ca978112ca1b'
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def text(self, text: str) -> Digest:
        """Add a text; returns itself."""
        self._sha.update(text.encode())
        return self

    def values(self, *parts: Tensor | str) -> Digest:
        """Add the bytes of tensors, without dtype and shape, and of texts between them; returns itself."""
        for part in parts:
            if isinstance(part, str):
                self._sha.update(part.encode())
            else:
                self._sha.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return self

    def add(self, thing: Any) -> Digest:
        """Add a tensor with dtype and shape, or such tensors in dicts, tuples and lists; what is neither is passed over."""
        if isinstance(thing, Tensor):
            self.text(f"{thing.dtype}{tuple(thing.shape)}").values(thing)
        elif isinstance(thing, (tuple, list, dict)):
            for name, value in thing.items() if isinstance(thing, dict) else enumerate(thing):
                self.text(f"{name}:").add(value)
        return self

    def value(self) -> str:
        """The hash of everything so far."""
        return self._sha.hexdigest()[:12]


def digest(*tensors: Any) -> str:
    """12 digits that change with any value, dtype or shape of the tensors; what is no tensor is passed over."""
    found = Digest()
    for tensor in tensors:
        found.add(tensor)
    return found.value()


def digest_of_network(state: dict[str, Any]) -> str:
    """12 digits for what a network has learned and measured: the tensors of its state dict, whatever their order.

    Args:
        state: Of a converted network: weights, buffers, and the ranges of its converters where they are set.
    """
    found = Digest()
    for name, value in sorted(state.items()):
        if isinstance(value, Tensor):
            found.values(name, value)
    return found.value()


def digest_of_plain(values: Any) -> str:
    """12 digits for plain values (strings, numbers, lists, dicts), whatever the order of keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

"""Items of batches whose inputs or targets are tensors, or dicts, tuples and lists of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from mho.errors import BadInput


def tensors_of(batch: Any) -> Iterator[Tensor]:
    """Every tensor, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (dict, tuple, list)):
        for part in batch.values() if isinstance(batch, dict) else batch:
            yield from tensors_of(part)


def length(batch: Any) -> int:
    """Number of items: the length that all tensors have in common.

    Raises:
        BadInput: There is no tensor, or they differ.
    """
    lengths = {len(t) if t.dim() else -1 for t in tensors_of(batch)}
    if len(lengths) != 1 or -1 in lengths:
        raise BadInput(
            f"a batch of {type(batch).__name__} has no common number of items",
            "give tensors, or dicts or tuples of them, with one entry an item",
            path="data",
        )
    return lengths.pop()


def take(batch: Any, items: Any) -> Any:
    """Some of the items; `items` is a slice, numbers or a mask."""
    if isinstance(batch, Tensor):
        return batch[items]
    if isinstance(batch, dict):
        return {name: take(part, items) for name, part in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(take(part, items) for part in batch)
    return batch


def joined(batches: Sequence[Any]) -> Any:
    """Batches one after another, as one.

    Raises:
        BadInput: They cannot be joined; the message says why.
    """
    first = batches[0]
    try:
        if isinstance(first, Tensor):
            return torch.cat(list(batches))
        if isinstance(first, dict):
            return {name: joined([batch[name] for batch in batches]) for name in first}
        if isinstance(first, (tuple, list)):
            return type(first)(joined(parts) for parts in zip(*batches, strict=True))
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"batches cannot be joined: {error}", "give batches of one shape", path="data") from error
    raise BadInput(f"batches of {type(first).__name__} cannot be joined", "give tensors", path="data")

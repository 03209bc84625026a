"""Items of batches whose inputs or targets are tensors, or dicts, tuples and lists of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from numbers import Number
from typing import Any

import torch
from torch import Tensor

from mho.errors import BadInput
from mho.tasks.batches import LABELS


def tensors_of(batch: Any) -> Iterator[Tensor]:
    """Every tensor, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (dict, tuple, list)):
        for part in batch.values() if isinstance(batch, dict) else batch:
            yield from tensors_of(part)


def digests_of(inputs: Any) -> list[bytes]:
    """A digest of each item's values, by which a sample is known again in other data; labels have no part in it.

    Doubles count as the floats next to them. Numbers of half the precision have other values, and the digest has the kind of
    numbers before it: see `shared`. A copy that was rounded to half the precision and is in floats again is not known again:
    like any other change of the values, it hides what the samples are.
    """
    parts = [part.detach().cpu() for part in tensors_of(inputs)]
    parts = [(part.float() if part.dtype == torch.float64 else part).contiguous() for part in parts]
    kind = ",".join(str(part.dtype).removeprefix("torch.") for part in parts).encode() + b":"
    rows = [part.reshape(len(part), math.prod(part.shape[1:])).view(torch.uint8).numpy() for part in parts]
    return [kind + hashlib.blake2b(b"".join(each), digest_size=16).digest() for each in zip(*rows, strict=True)]


def shared(known: Set[bytes], others: Set[bytes], path: str) -> int:
    """How many samples two sets of digests have in common.

    Args:
        known: Of the samples that something was chosen on.
        others: Of those that it is to be tried on.
        path: What to call the others in messages.

    Raises:
        BadInput: They are numbers of different kinds, such as float32 and float16: rounded, a sample is not known again.
    """
    kinds, other = ({digest.partition(b":")[0].decode() for digest in each} for each in (known, others))
    if known and others and kinds != other:
        raise BadInput(
            f"the samples are {' and '.join(sorted(other))}, those on which the choice was made {' and '.join(sorted(kinds))}",
            "give both in the same dtype: whether a sample is among those cannot be told otherwise", path=path,
        )  # fmt: skip
    return len(known & others)


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


def check_finite(batch: Any, first: int, path: str) -> None:
    """Refuse inputs that are not finite.

    Args:
        batch: Inputs of some items.
        first: Number of the first of them.
        path: What to call the data in messages.

    Raises:
        BadInput: A number that is not finite; the message has the number of its item, from 0.
    """
    for t in tensors_of(batch):
        if t.is_floating_point() and t.numel() and not all(bool(torch.isfinite(end)) for end in torch.aminmax(t)):
            flat = t.reshape(len(t), -1) if t.dim() else t.reshape(1, 1)
            item = int((~torch.isfinite(flat)).any(1).nonzero()[0])
            value = float(flat[item][~torch.isfinite(flat[item])][0])
            raise BadInput(
                f"sample {first + item} holds {value:g}, not finite", "leave it out, or mend its preparation", path=path
            )


def check_batched(batch: Any, number: int, path: str) -> None:
    """Refuse a single sample where a batch should be: a label that is one number, or tensors none of which has items.

    Args:
        batch: As the data gives it.
        number: Of the batch, from 0.
        path: What to call the data in messages.

    Raises:
        BadInput: It is one.
    """
    if isinstance(batch, Mapping):
        label = next((batch[name] for name in LABELS if name in batch), None)
    else:
        label = batch[1] if isinstance(batch, (tuple, list)) and len(batch) == 2 else None
    single = isinstance(label, Number) or getattr(label, "ndim", None) == 0
    tensors = list(tensors_of(dict(batch) if isinstance(batch, Mapping) else batch))
    if single or (tensors and not any(t.dim() for t in tensors)):
        raise BadInput(
            f"batch {number} is one sample" + (f" with the label {label}" if single else ""),
            "the data gives samples, not batches: wrap it in torch.utils.data.DataLoader(data, batch_size=100)",
            path=path,
        )

"""`batches_of`: what may be given as data, as batches of (inputs, targets)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from mho.errors import BadInput

LABELS = ("label", "labels", "target", "targets", "y")
"""Names of the targets among the columns of a Hugging Face dataset, or in batches that are dicts."""
BATCH = 250
"""Samples in a batch that is made here."""


class Batches:
    """Batches that can be gone through again and again, with a name.

    Attributes:
        name: For reports.
        classes: Names of the classes, where the data know them.

    Args:
        data: A `DataLoader`, a `torch.utils.data.Dataset` or a Hugging Face dataset.
        path: What to call the data in messages.
        batch: Samples in a batch, where the data give samples.
    """

    def __init__(self, data: Any, path: str, batch: int) -> None:
        self._data, self._path, self._batch = data, path, batch
        source = data
        while hasattr(source, "dataset"):  # Loaders and subsets know only this of what they hold.
            source = source.dataset
        self.name = str(getattr(getattr(source, "info", None), "dataset_name", None) or type(source).__name__)
        features: Any = getattr(source, "features", None)
        named = next((features[key] for key in LABELS if key in features), None) if _columns(source) else source
        self.classes: tuple[str, ...] = tuple(map(str, getattr(named, "names", getattr(named, "classes", None)) or ()))

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self._data, DataLoader):
            for batch in self._data:
                yield _pair(dict(batch), self._path) if isinstance(batch, Mapping) else _uncollated(batch)
            return
        samples = self._samples()
        while chunk := list(islice(samples, self._batch)):
            yield _together(chunk, self._path)

    def _samples(self) -> Iterator[Any]:
        # Not by iter(): of a dataset without __iter__ that goes on to an IndexError, which many never raise.
        if hasattr(self._data, "__getitem__") and hasattr(self._data, "__len__"):
            return (self._data[i] for i in range(len(self._data)))
        if hasattr(self._data, "__iter__"):
            return iter(self._data)
        raise BadInput(f"a {type(self._data).__name__} has no length", "give it __len__, or __iter__", path=self._path)


def batches_of(data: Any, *, path: str = "data", batch: int = BATCH) -> Iterable[Any]:
    """What is given as data, as something that gives batches.

    Args:
        data: A `torch.utils.data.DataLoader`, a `torch.utils.data.Dataset` or a Hugging Face dataset, of samples
            (input, target) or of dicts with one of `LABELS`; anything else that can be gone through is taken to give batches.
        path: What to call the data in messages.
        batch: Samples in a batch, where the data give samples.

    Raises:
        BadInput: A name or a path, several splits, one tensor or pair of tensors instead of a list of such, or
            something that gives nothing.
    """
    if isinstance(data, (str, bytes, os.PathLike)):
        name = os.fsdecode(data)
        raise BadInput(f"'{name}' is a name, not data", f"load it: mho.data.load({name!r})", path=path)
    if isinstance(data, Mapping):
        splits = ", ".join(map(repr, data))
        raise BadInput(
            f"this is a {type(data).__name__} with {splits}, not batches",
            "give one of them, such as data['test']",
            path=path,
        )
    if isinstance(data, Tensor):
        raise BadInput("one tensor is not a sequence of batches", "give a list of batches: [X]", path=path)
    if _is_pair(data):
        raise BadInput(
            "one pair of tensors (X, Y) is not a sequence of batches", "give a list of batches: [(X, Y)]", path=path
        )
    if isinstance(data, (DataLoader, Dataset)) or _columns(data):
        return Batches(data, path, batch)
    if not isinstance(data, Iterable) and not hasattr(data, "__getitem__"):
        raise BadInput(
            f"a {type(data).__name__} gives no batches",
            "give batches of (inputs, labels), a torch Dataset or DataLoader, a Hugging Face dataset, or mho.data.load(…)",
            path=path,
        )
    return data  # type: ignore[no-any-return]


def _is_pair(data: Any) -> bool:
    """Two tensors of as many items that cannot both be inputs of one network."""
    if not isinstance(data, (tuple, list)) or len(data) != 2 or not all(isinstance(part, Tensor) for part in data):
        return False
    x, y = data
    if not x.dim() or not y.dim() or len(x) != len(y):
        return False
    return x.dim() != y.dim() or x.is_floating_point() != y.is_floating_point()


def _columns(data: Any) -> bool:
    """A Hugging Face dataset: not imported, known by what it has."""
    return hasattr(data, "features") and hasattr(data, "column_names") and hasattr(data, "info")


def _together(samples: Sequence[Any], path: str) -> Any:
    """Samples as one batch."""
    first = samples[0]
    try:
        if isinstance(first, Mapping):
            columns = {key: torch.stack([_tensor(key, sample[key], path) for sample in samples]) for key in first}
            return _pair(columns, path)
        if isinstance(first, (tuple, list)) and len(first) != 2:
            raise BadInput(f"a sample has {len(first)} parts", "give samples (input, target)", path=path)
        return _uncollated(default_collate(list(samples)))
    except (TypeError, RuntimeError, KeyError) as error:
        reason, kind = (
            str(error).splitlines()[0],
            type(first[0] if isinstance(first, (tuple, list)) else first).__name__,
        )
        raise BadInput(
            f"samples, the first of which has a {kind}, make no batch ({reason})",
            "let the data give tensors of one shape: transform=… of torchvision, with_transform(…) of Hugging Face",
            path=path,
        ) from error


def _uncollated(batch: Any) -> Any:
    """A batch of samples (inputs, target) as they were: collating makes lists of tuples, also of several inputs."""
    if not isinstance(batch, (tuple, list)):
        return batch
    return tuple(tuple(part) if isinstance(part, list) and _tensors(part) else part for part in batch)


def _tensors(parts: list[Any]) -> bool:
    return bool(parts) and all(isinstance(part, Tensor) for part in parts)


def _tensor(key: str, value: Any, path: str) -> Tensor:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise BadInput(
            f"column '{key}' holds a {type(value).__name__}, not numbers",
            f"make tensors of it with with_transform(…), or leave it out: remove_columns({key!r})",
            path=path,
        ) from None


def _pair(columns: dict[str, Any], path: str) -> Any:
    """Inputs and targets; a single column of inputs stands alone, several stay a dict. Inputs alone stay one, too."""
    named = [key for key in LABELS if key in columns]
    if not named:
        return columns
    if len(named) > 1 or len(columns) < 2:
        raise BadInput(
            f"of the columns {', '.join(map(repr, columns))}, {len(named)} are called as targets are",
            f"keep the inputs and one of {', '.join(LABELS)}: rename_column(…), remove_columns(…)",
            path=path,
        )
    inputs = {key: value for key, value in columns.items() if key != named[0]}
    return (next(iter(inputs.values())) if len(inputs) == 1 else inputs), columns[named[0]]

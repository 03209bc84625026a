"""Arrays of one's own: a .npz file with inputs and targets."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mho.arguments import one_of
from mho.data.dataset import Dataset
from mho.data.preparation import GREY, IMAGES
from mho.errors import BadInput, WrongSetting

INPUTS = ("x", "images", "inputs", "data")
TARGETS = ("y", "labels", "targets", "label", "target")


def npz(
    file: Path, *, x: str | None = None, y: str | None = None, split: str | None = None, prep: str | None = None,
    n: int | None = None, batch: int = 250,
) -> Dataset:  # fmt: skip
    """Inputs and targets from a .npz file; nothing in it is run.

    Images of bytes, (N, H, W) or (N, H, W, 1 or 3) or with the channels first, are scaled to 0 … 1, or as `prep` says; other
    inputs stay what they are, in float32 where they are fractions. Targets of whole numbers are classes, others are values.

    Args:
        file: The file.
        x: Key of the inputs; found without it where it is one of `INPUTS`, with the split before or behind (``x_test``).
        y: Key of the targets, likewise of `TARGETS`.
        split: Which of several sets in the file.
        prep: Name of a preparation of `mho.data.preparation.IMAGES` or `GREY`, for images of bytes.
        n: Only the first n.
        batch: Samples in a batch.

    Raises:
        WrongSetting: A preparation that does not fit.
        BadInput: The file is damaged, holds Python objects, or has no such arrays.
    """
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            keys = list(stored.files)
            inputs = stored[_key(x, INPUTS, split, keys, "x", file)]
            targets = stored[_key(y, TARGETS, split, keys, "y", file)]
            names = stored["classes"].tolist() if "classes" in keys else []
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, TypeError, AttributeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"is no .npz file of plain arrays ({error})", "write it with numpy.savez(file, x=…, y=…)", path=str(file)
        ) from error
    name = "/".join(part for part in (file.stem, split) if part)
    if inputs.dtype.kind not in "fiub" or targets.dtype.kind not in "fiub":
        raise BadInput(f"holds {inputs.dtype} and {targets.dtype}", "give numbers", path=str(file))
    labels = _targets(targets)
    many = int(labels.max()) + 1 if labels.dtype == torch.int64 and labels.numel() else 0
    classes = tuple(map(str, names)) or (tuple(map(str, range(many))) if labels.dim() == 1 else ())
    data = Dataset(name, _inputs(inputs, prep, file), labels, classes, batch)
    return data if n is None else data.subset(n)


def _key(asked: str | None, stems: tuple[str, ...], split: str | None, keys: list[str], option: str, file: Path) -> str:
    if asked is not None:
        wanted = [asked]
    elif split is None:
        wanted = list(stems)
    else:
        wanted = [each for stem in stems for each in (f"{stem}_{split}", f"{split}_{stem}")]
    found = [key for key in wanted if key in keys]
    if len(found) != 1:
        what = "inputs" if option == "x" else "targets"
        which = f"which are {what}?" if found else f"none of them has a name for {what}"
        raise BadInput(
            f"holds {', '.join(map(repr, keys)) or 'nothing'}: {which}",
            f"say which: {file}?{option}=KEY, or ?split=test for {option}_test",
            path=str(file),
        )
    return found[0]


def _inputs(values: np.ndarray[Any, Any], prep: str | None, file: Path) -> Tensor:
    tensor = torch.from_numpy(values)
    if values.dtype != np.uint8 or values.ndim not in (3, 4):
        if prep is not None:
            raise WrongSetting(
                f"prep={prep} of inputs {values.dtype} {values.shape}", "it is for images of bytes; leave it out",
                path=str(file),
            )  # fmt: skip
        return (
            tensor.float()
            if values.dtype.kind == "f"
            else tensor.long()
            if values.dtype.kind in "iu"
            else tensor.float()
        )
    images = tensor[:, None] if values.ndim == 3 else tensor
    if images.shape[1] not in (1, 3) and images.shape[-1] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    preparations = GREY if images.shape[1] == 1 else IMAGES
    return preparations[one_of(prep or "unit", "prep", preparations, of=str(file))](images)


def _targets(values: np.ndarray[Any, Any]) -> Tensor:
    """Whole numbers (N,) or (N, 1) are classes (N,)."""
    tensor = torch.from_numpy(values)
    if values.dtype.kind == "f":
        return tensor.float()
    return (tensor[:, 0] if tensor.dim() == 2 and tensor.shape[1] == 1 else tensor).long()

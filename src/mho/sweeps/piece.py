"""Trained weights on disk, by their key: what several trials, and several processes, share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from mho.errors import BadInput, BadResults
from mho.store.files import replaced

FOLDER = "pieces"
_RANGE = "range:"


def path_of(folder: Path, key: str) -> Path:
    """The file of a piece."""
    return folder / FOLDER / f"{key}.safetensors"


def write_piece(folder: Path, key: str, weights: Mapping[str, Tensor], ranges: Mapping[str, Tensor]) -> None:
    """Write weights of a digital network and the ranges of its converters, whole or not at all.

    Raises:
        BadInput: They cannot be written.
    """
    from safetensors.torch import save_file

    path = path_of(folder, key)
    tensors = {**weights, **{f"{_RANGE}{name}": value for name, value in ranges.items()}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as part:  # cloned: tensors of a file may not share memory, as tied weights do
            save_file({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}, part)
    except OSError as error:
        raise BadInput(f"cannot be written: {error}", "make room, or give another out", path=str(path)) from error


def read_piece(folder: Path, key: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and ranges.

    Raises:
        BadResults: They are not there, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = path_of(folder, key)
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadResults(f"cannot be read: {error}", "remove the sweep, and begin it anew", path=str(path)) from error
    ranges = {name.removeprefix(_RANGE): value for name, value in found.items() if name.startswith(_RANGE)}
    return {name: value for name, value in found.items() if not name.startswith(_RANGE)}, ranges


def write_file(path: Path, content: bytes) -> None:
    """Write a file of weights, whole or not at all.

    Raises:
        BadInput: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise BadInput(f"cannot be written: {error}", "make room, or give another out", path=str(path)) from error

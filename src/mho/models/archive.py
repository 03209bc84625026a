"""A look into the files of `torch.export.save` before torch reads them."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from mho.errors import BadInput


def refuse_code(path: Path) -> None:
    """Make sure that reading the file runs no code from it.

    `torch.export.load` unpickles example inputs, custom objects and some tensors without ``weights_only``;
    each of these must be tensors and plain values alone.

    Raises:
        BadInput: The file is no archive, or holds pickled objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.partition("/")[2]: name for name in archive.namelist()}
            if "archive_format" not in members or len(members) != len(archive.namelist()):
                raise BadInput(
                    "is not an archive of today's torch.export.save",
                    "write it again with torch >= 2.10",
                    path=str(path),
                )
            for name in _pickles(archive, members):
                if not _holds_plain_values(archive.read(members[name])):
                    raise BadInput(
                        f"holds Python objects ('{name}'), and reading those would run code from the file",
                        "export a program whose inputs and constants are tensors",
                        path=str(path),
                    )
    except zipfile.BadZipFile as error:
        raise BadInput(
            "is not a file of torch.export.save", "write it with torch.export.save", path=str(path)
        ) from error


def _pickles(archive: zipfile.ZipFile, members: dict[str, str]) -> list[str]:
    """Members that torch would unpickle."""
    found = [name for name in members if name.endswith(".pt")]
    for name in members:
        if name.startswith(("data/weights/", "data/constants/")) and name.endswith("_config.json"):
            payloads: dict[str, dict[str, Any]] = json.loads(archive.read(members[name])).get("config") or {}
            folder = name.rpartition("/")[0]
            found += [
                f"{folder}/{entry['path_name']}"
                for entry in payloads.values()
                if entry.get("use_pickle") or not entry.get("tensor_meta")
            ]
    return [name for name in found if name in members]


def _holds_plain_values(data: bytes) -> bool:
    try:
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        return False
    return True

"""The IDX format of MNIST: two zero bytes, a type, the number of dimensions, the sizes, the values."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from mho.errors import BadInput

_BYTES = 8
"""Code of unsigned bytes; no other type is read."""


def read_idx(file: Path, *, dims: int, again: str) -> Tensor:
    """The bytes of an IDX file, plain or gzipped, in the shape that it names.

    Args:
        file: The file.
        dims: Number of dimensions that it must have.
        again: What to do when it is damaged.

    Raises:
        BadInput: It is damaged, or holds something else.
    """
    content = plain_bytes(file, again=again)
    head = 4 + 4 * dims
    if len(content) < head or content[:4] != bytes((0, 0, _BYTES, dims)):
        raise BadInput(f"is no IDX file of bytes with {dims} dimensions", again, path=str(file))
    shape = struct.unpack(f">{dims}I", content[4:head])
    if len(content) - head != math.prod(shape):
        raise BadInput(f"{len(content) - head} bytes are not the {shape} that it names", again, path=str(file))
    return torch.frombuffer(bytearray(content[head:]) or bytearray(1), dtype=torch.uint8)[: math.prod(shape)].view(
        shape
    )


def plain_bytes(file: Path, *, again: str) -> bytes:
    """The content of a file, unpacked where its name ends in .gz.

    Raises:
        BadInput: It cannot be unpacked.
    """
    content = file.read_bytes()
    if file.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"is no gzip file ({error})", again, path=str(file)) from error

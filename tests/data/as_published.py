"""Writes the CIFAR sets as their author did: pickles of Python 2, records of bytes, archives."""

from __future__ import annotations

import io
import struct
import tarfile


def _text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def _whole(value: int) -> bytes:
    return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)


def pickled(images, labels, key="labels") -> bytes:
    """A batch, opcode by opcode as in the original `test_batch`.

    Args:
        images: (N, 3072) bytes.
        labels: N numbers.
        key: "labels", or "fine_labels".
    """
    data = images.numpy().tobytes()
    parts = [labels[i : i + 1000] for i in range(0, len(labels), 1000)]
    listed = b"]q\x05" + b"".join(b"(" + b"".join(map(_whole, part)) + b"e" for part in parts)
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09"
    kind = b"cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = _whole(len(images)) + _whole(3072) + b"\x86"
    state = b"(K\x01" + shape + kind + b"\x89T" + struct.pack("<i", len(data)) + data + b"tb"
    head = _text("batch_label") + b"q\x02" + _text("testing batch 1 of 1") + b"q\x03"
    return b"\x80\x02}q\x01(" + head + _text(key) + b"q\x04" + listed + _text("data") + b"q\x06" + array + state + b"u."


def records(images, labels, label_bytes=1) -> bytes:
    """The binary version: label bytes, the last of which counts, then 3,072 of the image."""
    rows = zip(images.numpy(), labels, strict=True)
    return b"".join(bytes(label_bytes - 1) + bytes([label]) + row.tobytes() for row, label in rows)


def archive(members: dict[str, bytes]) -> bytes:
    """A .tar.gz."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return target.getvalue()

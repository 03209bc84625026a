"""Keyword spotting: the accuracy set of MLPerf Tiny, 1,000 words as quantized MFCC maps."""

from __future__ import annotations

import numpy as np
import torch

from mho.arguments import one_of
from mho.data.dataset import Dataset
from mho.data.numpy_file import read_numpy
from mho.data.root import data_file

CLASSES = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "silence", "unknown")
_ZERO_POINT = 83
_SCALE = 0.5847029


def kws(*, split: str = "test", prep: str = "mfcc", n: int | None = None, batch: int = 250) -> Dataset:
    """Spoken words of twelve classes, (N, 1, 49 frames, 10 coefficients).

    Args:
        split: Only ``"test"``.
        prep: ``"mfcc"`` gives the coefficients that the reference network takes, ``"int8"`` the stored bytes
            as floats.
        n: Only the first n.
        batch: Samples in a batch.

    Raises:
        BadInput: The file is missing.
    """
    one_of(split, "split", ("test",), of="kws")
    one_of(prep, "prep", ("mfcc", "int8"), of="kws")
    q, y = read_numpy(data_file("kws01", "kws01_mfcc.npz", name="kws"), "q", "y")
    features, labels = q.astype(np.float32)[:, None], y.astype(np.int64)
    inputs = torch.from_numpy(features)
    if prep == "mfcc":
        inputs = (inputs - _ZERO_POINT) * _SCALE
    data = Dataset("kws/test", inputs, torch.from_numpy(labels), CLASSES, batch)
    return data if n is None else data.subset(n)

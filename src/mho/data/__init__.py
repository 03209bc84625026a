"""Data sets in memory, found by a string; `data_root` is where those lie that no package brings."""

from __future__ import annotations

from mho.data.augment import crop_and_flip
from mho.data.dataset import IGNORED, Dataset
from mho.data.fetch import fetch
from mho.data.loading import DATASETS, load, names
from mho.data.root import data_root

__all__ = ["DATASETS", "IGNORED", "Dataset", "crop_and_flip", "data_root", "fetch", "load", "names"]

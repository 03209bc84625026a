"""Text for the small Llama: a few real stories, and samples of the network itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mho.data.dataset import IGNORED, Dataset
from mho.data.numpy_file import read_numpy
from mho.data.root import data_file
from mho.data.tokenizer import Tokenizer

_SEPARATOR = "<|endoftext|>"
_LONGEST = 512


def tinystories(*, n: int | None = None, batch: int = 1) -> Dataset:
    """Real stories: tokens (N, T), padded behind, and the next tokens as labels; 1,804 of them count.

    So few tokens give the loss a standard error of about 0.04.

    Args:
        n: Only the first n stories.
        batch: Stories in a batch.

    Raises:
        BadInput: A file is missing.
    """
    tokenizer = _tokenizer()
    text = data_file("tinystories", "tinystories_sample.txt", name="tinystories").read_text(encoding="utf8")
    stories = [story.strip() for story in text.split(_SEPARATOR)]
    rows = [torch.tensor(tokenizer.encode(story)[:_LONGEST]) for story in stories if story]
    inputs = pad_sequence([row[:-1] for row in rows], batch_first=True)
    labels = pad_sequence([row[1:] for row in rows], batch_first=True, padding_value=IGNORED)
    return _dataset("tinystories", inputs, labels, tokenizer, n, batch)


def tinystories_self(*, n: int | None = None, batch: int = 50) -> Dataset:
    """200 samples of 255 tokens that the undisturbed network wrote (temperature 1): to see how far it moves.

    Args:
        n: Only the first n.
        batch: Samples in a batch.

    Raises:
        BadInput: A file is missing.
    """
    (stored,) = read_numpy(data_file("tinystories", "self_samples.npy", name="tinystories-self"))
    rows = torch.from_numpy(stored.astype(np.int64))
    return _dataset("tinystories-self", rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), _tokenizer(), n, batch)


def _tokenizer() -> Tokenizer:
    return Tokenizer.read(data_file("tinystories", "tok512.bin", name="tinystories"))


def _dataset(name: str, inputs: Tensor, labels: Tensor, tokenizer: Tokenizer, n: int | None, batch: int) -> Dataset:
    classes = tuple(piece.decode(errors="backslashreplace") for piece in tokenizer.pieces)
    data = Dataset(name, inputs, labels, classes, batch)
    return data if n is None else data.subset(n)

"""`train`: training with settings that suit small networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from mho.training.loop import fit


def train(model: nn.Module, batches: Iterable[Any], *, epochs: int, lr: float = 1e-2, seed: int = 0) -> nn.Module:
    """Train a classifier in place: `fit` with AdamW, a one-cycle schedule and the batches' own size.

    Args:
        model: Inputs to class scores.
        batches: Pairs (inputs, labels) of tensors, held in memory together and shuffled anew each epoch.
        epochs: Passes over the data.
        lr: Largest learning rate.
        seed: Of the order of the samples.

    Returns:
        `model`, in eval mode.

    Raises:
        BadInput: No batch, or a loss that is not finite.
    """
    held = list(batches)
    size = len(held[0][0]) if held else 1
    fit(
        model, held, epochs=epochs, batch=size, optimizer="adamw", lr=lr, schedule="onecycle", seed=seed, progress=False
    )
    return model

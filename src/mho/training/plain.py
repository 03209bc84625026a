"""A plain training loop for small networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mho.arguments import network, number, whole
from mho.errors import BadInput, NotFinite
from mho.rng import key
from mho.tasks.batches import batches_of
from mho.tasks.items import check_batched


@torch.enable_grad()
def train(model: nn.Module, batches: Iterable[Any], *, epochs: int, lr: float = 1e-2, seed: int = 0) -> nn.Module:
    """Train a classifier in place with AdamW and a one-cycle schedule; samples are shuffled anew each epoch.

    Args:
        model: Inputs to class scores.
        batches: Pairs (inputs, labels) of tensors, held in memory together.
        epochs: Passes over the data.
        lr: Largest learning rate.
        seed: Of the order of the samples.

    Returns:
        `model`, in eval mode.

    Raises:
        BadInput: No batch.
        NotFinite: The loss is not.
    """
    network(model, "model")
    epochs, lr = whole(epochs, "epochs"), number(lr, "lr", "give a number above 0", above=0)
    held = list(batches_of(batches, path="batches"))
    if not held:
        raise BadInput("there is no batch to train on", "give at least one batch of (inputs, labels)")
    for i, batch in enumerate(held):
        check_batched(batch, i, "batches")
    x, y, size = torch.cat([b[0] for b in held]), torch.cat([b[1] for b in held]), len(held[0][0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    steps = epochs * -(-len(x) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    generator = torch.Generator().manual_seed(key("train", whole(seed, "seed", least=0)))
    model.train()
    for epoch in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(size):
            loss = F.cross_entropy(model(x[rows]), y[rows])
            if not bool(torch.isfinite(loss)):
                raise NotFinite(f"the loss is {loss.item()} in epoch {epoch}", "lower lr, or check the data")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()

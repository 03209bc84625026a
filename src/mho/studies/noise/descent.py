"""`descended`: one training at a constant rate, kept after so many epochs and where its loss has come down to a level."""

from __future__ import annotations

import shutil
from dataclasses import asdict

import torch
import torch.nn.functional as F
from torch import nn

from mho.data import Dataset
from mho.errors import NotFinite
from mho.nn.modes import evaluating
from mho.progress import Progress
from mho.studies.noise.recipe import Recipe, Trained, read, write

EPOCHS, LOSS = "epochs", "loss"


def loss(net: nn.Module, data: Dataset) -> float:
    """Mean cross-entropy of a network as it is evaluated. The mean over an epoch of training is another: of batches, before
    their steps, with the statistics of the batch."""
    device = next(net.parameters()).device
    with torch.no_grad(), evaluating(net):
        x, y = data.inputs.to(device), data.labels.to(device)
        parts = [F.cross_entropy(net(a), b, reduction="sum") for a, b in zip(x.split(250), y.split(250), strict=True)]
    return float(sum(parts)) / len(data.labels)


def descended(
    recipe: Recipe, seed: int, on: Dataset, *, until: float, most: int, device: str = "cpu", progress: Progress = None
) -> dict[str, Trained]:
    """Networks along a training: "epochs", after those of the recipe, and "loss", where the loss was first at most `until`.

    Both are kept (`mho.studies.noise.recipe`); a training that was killed begins anew.

    Args:
        recipe: With a constant rate, so that a longer training begins as a shorter one.
        seed: Of the training.
        on: Training images that the loss is taken on, after each epoch.
        until: That loss (`loss`).
        most: Epochs after which the level counts as not reached.
        device: Where to train.
        progress: Told of the steps.

    Returns:
        Those that there are, with `loss` after each epoch: neither where training diverged early, no "loss" where the level was
        not reached.
    """
    place = recipe.place(seed)
    place = place.with_name(f"{place.name}-until{until:g}-{most}")
    parts = {part: place.with_name(f"{place.name}-{part}") for part in (EPOCHS, LOSS)}
    ended = place.with_name(f"{place.name}.json")
    if not ended.is_file():
        shutil.rmtree(place, ignore_errors=True)
        net, losses, reached = recipe.begun(seed).to(device), list[float](), False
        for epoch in range(1, most + 1):
            try:
                recipe.fit(net, seed, place, epoch, progress)
            except NotFinite:
                break
            losses.append(loss(net, on))
            if epoch == recipe.epochs:
                write(parts[EPOCHS], net, losses, asdict(recipe))
            if not reached and losses[-1] <= until:
                reached = True
                write(parts[LOSS], net, losses, asdict(recipe))
            if reached and epoch >= recipe.epochs:
                break
        write(place, net, losses, asdict(recipe))
    found = {part: read(path) for part, path in parts.items()}
    return {part: Trained(recipe.loaded(seed, kept[0]), kept[1]) for part, kept in found.items() if kept is not None}

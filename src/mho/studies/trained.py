"""`trained`: small networks for CIFAR-10 that nobody published, trained by a study within half an hour on one core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mho.data import load
from mho.data.augment import crop_and_flip
from mho.models.mobilenet_cifar import mobilenet_cifar
from mho.models.vit_cifar import vit_cifar
from mho.progress import Progress
from mho.store.files import replaced
from mho.training import fit

_ADAMW = {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.05, "schedule": "onecycle", "epochs": 4}
_SGD = {"optimizer": "sgd", "lr": 0.1, "weight_decay": 5e-4, "schedule": "onecycle", "epochs": 5}
RECIPES: Mapping[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "vit_cifar": (vit_cifar, _ADAMW),
    "mobilenet_cifar": (mobilenet_cifar, _SGD),
}
"""Factory and arguments of `fit`, by name; passes over all 50,000 training images."""


def trained(name: str, folder: Path, *, progress: Progress = None) -> nn.Module:
    """A network of `RECIPES` in eval mode, trained at the first call; a training that was killed goes on.

    Args:
        name: Its name.
        folder: Where its weights are kept, and checkpoints while it trains.
        progress: Told of the steps.

    Raises:
        BadInput: CIFAR-10 is not there.
    """
    factory, recipe = RECIPES[name]
    weights = folder / f"{name}.pt"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = factory()
    if not weights.exists():
        training = load("cifar10?prep=imagenet&split=train")
        fit(model, training, batch=128, augment=crop_and_flip, out=folder / name, progress=progress, **recipe)
        with replaced(weights) as part:
            torch.save(model.state_dict(), part)
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()

"""`Recipe`: everything that decides a trained network besides its seed; `trained` makes it once and keeps it.

Kept are weights and the losses of the epochs, below `folder`, named by the recipe's digest: studies with a recipe in common
train once.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mho.data import load
from mho.data.augment import crop_and_flip
from mho.kernels.cache import folder as cache
from mho.models import resolve
from mho.progress import Progress
from mho.rng import key
from mho.store.digest import digest_of_plain
from mho.store.files import replaced, write_text
from mho.training import fit

VARIABLE = "MHO_TRAINED"


def folder() -> Path:
    """Where trained networks are kept: what `MHO_TRAINED` names, else ``trained`` in the user's cache of mho."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else cache() / "trained"


@dataclass(frozen=True)
class Recipe:
    """How a network is made.

    Attributes:
        network: As `mho.models.resolve` takes it.
        data: Training data, as `mho.data.load` takes it.
        epochs: Passes over it.
        lr: Largest learning rate.
        optimizer: "sgd" (momentum 0.9) or "adamw".
        schedule: Of the rate.
        weight_decay: Of the optimiser.
        batch: Samples a step.
        augment: Crops and flips.
        precision: Of the products, as `mho.fit` takes it.
    """

    network: str
    data: str
    epochs: int
    lr: float = 0.05
    optimizer: str = "sgd"
    schedule: str = "onecycle"
    weight_decay: float = 5e-4
    batch: int = 128
    augment: bool = False
    precision: str = "32"

    def place(self, seed: int) -> Path:
        """Folder of its training with a seed; the weights lie in a file beside it."""
        name = self.network.partition("?")[0]
        return folder() / f"{name}-{digest_of_plain(asdict(self))}-seed{seed}"

    def begun(self, seed: int) -> nn.Module:
        """The network before training."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key("noise", seed))
            return resolve(self.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def loaded(self, seed: int, weights: dict[str, Any]) -> nn.Module:
        """The network with weights that were kept, in eval mode."""
        net = self.begun(seed)
        net.load_state_dict(weights)
        return net.eval()

    def fit(self, net: nn.Module, seed: int, out: Path, epochs: int, progress: Progress) -> list[dict[str, Any]]:
        """Train to so many epochs, in place; killed, the same call goes on.

        Returns:
            The history of `mho.training.FitResult`.

        Raises:
            NotFinite: The loss or weights are not: it diverged.
        """
        done = fit(
            net, load(self.data), epochs=epochs, batch=self.batch, optimizer=self.optimizer, lr=self.lr,
            schedule=self.schedule, weight_decay=self.weight_decay, augment=crop_and_flip if self.augment else None,
            precision=self.precision, seed=seed, out=out, progress=progress,
        )  # fmt: skip
        return list(done.history)


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        net: In eval mode.
        losses: Mean training loss of each epoch.
    """

    net: nn.Module
    losses: tuple[float, ...]


def trained(recipe: Recipe, seed: int, *, device: str = "cpu", progress: Progress = None) -> Trained:
    """A network of a recipe, trained at the first call; a training that was killed goes on.

    Raises:
        BadInput: Its data is not there.
        NotFinite: The loss or weights are not: it diverged.
    """
    place = recipe.place(seed)
    kept = read(place)
    if kept is None:
        net = recipe.begun(seed).to(device)
        history = recipe.fit(net, seed, place, recipe.epochs, progress)
        write(place, net.cpu(), [row["loss"] for row in history], {**asdict(recipe), "seed": seed})
        kept = read(place)
        assert kept is not None
    return Trained(recipe.loaded(seed, kept[0]), kept[1])


def write(place: Path, net: nn.Module, losses: list[Any], about: dict[str, Any]) -> None:
    """Keep weights and losses beside a training's folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with replaced(place.with_name(f"{place.name}.json")) as part:
        write_text(part, json.dumps({**about, "losses": losses}, indent=1) + "\n")
    with replaced(place.with_name(f"{place.name}.pt")) as part:
        torch.save(net.state_dict(), part)


def read(place: Path) -> tuple[dict[str, Any], tuple[float, ...]] | None:
    """Weights and losses that `write` kept; None where there are none."""
    weights = place.with_name(f"{place.name}.pt")
    if not weights.is_file():
        return None
    about = json.loads(place.with_name(f"{place.name}.json").read_text(encoding="utf-8"))
    return torch.load(weights, map_location="cpu", weights_only=True), tuple(about["losses"])

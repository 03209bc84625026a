"""`descended`: one training at a constant rate, kept after so many epochs and where its loss has come down to a level."""

from __future__ import annotations

import shutil
from dataclasses import asdict

from mho.errors import BadInput
from mho.progress import Progress
from mho.studies.noise.recipe import Recipe, Trained, read, write

EPOCHS, LOSS = "epochs", "loss"


def descended(
    recipe: Recipe, seed: int, *, until: float, most: int, device: str = "cpu", progress: Progress = None
) -> dict[str, Trained]:
    """Networks along a training: "epochs", after those of the recipe, and "loss", where the loss was first at most `until`.

    Both are kept (`mho.studies.noise.recipe`); a training that was killed begins anew.

    Args:
        recipe: With a constant rate, so that a longer training begins as a shorter one.
        seed: Of the training.
        until: Mean training loss of an epoch.
        most: Epochs after which the level counts as not reached.
        device: Where to train.
        progress: Told of the steps.

    Returns:
        Those that there are: neither where training diverged early, no "loss" where the level was not reached.
    """
    place = recipe.place(seed)
    parts = {part: place.with_name(f"{place.name}-{part}") for part in (EPOCHS, LOSS)}
    ended = place.with_name(f"{place.name}.json")
    if not ended.is_file():
        shutil.rmtree(place, ignore_errors=True)
        net, losses, reached = recipe.begun(seed).to(device), [], False
        for epoch in range(1, most + 1):
            try:
                losses = [row["loss"] for row in recipe.fit(net, seed, place, epoch, progress)]
            except BadInput as error:
                if "loss is" not in error.problem:
                    raise
                break
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

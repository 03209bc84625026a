"""Networks that others trained and published, with what they are known to reach."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mho.errors import WrongSetting
from mho.models.compressed import expand
from mho.models.published_table import NETWORKS
from mho.models.resnet_cifar import cifar_resnet
from mho.models.root import data_file, data_root
from mho.models.weights import load_weights, read_weights

FOLDER = "weights"
"""Where they lie below `data_root`."""


@dataclass(frozen=True)
class PublishedInfo:
    """What is known about a published network.

    Attributes:
        name: Its name.
        data: What `mho.data.load` takes to evaluate it; None where the data set cannot be passed on.
        accuracy: Share of right answers that was measured, of the next token for a language model.
        measured_on: What `accuracy` was measured on.
        published: Accuracy that its authors report, or None.
        loss: Measured cross-entropy in nats, or None.
        licence: Of the weights.
        source: Repository, commit and file.
    """

    name: str
    data: str | None
    accuracy: float
    measured_on: str
    published: float | None
    loss: float | None
    licence: str
    source: str


def names() -> tuple[str, ...]:
    """Names that `published` takes."""
    return tuple(NETWORKS)


def published(name: str) -> tuple[nn.Module, PublishedInfo]:
    """A published network with its weights, in eval mode, and what is known about it.

    The weights are read from its authors' checkpoint, where `mho data fetch` can get that, or from a safetensors file of
    the network's name.

    Args:
        name: One of `names`.

    Raises:
        WrongSetting: There is no network of this name.
        BadInput: The file is missing, or the weights do not fit.
    """
    entry = NETWORKS.get(name)
    if entry is None:
        raise WrongSetting(f"no published network is called '{name}'", f"names are {', '.join(NETWORKS)}")
    info = PublishedInfo(
        name=name, data=entry.data, accuracy=entry.accuracy, measured_on=entry.measured_on,
        published=entry.published, loss=entry.loss, licence=entry.licence, source=entry.source,
    )  # fmt: skip
    file = weights_file(name)
    network = entry.factory()
    state = expand(read_weights(file))
    if file.name == entry.checkpoint:
        for theirs, ours in entry.renamed:
            state = {f"{ours}{k.removeprefix(theirs)}" if k.startswith(theirs) else k: v for k, v in state.items()}
    load_weights(network, state, source=str(file))
    return network.eval(), info


def weights_file(name: str) -> Path:
    """The file with the weights of a published network.

    Raises:
        BadInput: It is missing.
    """
    checkpoint = NETWORKS[name].checkpoint
    stored = data_root() / FOLDER / f"{name}.safetensors"
    if stored.is_file() or checkpoint is None:
        return data_file(FOLDER, stored.name, name=name, by_hand=by_hand(name))
    return data_file(FOLDER, checkpoint, name=name)


def by_hand(name: str) -> str:
    """What to do where no file of the authors is read."""
    return f"its authors' file has no reader here: put its state dict as safetensors into {FOLDER}/{name}.safetensors"


def cifar_backbone(depth: int, *, num_classes: int, trained: bool) -> nn.Module:
    """A `cifar_resnet` that is to be extended, with its published weights or without.

    Raises:
        WrongSetting: `trained`, and nobody published such a network.
    """
    if not trained:
        return cifar_resnet(depth=depth, num_classes=num_classes)
    if num_classes != 10:
        raise WrongSetting(
            f"num_classes = {num_classes}", "the published backbones have 10: leave out trained", path="trained"
        )
    name = f"cifar10_resnet{depth}"
    if name not in NETWORKS:
        raise WrongSetting(f"depth = {depth}", "20, 32, 44 and 56 are published: leave out trained", path="trained")
    return published(name)[0]

"""Networks that others trained and published, with what they are known to reach."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from mho.errors import BadInput, WrongSetting
from mho.models.compressed import expand
from mho.models.dscnn import dscnn
from mho.models.llama import stories260k
from mho.models.mobilenet import mobilenet_v1, mobilenet_v1_vww
from mho.models.resnet8 import resnet8, resnet8_large
from mho.models.resnet_cifar import resnet14b, resnet20, resnet20b, resnet32, resnet44, resnet56
from mho.models.root import data_file
from mho.models.squeezenet import squeezenet10
from mho.models.weights import load_weights, read_weights


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


class _Entry(NamedTuple):
    factory: Callable[[], nn.Module]
    data: str | None
    measured_on: str
    measure: str = "top1"


_CIFAR_TEST = "the 10,000 test images of CIFAR-10"
_SAMPLE = "1,000 images of ImageNet, one a class, probably among the training images"
_NETWORKS: dict[str, _Entry] = {
    "cifar10_resnet20": _Entry(resnet20, "cifar10?prep=imagenet", _CIFAR_TEST),
    "cifar10_resnet32": _Entry(resnet32, "cifar10?prep=imagenet", _CIFAR_TEST),
    "cifar10_resnet44": _Entry(resnet44, "cifar10?prep=imagenet", _CIFAR_TEST),
    "cifar10_resnet56": _Entry(resnet56, "cifar10?prep=imagenet", _CIFAR_TEST),
    "cifar10_resnet14b_crosssim": _Entry(resnet14b, "cifar10?prep=imagenet", _CIFAR_TEST),
    "cifar10_resnet20b_crosssim": _Entry(resnet20b, "cifar10?prep=imagenet", _CIFAR_TEST),
    "cifar10_resnet8_mlperf": _Entry(resnet8, "cifar10?prep=raw255", _CIFAR_TEST),
    "cifar10_resnet8large_mlperf": _Entry(resnet8_large, "cifar10?prep=raw255", _CIFAR_TEST),
    "vww_mobilenetv1_025_mlperf": _Entry(mobilenet_v1_vww, None, "the 1,000 photographs of MLPerf Tiny"),
    "kws_dscnn_mlperf": _Entry(dscnn, "kws", "the 1,000 recordings of MLPerf Tiny"),
    "imagenet_squeezenet10_dc": _Entry(squeezenet10, None, _SAMPLE, "top1_1000"),
    "imagenet_mobilenet_v1_025_128_q8": _Entry(partial(mobilenet_v1, alpha=0.25), None, _SAMPLE, "top1_1000"),
    "imagenet_mobilenet_v1_05_160_q8": _Entry(partial(mobilenet_v1, alpha=0.5), None, _SAMPLE, "top1_1000"),
    "stories260k": _Entry(stories260k, "tinystories", "1,804 tokens of TinyStories", "top1_real_text"),
}  # fmt: skip


def names() -> tuple[str, ...]:
    """Names that `published` takes."""
    return tuple(_NETWORKS)


def published(name: str) -> tuple[nn.Module, PublishedInfo]:
    """A published network with its weights, in eval mode, and what is known about it.

    Args:
        name: One of `names`.

    Raises:
        WrongSetting: There is no network of this name.
        BadInput: `MHO_DATA` is not set, a file is missing there, or the weights do not fit.
    """
    entry = _NETWORKS.get(name)
    if entry is None:
        raise WrongSetting(f"no published network is called '{name}'", f"names are {', '.join(_NETWORKS)}")
    info = _info(name, entry)
    file = data_file("weights", f"{name}.safetensors")
    network = entry.factory()
    load_weights(network, expand(read_weights(file)), source=str(file))
    return network.eval(), info


def _info(name: str, entry: _Entry) -> PublishedInfo:
    file = data_file("weights", "index.json")
    try:
        known: dict[str, Any] = json.loads(file.read_text(encoding="utf8"))[name]
        measured = known["measured"]
        return PublishedInfo(
            name=name, data=entry.data, accuracy=measured[entry.measure], measured_on=entry.measured_on,
            published=measured.get("published"), loss=measured.get("loss_per_token_real_text"),
            licence=known["licence"], source=known["source"],
        )  # fmt: skip
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadInput(f"has no usable entry '{name}' ({error!r})", "fetch the folder again", path=str(file)) from error

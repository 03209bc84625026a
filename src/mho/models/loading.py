"""`resolve`: a network from a string."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from mho.errors import BadInput, WrongSetting
from mho.models.alexnet_cifar import alexnet_cifar
from mho.models.digits import digits_cnn
from mho.models.dscnn import dscnn
from mho.models.early_exits import b_alexnet, b_lenet, resnet_exits
from mho.models.exported import load_exported
from mho.models.lenet import lenet
from mho.models.llama import stories260k
from mho.models.mobilenet import mobilenet_v1, mobilenet_v1_vww
from mho.models.mobilenet_cifar import mobilenet_cifar
from mho.models.plain_cnn import plain_cnn
from mho.models.published import published
from mho.models.resnet8 import resnet8, resnet8_large
from mho.models.resnet_cifar import cifar_resnet, resnet14b, resnet20, resnet20b, resnet32, resnet44, resnet56
from mho.models.resnet_drop import resnet_drop
from mho.models.spec import Spec, call, find_factory
from mho.models.squeezenet import squeezenet10, squeezenet_vww
from mho.models.squeezenet_cifar import squeezenet_cifar
from mho.models.vgg_cifar import vgg16, vgg_mini
from mho.models.vit_cifar import vit_cifar
from mho.models.weights import load_weights, read_weights

FACTORIES: dict[str, Callable[..., nn.Module]] = {
    factory.__name__: factory
    for factory in (
        alexnet_cifar, b_alexnet, b_lenet, cifar_resnet, digits_cnn, dscnn, lenet, mobilenet_cifar, mobilenet_v1,
        mobilenet_v1_vww, plain_cnn, resnet8, resnet8_large, resnet14b, resnet20, resnet20b, resnet32, resnet44, resnet56,
        resnet_drop, resnet_exits, squeezenet10, squeezenet_cifar,
        squeezenet_vww, stories260k, vgg16, vgg_mini, vit_cifar,
    )
}  # fmt: skip
"""The networks of `mho.models` by their short names."""

_FORMS = "package.module:factory, published:NAME, the path of a .pt2 file, or one of"


def resolve(spec: str, weights: str | None = None) -> nn.Module:
    """The network that a string names, in eval mode.

    Args:
        spec: ``package.module:factory?key=value&key=value``, a short name of `FACTORIES` with options in the
            same way, ``published:NAME``, or the path of a file of `torch.export.save`.
        weights: A file for its weights, see `mho.models.weights.read_weights`.

    Raises:
        WrongSetting: Nothing is called so, or an option is unknown; the message names the valid ones.
        BadInput: A file is missing or damaged, or the weights do not fit.

    Example:
        >>> resolve("resnet20?num_classes=100").linear.out_features
        100
    """
    if isinstance(spec, str) and spec.strip().endswith(".pt2"):
        network: nn.Module = load_exported(Path(spec.strip()))
    else:
        network = _built(Spec.parse(spec))
    if weights is not None:
        load_weights(network, read_weights(weights), source=str(weights))
    return network.eval()


def _built(spec: Spec) -> nn.Module:
    target, options = spec
    if target.startswith("published:"):
        name = target.removeprefix("published:")
        if options:
            raise WrongSetting(f"unknown option {', '.join(map(repr, options))}", "it takes no options", path=target)
        return published(name)[0]
    if ":" in target:
        factory = find_factory(target)
    elif target in FACTORIES:
        factory = FACTORIES[target]
    else:
        raise WrongSetting(f"no network is called '{target}'", f"give {_FORMS} {', '.join(FACTORIES)}")
    network = call(factory, options, name=target)
    if not isinstance(network, nn.Module):
        raise BadInput(f"returned a {type(network).__name__}, not a torch.nn.Module", "return the network", path=target)
    return network

"""Networks to put on arrays: definitions, published weights, and `resolve`, which finds one by a string."""

from __future__ import annotations

from mho.models.alexnet_cifar import alexnet_cifar
from mho.models.block_drop import BlockDrop, block_drop
from mho.models.digits import digits_cnn
from mho.models.dscnn import dscnn
from mho.models.early_exits import b_alexnet, b_lenet, resnet_exits
from mho.models.exported import load_exported, with_layers
from mho.models.lenet import lenet
from mho.models.llama import stories260k
from mho.models.loading import FACTORIES, resolve
from mho.models.mobilenet import mobilenet_v1, mobilenet_v1_vww
from mho.models.mobilenet_cifar import mobilenet_cifar
from mho.models.multi_exit import MultiExit, multi_exit
from mho.models.norms import Norms
from mho.models.plain_cnn import plain_cnn
from mho.models.published import PublishedInfo, published
from mho.models.published import names as published_names
from mho.models.resnet8 import resnet8, resnet8_large
from mho.models.resnet_cifar import cifar_resnet, resnet14b, resnet20, resnet20b, resnet32, resnet44, resnet56
from mho.models.resnet_drop import resnet_drop
from mho.models.same_conv import SameConv2d
from mho.models.squeezenet import squeezenet10, squeezenet_vww
from mho.models.squeezenet_cifar import squeezenet_cifar
from mho.models.vgg_cifar import vgg16, vgg_mini
from mho.models.vit_cifar import vit_cifar
from mho.models.weights import load_weights, read_weights

__all__ = [
    "FACTORIES",
    "BlockDrop",
    "MultiExit",
    "Norms",
    "PublishedInfo",
    "SameConv2d",
    "alexnet_cifar",
    "b_alexnet",
    "b_lenet",
    "block_drop",
    "cifar_resnet",
    "digits_cnn",
    "dscnn",
    "lenet",
    "load_exported",
    "load_weights",
    "mobilenet_cifar",
    "mobilenet_v1",
    "mobilenet_v1_vww",
    "multi_exit",
    "plain_cnn",
    "published",
    "published_names",
    "read_weights",
    "resnet8",
    "resnet8_large",
    "resnet14b",
    "resnet20",
    "resnet20b",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet_drop",
    "resnet_exits",
    "resolve",
    "squeezenet10",
    "squeezenet_cifar",
    "squeezenet_vww",
    "stories260k",
    "vgg16",
    "vgg_mini",
    "vit_cifar",
    "with_layers",
]

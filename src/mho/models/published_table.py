"""What is known about the networks that others trained and published."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

from mho.models.dscnn import dscnn
from mho.models.llama import stories260k
from mho.models.mobilenet import mobilenet_v1, mobilenet_v1_vww
from mho.models.resnet8 import resnet8, resnet8_large
from mho.models.resnet_cifar import resnet14b, resnet20, resnet20b, resnet32, resnet44, resnet56
from mho.models.squeezenet import squeezenet10


class Entry(NamedTuple):
    """A published network.

    Attributes:
        factory: Makes it, with random weights.
        data: What `mho.data.load` takes to evaluate it; None where the data set cannot be passed on.
        accuracy: Share of right answers measured with this package (of the next token for a language model).
        measured_on: What `accuracy` was measured on.
        licence: Of the weights.
        source: Repository, commit and file.
        published: Accuracy that its authors report, or None.
        loss: Measured cross-entropy in nats, or None.
        checkpoint: Name of the authors' own file where `mho` reads that, else None.
        renamed: Beginnings of keys in that file, and what stands for them in `factory`'s network.
    """

    factory: Callable[[], nn.Module]
    data: str | None
    accuracy: float
    measured_on: str
    licence: str
    source: str
    published: float | None = None
    loss: float | None = None
    checkpoint: str | None = None
    renamed: tuple[tuple[str, str], ...] = ()


_TEST = "the 10,000 test images of CIFAR-10"
_SAMPLE = "1,000 images of ImageNet, one a class, probably among the training images"
_RGB, _BYTES = "cifar10?prep=imagenet", "cifar10?prep=raw255"
_AKAMASTER = "github akamaster/pytorch_resnet_cifar10 d5489e8 pretrained_models"
_CROSSSIM = "github sandialabs/cross-sim 0a2eb1e applications/dnn/torch/cifar10_resnet/models"
_TINY = "github mlcommons/tiny 1afd2c9 benchmark/training"
_CORAL = "github google-coral/test_data 104342d"


def _he(factory: Callable[[], nn.Module], accuracy: float, file: str) -> Entry:
    """One of the residual networks whose author's checkpoints are read as they are."""
    return Entry(
        factory, _RGB, accuracy, _TEST, "BSD-2-Clause", f"{_AKAMASTER}/{file}", published=accuracy, checkpoint=file
    )


def _crosssim(factory: Callable[[], nn.Module], accuracy: float, file: str) -> Entry:
    """One of the networks of CrossSim, whose checkpoints name the stages otherwise."""
    return Entry(
        factory, _RGB, accuracy, _TEST, "BSD-3-Clause", f"{_CROSSSIM}/{file}", checkpoint=file,
        renamed=(("res", "layer"), ("classifier.2.", "linear.")),
    )  # fmt: skip


NETWORKS: dict[str, Entry] = {
    "cifar10_resnet20": _he(resnet20, 0.9173, "resnet20-12fca82f.th"),
    "cifar10_resnet32": _he(resnet32, 0.9263, "resnet32-d509ac18.th"),
    "cifar10_resnet44": _he(resnet44, 0.931, "resnet44-014dd654.th"),
    "cifar10_resnet56": _he(resnet56, 0.9339, "resnet56-4bfd9763.th"),
    "cifar10_resnet14b_crosssim": _crosssim(resnet14b, 0.8964, "resnet14_cifar10.pth"),
    "cifar10_resnet20b_crosssim": _crosssim(resnet20b, 0.9065, "resnet20_cifar10.pth"),
    "cifar10_resnet8_mlperf": Entry(
        resnet8, _BYTES, 0.8719, _TEST, "Apache-2.0",
        f"{_TINY}/image_classification/trained_models/pretrainedResnet.h5",
    ),
    "cifar10_resnet8large_mlperf": Entry(
        resnet8_large, _BYTES, 0.9128, _TEST, "Apache-2.0",
        f"{_TINY}/image_classification/trained_models/pretrainedResnet_large_float.tflite",
    ),
    "vww_mobilenetv1_025_mlperf": Entry(
        mobilenet_v1_vww, None, 0.853, "the 1,000 photographs of MLPerf Tiny", "Apache-2.0",
        f"{_TINY}/visual_wake_words/trained_models/vww_96.h5",
    ),
    "kws_dscnn_mlperf": Entry(
        dscnn, "kws", 0.901, "the 1,000 recordings of MLPerf Tiny", "Apache-2.0",
        f"{_TINY}/keyword_spotting/trained_models/kws_ref_model_float32.tflite "
        "(pointwise and stem kernels are int8 per channel in it, expanded)",
    ),
    "imagenet_squeezenet10_dc": Entry(
        squeezenet10, None, 0.655, _SAMPLE, "BSD-2-Clause",
        "github songhan/SqueezeNet-Deep-Compression fb13faa compressed_SqueezeNet.net",
    ),
    "imagenet_mobilenet_v1_025_128_q8": Entry(
        partial(mobilenet_v1, alpha=0.25), None, 0.427, _SAMPLE, "Apache-2.0",
        f"{_CORAL} mobilenet_v1_0.25_128_quant.tflite",
    ),
    "imagenet_mobilenet_v1_05_160_q8": Entry(
        partial(mobilenet_v1, alpha=0.5), None, 0.658, _SAMPLE, "Apache-2.0",
        f"{_CORAL} mobilenet_v1_0.5_160_quant.tflite",
    ),
    "stories260k": Entry(
        stories260k, "tinystories", 0.6508, "1,804 tokens of TinyStories",
        "MIT (llama2.c / karpathy tinyllamas); the carrying repository states none",
        "github DaveBben/esp32-llm 934dab4 data/stories260K.bin (karpathy/tinyllamas stories260K)", loss=1.2664,
    ),
}  # fmt: skip
"""By name."""

"""The networks that `noise-architectures` compares and `noise-and-hardware` puts on chips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mho.models import published
from mho.models.published_table import NETWORKS
from mho.studies.noise.arm import DATA, Data, NoiseArm, recipe
from mho.studies.noise.settings import SEEDS
from mho.studies.study import PRECISION, Job, Scale

_ADAMW = {"optimizer": "adamw", "lr": 2e-3, "weight_decay": 0.05, "precision": "32"}
_LAYOUT: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "lenet": ("LeNet", "lenet", {}),
    "plain4": ("plain CNN, 4 layers", "plain_cnn?depth=4", {}),
    "plain6": ("plain CNN, 6 layers", "plain_cnn?depth=6", {}),
    "plain8": ("plain CNN, 8 layers", "plain_cnn?depth=8", {}),
    "plain4-1x1": ("plain CNN, 4 layers, 1 × 1", "plain_cnn?depth=4&kernel=1", {}),
    "plain4-5x5": ("plain CNN, 4 layers, 5 × 5", "plain_cnn?depth=4&kernel=5", {}),
    "vgg": ("VGG-mini", "vgg_mini", {}),
    "resnet8": ("ResNet-8", "cifar_resnet?depth=8", {}),
    "resnet14": ("ResNet-14", "cifar_resnet?depth=14", {}),
    "resnet20": ("ResNet-20", "cifar_resnet?depth=20", {}),
    "mobilenet": ("Mobile-mini", "mobilenet_cifar?width=16", {}),
    "squeezenet": ("Squeeze-mini", "squeezenet_cifar", {}),
    "vit": ("small ViT", "vit_cifar?dim=64&layers=3", _ADAMW),
}
"""Label, network, changes of the recipe."""
_FULL: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "vgg": ("VGG16", "vgg16", {}),
    "resnet44": ("ResNet-44", "cifar_resnet?depth=44", {}),
}
_SMOKE = ("lenet", "plain4", "squeezenet", "resnet8")
_PUBLISHED = {
    "cifar10_resnet20": "ResNet-20, published", "cifar10_resnet32": "ResNet-32, published",
    "cifar10_resnet44": "ResNet-44, published", "cifar10_resnet56": "ResNet-56, published",
    "cifar10_resnet8_mlperf": "ResNet-8, published", "kws_dscnn_mlperf": "DS-CNN keywords, published",
}  # fmt: skip
_EPOCHS: Mapping[Scale, tuple[int, int]] = {"smoke": (2, 8), "cpu": (8, 4), "full": (160, 30)}
"""On colour and on grey images."""
PUBLISHED = "published"
"""Group of networks that others trained."""
SETTINGS = ("weights", "max")
IMAGES = 500


@dataclass(frozen=True)
class NetworkArm(NoiseArm):
    """A network, trained or published.

    Attributes:
        published: Name among `mho.models.published`; empty: the recipe trains it.
    """

    published: str = ""

    def rows(self, job: Job, **about: Any) -> list[dict[str, Any]]:
        """As every arm; of a published network without training."""
        if not self.published:
            return super().rows(job, **about)
        return self.measure(published(self.published)[0], job, **about)


def networks(scale: Scale, data: Data) -> list[NetworkArm]:
    """The architectures on a data set."""
    layout = (
        {name: _LAYOUT[name] for name in _SMOKE}
        if scale == "smoke"
        else {**_LAYOUT, **(_FULL if scale == "full" else {})}
    )
    grey = data.channels == 1
    where = data if scale != "cpu" else replace(data, test=data.test.replace("n=1000", f"n={IMAGES}"))
    found = []
    for name, (label, spec, changes) in layout.items():
        options = {"epochs": _EPOCHS[scale][grey], "precision": PRECISION[scale], **changes}
        made = recipe(spec, data, scale, **options)
        group = data.label.lower()
        found.append(NetworkArm(f"{group}-{name}", label, group, SEEDS[scale], made, where, SETTINGS))
    return found


def all_networks(scale: Scale) -> list[NetworkArm]:
    """On every data set of the scale, and those that others trained."""
    return [arm for data in DATA[scale] for arm in networks(scale, data)] + others(scale)


def others(scale: Scale) -> list[NetworkArm]:
    """Published networks, on the first images of their own test sets; none at smoke scale."""
    found = []
    for name, label in _PUBLISHED.items() if scale != "smoke" else ():
        spec = NETWORKS[name].data or ""
        joined = f"{spec}{'&' if '?' in spec else '?'}n={IMAGES}"
        train = f"{spec}{'&' if '?' in spec else '?'}split=train&n=1000" if spec.startswith("cifar10") else joined
        data = Data(label, "", joined, train)
        found.append(
            NetworkArm(f"{PUBLISHED}-{name}", label, PUBLISHED, 0, data=data, settings=SETTINGS, published=name)
        )
    return found

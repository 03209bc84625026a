"""VGG networks for images of 32 × 32 pixels, with and without norms (Simonyan & Zisserman 2015, arXiv:1409.1556)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mho.models.norms import Norms

_MINI = ((32,), (64,), (128, 128))
_16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG(nn.Module):
    """Stages of 3 × 3 convolutions, each ending in a pooling to half the size, and two linear layers.

    Args:
        stages: Channels of the convolutions of each stage.
        hidden: Width of the first linear layer.
        size: Height and width of the images, a multiple of 2 to the number of stages.
        channels: Of the images.
        num_classes: Number of outputs.
        norms: Of the convolutions.
    """

    def __init__(
        self, stages: Sequence[Sequence[int]], *, hidden: int, size: int, channels: int, num_classes: int, norms: Norms
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        c_in = channels
        for stage in stages:
            for c_out in stage:
                layers += [*norms.layer(c_in, c_out, 3), nn.ReLU()]
                c_in = c_out
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.Sequential(*layers)
        last = size >> len(stages)
        self.hidden = nn.Linear(c_in * last * last, hidden)
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, size, size) to class scores (N, num_classes)."""
        return self.head(self.hidden(self.layers(x).flatten(1)).relu())


def vgg_mini(
    *, size: int = 32, channels: int = 3, num_classes: int = 10, norm: str = "batch", normed: str = "all"
) -> VGG:
    """Four convolutions and a wide linear layer, 768,298 parameters; `norm` and `normed` as `Norms` takes them."""
    return VGG(_MINI, hidden=256, size=size, channels=channels, num_classes=num_classes, norms=Norms(norm, normed))


def vgg16(*, size: int = 32, channels: int = 3, num_classes: int = 10, norm: str = "batch", normed: str = "all") -> VGG:
    """Thirteen convolutions and two linear layers of width 512, 14,986,698 parameters."""
    return VGG(_16, hidden=512, size=size, channels=channels, num_classes=num_classes, norms=Norms(norm, normed))

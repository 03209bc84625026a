"""Plain networks of equal convolutions for small images: depth, width and size of the filters, and nothing else."""

from __future__ import annotations

from torch import Tensor, nn

from mho.arguments import whole
from mho.models.norms import Norms

_STAGES = 3


class PlainCNN(nn.Module):
    """Convolutions in three stages of width w, 2w and 4w, the later two at half the size of the one before, and a classifier.

    Args:
        depth: Convolutions, 3 at least.
        width: w.
        kernel: Size of the filters, odd.
        channels: Of the images.
        num_classes: Number of outputs.
        norms: Of the convolutions.
    """

    def __init__(
        self, *, depth: int, width: int, kernel: int, channels: int, num_classes: int, norms: Norms
    ) -> None:  # fmt: skip
        super().__init__()
        layers: list[nn.Module] = []
        c_in, before = channels, 0
        for i in range(whole(depth, "depth", least=_STAGES)):
            stage = i * _STAGES // depth
            c_out = width * 2**stage
            layers += [*norms.layer(c_in, c_out, kernel, 1 + (stage > before)), nn.ReLU()]
            c_in, before = c_out, stage
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(c_in, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to class scores (N, num_classes)."""
        return self.head(self.layers(x).mean((2, 3)))


def plain_cnn(
    *, depth: int = 4, width: int = 16, kernel: int = 3, channels: int = 3, num_classes: int = 10, norm: str = "batch",
    normed: str = "all",
) -> PlainCNN:  # fmt: skip
    """Four convolutions of width 16, 32 and 64, 26,682 parameters; `norm` and `normed` as `Norms` takes them."""
    return PlainCNN(depth=depth, width=width, kernel=kernel, channels=channels, num_classes=num_classes,
                    norms=Norms(norm, normed))  # fmt: skip

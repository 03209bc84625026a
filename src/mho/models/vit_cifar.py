"""A small vision transformer for images of 32 × 32 pixels, with a convolutional stem."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Block(nn.Module):
    """Attention and a feed-forward layer, each behind a norm and around a residual."""

    def __init__(self, dim: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        q, k, v = (self._heads(each(y)) for each in (self.q, self.k, self.v))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class SmallViT(nn.Module):
    """A vision transformer over one token for 4 × 4 pixels, the mean of which is classified.

    Two convolutions of stride 2 make the tokens instead of one of stride 4: trained briefly, it gets further so (Xiao et al.
    2021, arXiv 2106.14881, "Early convolutions help transformers see better").

    Args:
        dim: Width.
        hidden: Width of the feed-forward layers.
        layers: Number of blocks.
        heads: Heads of the attention; divides `dim`.
        num_classes: Number of outputs.
        channels: Of the images.
        size: Height and width of the images, a multiple of 4.
    """

    def __init__(
        self, *, dim: int, hidden: int, layers: int, heads: int, num_classes: int, channels: int, size: int
    ) -> None:
        super().__init__()
        self.stem1 = nn.Conv2d(channels, dim // 2, 3, stride=2, padding=1, bias=False)
        self.stem1_bn = nn.BatchNorm2d(dim // 2)
        self.stem2 = nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1)
        self.position = nn.Parameter(0.02 * torch.randn(1, (size // 4) ** 2, dim))
        self.blocks = nn.Sequential(*(_Block(dim, hidden, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, size, size) to class scores (N, num_classes)."""
        x = self.stem2(F.relu(self.stem1_bn(self.stem1(x))))
        x = self.blocks(x.flatten(2).transpose(1, 2) + self.position)
        return self.head(self.norm(x).mean(1))


def vit_cifar(*, num_classes: int = 10, dim: int = 96, layers: int = 4, channels: int = 3, size: int = 32) -> SmallViT:
    """Width 96, four blocks of four heads, 349,402 parameters."""
    return SmallViT(
        dim=dim, hidden=2 * dim, layers=layers, heads=4, num_classes=num_classes, channels=channels, size=size
    )

"""Random crops and flips of whole batches, drawn from a generator that the caller addresses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mho.errors import BadInput

PADDING = 4


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image shifted by -4 … 4 pixels along both sides, zeros moving in, and mirrored with probability 1/2.

    The usual augmentation of CIFAR-10 (He et al. 2016, arXiv:1512.03385, section 4.2: 4 pixels padded on each side,
    a random crop, a horizontal flip).

    Args:
        images: (N, C, H, W).
        generator: On the CPU; three draws an image.

    Raises:
        BadInput: No images.
    """
    if images.dim() != 4:
        raise BadInput(f"inputs {tuple(images.shape)}", "crop_and_flip takes images (N, C, H, W)", path="augment")
    n, _, height, width = images.shape
    shift = torch.randint(0, 2 * PADDING + 1, (2, n, 1), generator=generator)
    flip = torch.randint(0, 2, (n, 1), generator=generator).bool()
    rows, columns = torch.arange(height) + shift[0], torch.arange(width)
    columns = torch.where(flip, columns.flip(0), columns) + shift[1]
    rows, columns = rows.to(images.device), columns.to(images.device)
    # Channels last: one gather of whole pixels, and the layout that convolutions like.
    padded = F.pad(images, (PADDING,) * 4).permute(0, 2, 3, 1)
    one = torch.arange(n, device=images.device)[:, None, None]
    return padded[one, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mho.data.augment import crop_and_flip
from mho.errors import BadInput


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_image_is_one_of_its_162_crops_and_all_of_them_occur():
    image = torch.rand(1, 3, 8, 6, generator=_generator(1)) + 1
    padded = F.pad(image, (4, 4, 4, 4))[0]
    crops = {}
    for dy in range(9):
        for dx in range(9):
            crop = padded[:, dy : dy + 8, dx : dx + 6]
            for flip in (False, True):
                crops[(crop.flip(2) if flip else crop).numpy().tobytes()] = (dy, dx, flip)
    seen = crop_and_flip(image.repeat(4000, 1, 1, 1), _generator())
    found = [crops[one.contiguous().numpy().tobytes()] for one in seen]
    assert len(set(found)) == 162
    share = sum(flip for *_, flip in found) / len(found)
    assert abs(share - 0.5) < 4 * 0.5 / 4000**0.5


def test_it_depends_on_the_generator_alone():
    images = torch.rand(5, 3, 32, 32, generator=_generator(1))
    assert torch.equal(crop_and_flip(images, _generator(3)), crop_and_flip(images, _generator(3)))
    assert not torch.equal(crop_and_flip(images, _generator(3)), crop_and_flip(images, _generator(4)))


def test_only_images_are_cropped():
    with pytest.raises(BadInput, match="N, C, H, W"):
        crop_and_flip(torch.zeros(3, 4), _generator())
